"""Cross-entropy of tokens, over a large vocabulary from some of its rows."""

import math

import torch
from torch.nn import functional as F


IGNORED = -100  # a target that is none


def token_loss(
    hidden: torch.Tensor, targets: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, samples: int = 0
) -> torch.Tensor:
    """Return the mean cross-entropy of those ``targets`` (..) that are not ``IGNORED``; 0 where there are none.

    Args:
        hidden: (.., width), what the head reads.
        targets: (..) rows of the head.
        weight: (rows, width) of the head.
        bias: (rows,) of the head.
        samples: Estimate it from so many of the rows that are no target; 0: from all.
    """
    known = targets != IGNORED
    hidden, targets = hidden[known], targets[known]
    if not len(targets):
        return hidden.sum()
    if samples:
        return sampled_cross_entropy(hidden, weight, bias, targets, samples)
    return F.cross_entropy(F.linear(hidden, weight, bias).float(), targets)


def sampled_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, targets: torch.Tensor, samples: int
) -> torch.Tensor:
    """Return an estimate of the mean cross-entropy of ``targets``, for training.

    Logits are computed for every row that is a target in the batch, and for ``samples`` of the others, drawn evenly,
    each of which stands for equally many. The sum over the vocabulary in the softmax is then right on average; where
    all others fit among the samples, it is the sum itself.

    Args:
        hidden: (n, width), what the head reads.
        weight: (rows, width) of the head.
        bias: (rows,) of the head.
        targets: (n,) rows.
        samples: How many of the other rows are drawn.
    """
    present = targets.unique()
    other = torch.ones(len(weight), dtype=torch.bool, device=targets.device).index_fill(0, present, False)
    other = other.nonzero()[:, 0]
    correction = 0.0
    if len(other) > samples:
        correction = math.log(len(other) / samples)
        other = other[torch.randint(len(other), (samples,)).to(targets.device)]  # the same draws on any device
    rows = torch.cat([present, other])
    logits = F.linear(hidden, weight[rows], bias[rows]).float()
    logits = torch.cat([logits[:, : len(present)], logits[:, len(present) :] + correction], 1)
    return F.cross_entropy(logits, torch.searchsorted(present, targets))
