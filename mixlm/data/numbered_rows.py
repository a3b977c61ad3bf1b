"""Rows of a file or dataset by their number, so that many processes can share one source."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mixlm.data.reading import Row, as_row, json_lines, kind_of, load_list, load_split, open_parquet, parse_line
from mixlm.errors import InputError


STRIDE = 1000  # rows between two places of a .jsonl file that are remembered, and rows taken at once elsewhere
Found = tuple[int, str, Row | InputError]


class NumberedRows(Protocol):
    """Rows numbered from 0. Objects can be sent to other processes, which open the source themselves."""

    def __len__(self) -> int:
        """Return the number of rows, malformed ones included."""

    def read(self, numbers: Sequence[int]) -> Iterator[Found]:
        """Yield each row of ``numbers``, ascending: its number, its name in messages, and the row or what ails it."""


def open_numbered(source: str | Path, split: str = "train") -> NumberedRows:
    """Open ``source``, as ``mixlm.data.reading.read_rows`` has it.

    Raises:
        InputError: If there is nothing to read.
    """
    kind = kind_of(source)
    if kind == "dataset":
        return _DatasetRows(str(source), split)
    return {".jsonl": _LineRows, ".json": _ListRows, ".parquet": _ParquetRows}[kind](Path(source))


class _LineRows:
    """Rows of a .jsonl file. Blank lines are none."""

    def __init__(self, path: Path) -> None:
        self.path, self.length = path, 0
        offset, places = 0, []
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.isspace():
                    if self.length % STRIDE == 0:
                        places.append((offset, number))
                    self.length += 1
                offset += len(line)
        self.places = np.array(places, dtype=np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.length

    def read(self, numbers: Sequence[int]) -> Iterator[Found]:
        """Begin at the last place remembered before the first row, and read only the rows asked for as JSON."""
        wanted = iter(numbers)
        following = next(wanted, None)
        if following is None:
            return
        stride = int(following) // STRIDE
        for row, (number, line) in enumerate(json_lines(self.path, *self.places[stride].tolist()), stride * STRIDE):
            if row == following:
                where = f"{self.path}:{number}"
                yield row, where, parse_line(line, where)
                following = next(wanted, None)
                if following is None:
                    return


class _ListRows:
    """Rows of a .json file, which each process reads whole."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _rows(self) -> list[Any]:
        return load_list(self.path)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def read(self, numbers: Sequence[int]) -> Iterator[Found]:
        """Take rows from the list."""
        for number in map(int, numbers):
            where = f"{self.path}:{number + 1}"
            yield number, where, as_row(self._rows[number], where)


class _ParquetRows:
    """Rows of a Parquet file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        about = open_parquet(path).metadata
        self.starts = np.cumsum([0, *(about.row_group(group).num_rows for group in range(about.num_row_groups))])

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.starts[-1])

    def read(self, numbers: Sequence[int]) -> Iterator[Found]:
        """Read the row groups that the rows lie in."""
        import pyarrow

        numbers, file = np.asarray(numbers), open_parquet(self.path)
        for group, (start, end) in enumerate(pairwise(self.starts)):
            if not len(numbers[(numbers >= start) & (numbers < end)]):
                continue
            for batch in file.iter_batches(STRIDE, row_groups=[group]):
                chosen = numbers[(numbers >= start) & (numbers < start + len(batch))]
                rows = batch.take(pyarrow.array(chosen - start)).to_pylist()
                yield from ((int(n), f"{self.path}:{n + 1}", row) for n, row in zip(chosen, rows, strict=True))
                start += len(batch)


class _DatasetRows:
    """Rows of a dataset folder or a dataset of the Hub."""

    def __init__(self, source: str, split: str) -> None:
        self.source, self.data = source, load_split(source, split)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.data)

    def read(self, numbers: Sequence[int]) -> Iterator[Found]:
        """Select some rows at a time."""
        for start in range(0, len(numbers), STRIDE):
            chosen = [int(number) for number in numbers[start : start + STRIDE]]
            for number, row in zip(chosen, self.data.select(chosen), strict=True):
                yield number, f"{self.source}:{number + 1}", row
