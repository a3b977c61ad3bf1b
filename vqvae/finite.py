"""What holds a NaN or an infinity."""

from collections.abc import Iterable

import torch


def is_finite(values: torch.Tensor) -> bool:
    """Tell whether all of ``values`` are numbers, without a copy of them; those that are no floats are."""
    values = getattr(values, "to_local", lambda: values)()  # of a tensor that processes share, the part of this one
    if not values.is_floating_point() or not values.numel():
        return True
    return bool(torch.stack(values.detach().aminmax()).isfinite().all())


def not_a_number(named: Iterable[tuple[str, torch.Tensor]]) -> str | None:
    """Return the name of the first tensor that holds a NaN or an infinity; None if there is none."""
    return next((name for name, values in named if not is_finite(values)), None)
