"""New vocabulary rows learn at their own rate, and tell how far they have come."""

from collections.abc import Sequence
from typing import Any

import torch

from mixlm.vocabulary import matrices


def give_own_rate(
    optimizer: torch.optim.Optimizer, parameters: Sequence[torch.Tensor], rows: Sequence[int], ratio: float
) -> None:
    """Let ``rows`` of ``parameters`` learn at ``ratio`` times the rate of the rest.

    Every update of Adam, AdamW and SGD, weight decay included, is proportional to the learning rate, coordinate by
    coordinate. Scaling a step of some rows by ``ratio`` is therefore the same as training them as separate parameters
    with ``ratio`` times the rate, under any schedule; but matrices stay whole and tied, and a checkpoint stays plain.

    Args:
        optimizer: An optimizer whose updates are element-wise and proportional to its rate.
        parameters: Matrices, (vocabulary, width) each.
        rows: Row numbers.
        ratio: New rate over old rate.
    """
    chosen = torch.tensor(list(rows), dtype=torch.long)
    before: list[torch.Tensor] = []

    def remember(*_: Any) -> None:
        """Keep the rows as they are before the step."""
        before[:] = [parameter.detach()[chosen.to(parameter.device)].clone() for parameter in parameters]

    @torch.no_grad()
    def scale(*_: Any) -> None:
        """Stretch what the step did to the rows."""
        for parameter, old in zip(parameters, before, strict=True):
            index = chosen.to(parameter.device)
            parameter[index] = old + ratio * (parameter[index] - old)

    optimizer.register_step_pre_hook(remember)
    optimizer.register_step_post_hook(scale)


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
        """Return the rows as they are, (new tokens, width) for each distinct matrix."""
        deltas = [
            parameter.detach() for name, parameter in self.model.named_parameters() if "trainable_tokens_" in name
        ]
        if deltas:
            return deltas
        return [matrix.detach()[self.ids] for matrix in matrices(self.model)]

    def distance(self) -> float:
        """Return the mean Euclidean distance of a row from its start."""
        moved = [
            (now.to(start) - start).norm(dim=-1).mean() for now, start in zip(self.values(), self.start, strict=True)
        ]
        return float(torch.stack(moved).mean())
