"""Rows by their numbers, whatever they are read from."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from mixlm.errors import InputError


STRIDE = 1000  # rows between two places of a .jsonl file that are remembered, and rows taken at once elsewhere
RawRow = dict[str, Any]


class RawRows(ABC):
    """Rows numbered from 0. Objects can be sent to other processes, which open the source themselves."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows, malformed ones included."""

    @abstractmethod
    def read(self, numbers: Sequence[int]) -> Iterator[tuple[int, str, RawRow | InputError]]:
        """Yield each row of ``numbers``, ascending: its number, its name in messages, and the row or what ails it."""

    def __iter__(self) -> Iterator[tuple[str, RawRow | InputError]]:
        """Yield every row in order: its name in messages, and the row or what ails it."""
        return ((where, row) for _, where, row in self.read(range(len(self))))
