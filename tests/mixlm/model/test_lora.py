import sys

import pytest

from mixlm.errors import InputError
from mixlm.model.lora import adapter_rows, add_adapter, merge_adapter
from tests.tiny_thoughts import random_lm


@pytest.mark.parametrize("tied", [True, False])
def test_an_adapter_holds_the_new_rows_of_each_matrix_apart(tied: bool) -> None:
    """The installed PEFT names them as we expect; tied matrices share theirs."""
    pytest.importorskip("peft")
    model = random_lm("llama", tied=tied)
    width, new = model.config.hidden_size, [37, 38, 39]
    assert adapter_rows(model) == []
    adapted = add_adapter(model, 2, new)
    rows = adapter_rows(adapted)
    assert [row.shape for row in rows] == [(3, width)] * (1 if tied else 2)
    assert all(row.requires_grad for row in rows)
    assert adapter_rows(merge_adapter(adapted)) == []


def test_a_missing_peft_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match="--lora-rank needs PEFT; install it with: pip install peft$"):
        add_adapter(random_lm("llama"), 2, [39])
