"""The ids that a corpus uses, in place of a language model's whole vocabulary."""

from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np
import torch
from torch import nn


UNKNOWN, ENDED = -1, -2  # in place of ids: one that the corpus never used, and none, after the end of a chunk
SEQUENCES_AT_ONCE = 1000  # that are looked through for ids


class CompactVocabulary(nn.Module):
    """Maps full token ids to rows of a small table and back; ids that the corpus never used share the last row.

    Args:
        size: Rows of the table, the last one included.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("token_ids", torch.zeros(max(size - 1, 0), dtype=torch.int64))

    @property
    def unknown(self) -> int:
        """The row of all ids that the corpus never used."""
        return len(self.token_ids)

    def fill(self, token_ids: Sequence[int]) -> None:
        """Set the ids of the rows, ascending."""
        self.token_ids.copy_(torch.tensor(token_ids, dtype=torch.int64))

    def compact(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the rows of full ``ids``, in their shape."""
        if self.unknown == 0:
            return torch.zeros_like(ids)
        rows = torch.searchsorted(self.token_ids, ids.contiguous()).clamp(max=self.unknown - 1)
        return torch.where(self.token_ids[rows] == ids, rows, self.unknown)

    def full(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the full ids of ``rows``, in their shape: ``UNKNOWN`` for unknown ids, ``ENDED`` for the end."""
        ids = torch.cat([self.token_ids, self.token_ids.new_tensor([UNKNOWN, ENDED])])
        return ids[rows]


def used_ids(sequences: Iterable[Sequence[int]]) -> list[int]:
    """Return every id that occurs in ``sequences``, ascending."""
    seen, sequences = np.zeros(0, dtype=bool), iter(sequences)
    while block := [*islice(sequences, SEQUENCES_AT_ONCE)]:
        ids = np.concatenate([np.asarray(sequence, dtype=np.int64) for sequence in block])
        seen = np.pad(seen, (0, max(0, ids.max(initial=-1) + 1 - len(seen))))
        seen[ids] = True
    return np.flatnonzero(seen).tolist()
