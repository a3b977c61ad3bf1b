"""Where traces are cut: which text each code stands for. Nothing large is imported here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Cutting:
    """The rule by which traces become chunks and chunks become codes.

    A trace is a run of *stretches* that are cut each from its own first token: one stretch with ``align="fixed"``, its
    steps with ``align="step"``. A stretch gives chunks of L tokens. What is left at its end stays text when chunks are
    fixed, and is a shorter chunk when they end with steps.

    Attributes:
        align: "fixed" or "step".
        chunk_length: Tokens of a chunk, L; with "step" at most.
        compression_rate: Tokens that one code stands for, r; divides L. With "step" it is L: one code a chunk.

    >>> Cutting("fixed", 4, 2).ends(np.array([3, 2, 5, 1]).sum(keepdims=True)).tolist()
    [2, 4, 6, 8]
    >>> Cutting("step", 4, 4).ends(np.array([3, 2, 5, 1])).tolist()
    [3, 5, 9, 10, 11]
    """

    align: str
    chunk_length: int
    compression_rate: int

    @property
    def codes_per_chunk(self) -> int:
        """Codes of one chunk, L / r."""
        return self.chunk_length // self.compression_rate

    @property
    def grain(self) -> int:
        """Tokens at whose multiples the text of a code can end, counted from the trace's first."""
        return 1 if self.align == "step" else self.compression_rate

    def stretches(self, row: Mapping[str, Sequence[int]]) -> np.ndarray:
        """Return the lengths of the stretches of a tokenized row's trace, of which it holds all tokens."""
        if self.align == "step":
            return np.asarray(row["step_lengths"], dtype=np.int64)
        return np.array([len(row["trace_ids"])])

    def count_chunks(self, stretches: int | np.ndarray) -> int | np.ndarray:
        """Return how many chunks stretches of these lengths (any) have."""
        return -(-stretches // self.chunk_length) if self.align == "step" else stretches // self.chunk_length

    def chunks(self, stretches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cut stretches (s,) that lie end to end: the first token (n,) and the number of tokens (n,) of each chunk."""
        counts = self.count_chunks(stretches)
        owner = np.repeat(np.arange(len(stretches)), counts)
        inside = (np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner]) * self.chunk_length
        sizes = np.minimum(self.chunk_length, stretches[owner] - inside)
        return (np.cumsum(stretches) - stretches)[owner] + inside, sizes

    def ends(self, stretches: np.ndarray) -> np.ndarray:
        """Return the place after the last token of each code's text (codes,), counted from the first stretch's."""
        starts, sizes = self.chunks(stretches)
        pieces = np.arange(self.compression_rate, self.chunk_length + 1, self.compression_rate)
        return (starts[:, None] + np.minimum(pieces, sizes[:, None])).ravel()
