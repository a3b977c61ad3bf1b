"""New vocabulary rows learn at their own rate, and tell how far they have come."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from mixlm.model.lora import adapter_rows
from mixlm.model.vocabulary import biases, tables


class NewRows:
    """The rows that a run added: they learn at a rate of their own, and tell how far they have come.

    Args:
        model: A causal LM, plain or wrapped by PEFT.
        ids: Ids of the new tokens.
        rate: Their learning rate.
    """

    def __init__(self, model: nn.Module, ids: Sequence[int], rate: float) -> None:
        self.model, self.ids, self.rate = model, list(ids), rate
        self.start = [values.clone() for values in self.values()]

    def give_own_rate(self, optimizer: torch.optim.Optimizer) -> None:
        """Let the rows learn at their rate, whatever that of all else.

        An adapter holds them as parameters of their own. Otherwise their steps are scaled: every update of Adam, AdamW
        and SGD, weight decay included, is proportional to the learning rate, coordinate by coordinate. That is
        therefore the same as training them as separate parameters with their rate, under any schedule; but matrices
        stay whole and tied, and a checkpoint stays plain.

        Args:
            optimizer: An optimizer whose updates are element-wise and proportional to its rate.
        """
        apart = adapter_rows(self.model)
        learn_apart(optimizer, apart, self.rate)
        if not self.ids or apart:
            return
        ratio, before = self.rate / optimizer.defaults["lr"], []

        @torch.no_grad()
        def remember(*_: Any) -> None:
            """Keep the rows as they are before the step; sharding has put other matrices in place of the first."""
            parts = [held_rows(own, self.ids) for own in (*tables(self.model), *biases(self.model))]
            before[:] = [(part, index, part[index].clone()) for part, index in parts]

        @torch.no_grad()
        def scale(*_: Any) -> None:
            """Stretch what the step did to the rows."""
            for part, index, old in before:
                part[index] = old + ratio * (part[index] - old)

        optimizer.register_step_pre_hook(remember)
        optimizer.register_step_post_hook(scale)

    def values(self) -> list[torch.Tensor]:
        """Return the rows as they are, (new tokens, width) for each distinct matrix; of all processes together."""
        deltas = [_whole(parameter) for parameter in adapter_rows(self.model)]
        return deltas or [_whole(table)[self.ids] for table in tables(self.model)]

    def distance(self) -> float:
        """Return the mean Euclidean distance of a row from its start."""
        moved = [
            (now.to(start) - start).norm(dim=-1).mean() for now, start in zip(self.values(), self.start, strict=True)
        ]
        return float(torch.stack(moved).mean())


def learn_apart(optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter], rate: float) -> None:
    """Move parameters that are new to the model into a group with a rate of its own; none is no group."""
    if not parameters:
        return
    held = {id(parameter) for parameter in parameters}
    for group in optimizer.param_groups:
        group["params"] = [parameter for parameter in group["params"] if id(parameter) not in held]
    optimizer.add_param_group({"params": parameters, "lr": rate, "weight_decay": 0.0})


def held_rows(matrix: torch.Tensor, rows: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the part of a matrix that this process holds, and the places of ``rows`` in it."""
    index = torch.tensor(list(rows), dtype=torch.long, device=matrix.device)
    if not isinstance(matrix, DTensor):
        return matrix.detach(), index
    chosen = torch.zeros(matrix.shape[0], 1, dtype=torch.bool, device=matrix.device).index_fill(0, index, True)
    part = distribute_tensor(chosen, matrix.device_mesh, matrix.placements).to_local()
    return matrix.detach().to_local(), part[:, 0].nonzero()[:, 0]


def _whole(parameter: torch.Tensor) -> torch.Tensor:
    """Return a parameter with the parts that other processes hold."""
    parameter = parameter.detach()
    return parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
