import pytest
import torch

from vqvae.finite import is_finite, not_a_number


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_found_wherever_it_stands(value: float) -> None:
    values = torch.ones(2, 3)
    assert is_finite(values)
    values[1, 2] = value
    assert not is_finite(values) and not is_finite(values.bfloat16())
    assert not_a_number([("one", torch.zeros(1)), ("two", values)]) == "two"


def test_what_holds_no_floats_is_finite() -> None:
    assert is_finite(torch.tensor([1, 2])) and is_finite(torch.zeros(0))
    assert not_a_number([("count", torch.tensor(3))]) is None
