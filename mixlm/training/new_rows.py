"""New vocabulary rows learn at their own rate, and tell how far they have come."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.distributed.tensor import DTensor, distribute_tensor

from mixlm.model.lora import adapter_rows
from mixlm.model.vocabulary import matrices


def give_own_rate(
    optimizer: torch.optim.Optimizer, matrices: Callable[[], Sequence[torch.Tensor]], rows: Sequence[int], ratio: float
) -> None:
    """Let ``rows`` of ``matrices`` learn at ``ratio`` times the rate of the rest.

    Every update of Adam, AdamW and SGD, weight decay included, is proportional to the learning rate, coordinate by
    coordinate. Scaling a step of some rows by ``ratio`` is therefore the same as training them as separate parameters
    with ``ratio`` times the rate, under any schedule; but matrices stay whole and tied, and a checkpoint stays plain.

    Args:
        optimizer: An optimizer whose updates are element-wise and proportional to its rate.
        matrices: Returns the parameters, (vocabulary, width) each, as they are at a step: sharding puts others in
            their place, of which each process holds some rows.
        rows: Row numbers.
        ratio: New rate over old rate.
    """
    before: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    @torch.no_grad()
    def remember(*_: Any) -> None:
        """Keep the rows as they are before the step."""
        parts = [held_rows(matrix, rows) for matrix in matrices()]
        before[:] = [(part, index, part[index].clone()) for part, index in parts]

    @torch.no_grad()
    def scale(*_: Any) -> None:
        """Stretch what the step did to the rows."""
        for part, index, old in before:
            part[index] = old + ratio * (part[index] - old)

    optimizer.register_step_pre_hook(remember)
    optimizer.register_step_post_hook(scale)


def held_rows(matrix: torch.Tensor, rows: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the part of a matrix that this process holds, and the places of ``rows`` in it."""
    index = torch.tensor(list(rows), dtype=torch.long, device=matrix.device)
    if not isinstance(matrix, DTensor):
        return matrix.detach(), index
    chosen = torch.zeros(matrix.shape[0], 1, dtype=torch.bool, device=matrix.device).index_fill(0, index, True)
    part = distribute_tensor(chosen, matrix.device_mesh, matrix.placements).to_local()
    return matrix.detach().to_local(), part[:, 0].nonzero()[:, 0]


class NewRows:
    """Watches the rows that a run added.

    Args:
        model: A causal LM, plain or wrapped by PEFT.
        ids: Ids of the new tokens.
    """

    def __init__(self, model: Any, ids: Sequence[int]) -> None:
        self.model, self.ids = model, list(ids)
        self.start = [values.clone() for values in self.values()]

    def values(self) -> list[torch.Tensor]:
        """Return the rows as they are, (new tokens, width) for each distinct matrix; of all processes together."""
        deltas = [_whole(parameter) for parameter in adapter_rows(self.model)]
        return deltas or [_whole(matrix)[self.ids] for matrix in matrices(self.model)]

    def distance(self) -> float:
        """Return the mean Euclidean distance of a row from its start."""
        moved = [
            (now.to(start) - start).norm(dim=-1).mean() for now, start in zip(self.values(), self.start, strict=True)
        ]
        return float(torch.stack(moved).mean())


def _whole(parameter: torch.Tensor) -> torch.Tensor:
    """Return a parameter with the parts that other processes hold."""
    parameter = parameter.detach()
    return parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
