"""How rows with thoughts are laid out in columns, for passes over a cache or for whole rows."""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Cut:
    """A batch cut into passes, laid out column by column; W is the sum of the passes' widths.

    Attributes:
        ids: (rows, W).
        mask: (rows, W), 1 at tokens, 0 at padding.
        positions: (rows, W), place of a token among its row's.
        thoughts: (rows, W), True at thoughts, each its row's first token in a pass after the first.
        bounds: First column of every pass, and W.
        slots: (rows, length), the column of every token of the batch as it was given; 0 at padding.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    positions: torch.Tensor
    thoughts: torch.Tensor
    bounds: list[int]
    slots: torch.Tensor

    @property
    def has_gaps(self) -> bool:
        """Whether padding lies between the tokens of any row."""
        inside = self.mask.cumsum(1).bool() & self.mask.flip(1).cumsum(1).flip(1).bool()
        return bool((inside & ~self.mask.bool()).any())

    def restore(self, values: torch.Tensor) -> torch.Tensor:
        """Bring ``values``, (rows, W, ..), to the places of the batch as it was given, (rows, length, ..)."""
        rows, width = self.ids.shape
        start = torch.arange(rows, device=self.slots.device)[:, None] * width
        return values.flatten(0, 1)[start + self.slots]


def cut_up(input_ids: torch.Tensor, attention_mask: torch.Tensor, thought_mask: torch.Tensor) -> Cut:
    """Cut a batch into passes; takes the arguments of ``thought_forward``.

    Raises:
        ValueError: If a row begins with a thought.
    """
    real = attention_mask.bool()
    slots, bounds = lay_out(real.cpu().numpy(), (thought_mask.bool() & real).cpu().numpy())
    return laid_out(input_ids, real, thought_mask, torch.as_tensor(slots, device=input_ids.device), bounds)


def laid_out(
    input_ids: torch.Tensor, real: torch.Tensor, thought_mask: torch.Tensor, slots: torch.Tensor, bounds: list[int]
) -> Cut:
    """Lay a batch out in columns.

    Args:
        input_ids: (rows, length).
        real: (rows, length) bool, tokens.
        thought_mask: (rows, length).
        slots: (rows, length), the column of every token, -1 at padding.
        bounds: First column of every pass, and the number of columns.

    Raises:
        ValueError: If a row begins with a thought.
    """
    kept, target = slots.clamp(min=0), slots.masked_fill(~real, bounds[-1])  # padding goes to one column too many

    def place(values: torch.Tensor) -> torch.Tensor:
        """Lay (rows, length) out as (rows, W)."""
        return values.new_zeros(len(values), bounds[-1] + 1).scatter(1, target, values)[:, :-1]

    mask = place(real.long())
    positions, thoughts = (mask.cumsum(1) - 1).clamp(min=0), place(thought_mask.bool() & real)
    if (thoughts & (positions == 0)).any():
        raise ValueError("a row begins with a thought: there is no hidden state before it")
    return Cut(place(input_ids), mask, positions, thoughts, bounds, kept)


def lay_out(real: np.ndarray, thoughts: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Assign every token of a batch to a column, so that thoughts begin passes.

    A row with as many thoughts as any has one in every pass but the first. A row with fewer waits: the tokens before
    its first thought fill the passes that it sits out, from the right, as far as these are wide anyway.

    Args:
        real: (rows, length) bool, tokens.
        thoughts: (rows, length) bool, those of them that are thoughts.

    Returns:
        The column of every token, (rows, length), -1 at padding; the first column of every pass, and the total width.
    """
    passes = int(thoughts.sum(1).max(initial=0)) + 1
    sizes = np.zeros((len(real), passes), dtype=np.int64)  # tokens of each row in each pass
    for row, (tokens, marked) in enumerate(zip(real, thoughts, strict=True)):
        starts = np.flatnonzero(marked[tokens])
        sizes[row, passes - 1 - len(starts) :] = np.diff([0, *starts, tokens.sum()])
    first = passes - 1 - thoughts.sum(1)  # the pass that ends just before the row's first thought
    widths = np.where(np.arange(passes) > first[:, None], sizes, 0).max(0, initial=0)
    for row, last in enumerate(first):
        left = sizes[row, last]
        for step in range(last, 0, -1):
            sizes[row, step] = min(left, widths[step])
            left -= sizes[row, step]
        sizes[row, 0] = left
    widths[0] = sizes[:, 0].max(initial=0)
    bounds = np.concatenate([[0], widths.cumsum()])
    slots = np.full(real.shape, -1, dtype=np.int64)
    for row, tokens in enumerate(real):
        ranges = [np.arange(end - size, end) for end, size in zip(bounds[1:], sizes[row], strict=True)]
        slots[row, tokens] = np.concatenate(ranges)
    return slots, bounds.tolist()
