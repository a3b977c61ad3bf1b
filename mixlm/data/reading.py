"""Rows of files, folders and Hub datasets, in order or by their number."""

import codecs
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixlm.damage import RECORDS, listed_sums
from mixlm.data.formats.arrow_rows import check_columns, rows_of
from mixlm.data.formats.dataset_rows import DatasetRows, parts_of
from mixlm.data.formats.raw_rows import STRIDE, RawRow, RawRows
from mixlm.data.values import as_row, parse_json
from mixlm.errors import InputError


if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    from pyarrow.parquet import ParquetFile


_PACKED = (".gz", ".zst", ".bz2", ".xz", ".zip")


def read_rows(source: str | Path, split: str | None = None) -> Iterator[tuple[str, RawRow]]:
    """Yield the rows of ``source``, each with a name for error messages such as ``traces.jsonl:17``.

    Args:
        source: See ``open_raw``.
        split: See ``open_raw``.

    Raises:
        InputError: If there is nothing to read, or a row is no JSON object.
    """
    return map(_raised, open_raw(source, split))


def _raised(named: tuple[str, RawRow | InputError]) -> tuple[str, RawRow]:
    where, row = named
    if isinstance(row, InputError):
        raise row
    return where, row


def require_readable(source: str | Path) -> None:
    """Raise an ``InputError`` if ``source`` is named like a file of rows and is not there, or is a file of others."""
    path, (place, _, split) = Path(source), parts_of(str(source))
    if split and not Path(place).is_dir() and (Path(place).is_file() or Path(place).suffix in _KINDS):
        raise InputError(f"{source}: a file has no splits; leave @{split} out")
    if path.is_file() and path.suffix not in _KINDS:
        unpacked = "unpack it, and " if path.suffix in _PACKED else ""
        raise InputError(f"{path}: cannot read '{path.suffix}' files; {unpacked}give .jsonl, .json or .parquet")
    if not path.is_file() and path.suffix in _KINDS:
        raise InputError(f"{path}: no such file" + (", but a folder" if path.is_dir() else ""))


def open_raw(source: str | Path, split: str | None = None) -> RawRows:
    """Open ``source``.

    Args:
        source: A ``.jsonl``, ``.json`` (a list of objects) or ``.parquet`` file, a folder that ``datasets`` can load,
            or a Hub dataset id, with ``:NAME`` after it for one of its configurations; of both with ``@NAME`` after
            it for one of its splits.
        split: Of a folder or Hub dataset that names none; None: "train".

    Raises:
        InputError: If there is nothing to read.
    """
    require_readable(source)
    path = Path(source)
    return _KINDS[path.suffix](path) if path.is_file() else DatasetRows(str(source), split)


def place_of(source: str | Path) -> Path:
    """Return the file or folder that a source is read from; of a dataset of the Hub what is there of its name."""
    return Path(parts_of(str(source))[0])


def require_apart(out: str | Path, source: str | Path) -> None:
    """Raise an ``InputError`` if what is to be written is what is read, or would be read with the folder it lies in.

    Args:
        out: A file or folder to write.
        source: See ``open_raw``; nothing is asked of what is not on this machine, or is a folder that lists its files.
    """
    place, read = Path(os.path.realpath(out)), Path(os.path.realpath(place_of(source)))
    if any(listed_sums(read / record) for record in RECORDS):
        return
    if read.exists() and place == read:
        raise InputError(f"{out}: is what is read, and would be lost; give another place")
    if read.is_dir() and read in place.parents:
        raise InputError(
            f"{out}: lies in {place_of(source)}, and would be read with it the next time; give a place beside it"
        )


class _LineRows(RawRows):
    """Rows of a .jsonl file. Blank lines are none."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _index(self) -> tuple[int, "np.ndarray"]:
        """The number of rows, and of every ``STRIDE``-th the byte at which its line begins and the line's number."""
        import numpy as np

        offset, length, places = 0, 0, []
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.isspace():
                    if length % STRIDE == 0:
                        places.append((offset, number))
                    length += 1
                offset += len(line)
        return length, np.array(places, dtype=np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._index[0]

    def __iter__(self) -> Iterator[tuple[str, RawRow | InputError]]:
        """Yield every row, without a look at how many there are."""
        for number, line in self._lines():
            yield self._row(number, line)

    def read(self, numbers: Sequence[int]) -> Iterator[tuple[int, str, RawRow | InputError]]:
        """Begin at the last place remembered before the first row, and read only the rows asked for as JSON."""
        wanted = iter(numbers)
        following = next(wanted, None)
        if following is None:
            return
        stride = int(following) // STRIDE
        for row, (number, line) in enumerate(self._lines(*self._index[1][stride].tolist()), stride * STRIDE):
            if row == following:
                yield row, *self._row(number, line)
                following = next(wanted, None)
                if following is None:
                    return

    def _lines(self, offset: int = 0, number: int = 1) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that are not blank with their numbers, from the byte at which a line of number begins."""
        with self.path.open("rb") as lines:
            lines.seek(offset)
            for line in lines:
                if not line.isspace():
                    yield number, line
                number += 1

    def _row(self, number: int, line: bytes) -> tuple[str, RawRow | InputError]:
        where = f"{self.path}:{number}"
        try:
            return where, as_row(parse_json(line.removeprefix(codecs.BOM_UTF8).decode()), where)
        except UnicodeDecodeError:
            return where, InputError(f"{where}: not UTF-8 text; save the file as UTF-8")
        except json.JSONDecodeError as error:
            return where, InputError(
                f"{where}: not valid JSON ({error.msg}); put one object on each line{_hint(line)}"
            )


def _hint(line: bytes) -> str:
    """Return what a line that begins a list says of its file."""
    return ", or name a file that is one list of objects .json" if line.lstrip().startswith(b"[") else ""


class _ListRows(RawRows):
    """Rows of a .json file, which each process reads whole."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _rows(self) -> list[Any]:
        try:
            rows = parse_json(self.path.read_text(encoding="utf-8-sig"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{self.path}: not valid JSON ({error}); for one object a line name it .jsonl") from None
        if not isinstance(rows, list):
            raise InputError(f"{self.path}: holds no list; a .json file must be a list of objects")
        return rows

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def read(self, numbers: Sequence[int]) -> Iterator[tuple[int, str, RawRow | InputError]]:
        """Take rows from the list."""
        for number in map(int, numbers):
            where = f"{self.path}:{number + 1}"
            yield number, where, as_row(self._rows[number], where)


class _ParquetRows(RawRows):
    """Rows of a Parquet file."""

    def __init__(self, path: Path) -> None:
        self.path, self.starts = path, [0]
        with self._undamaged():
            file = self._open()
            check_columns(file.schema_arrow, str(path))
            for group in range(file.metadata.num_row_groups):
                self.starts.append(self.starts[-1] + file.metadata.row_group(group).num_rows)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.starts[-1]

    def read(self, numbers: Sequence[int]) -> Iterator[tuple[int, str, RawRow | InputError]]:
        """Read the row groups that the rows lie in."""
        import numpy as np

        numbers = np.asarray(numbers)
        for group, (start, end) in enumerate(pairwise(self.starts)):
            if not len(_within(numbers, start, end)):
                continue
            for batch in self._batches(group):
                chosen = _within(numbers, start, start + len(batch))
                names = [f"{self.path}:{number + 1}" for number in chosen]
                yield from zip(chosen.tolist(), names, _taken(batch, chosen - start, names), strict=True)
                start += len(batch)

    def _batches(self, group: int) -> "Iterator[pyarrow.RecordBatch]":
        """Yield the rows of a row group, some at once."""
        with self._undamaged():
            yield from self._open().iter_batches(STRIDE, row_groups=[group])

    def _open(self) -> "ParquetFile":
        from pyarrow import parquet

        return parquet.ParquetFile(self.path, page_checksum_verification=True)

    @contextmanager
    def _undamaged(self) -> Iterator[None]:
        """Raise an ``InputError`` for all that is raised of a file that is no Parquet, or a damaged one."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # Arrow raises a dozen classes
            if getattr(error, "errno", None):  # of the system, which tells the file itself
                raise
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{self.path}: no Parquet file, or a damaged one ({reason}); make it again") from None


def _taken(batch: "pyarrow.RecordBatch", places: "np.ndarray", names: Sequence[str]) -> list[RawRow | InputError]:
    """Return the rows of some places of a batch."""
    import pyarrow

    try:
        return rows_of(batch.take(places), names)
    except pyarrow.ArrowNotImplementedError:  # of some types Arrow takes none
        alone = (rows_of(batch.slice(place, 1), [name]) for place, name in zip(places, names, strict=True))
        return [row for rows in alone for row in rows]


def _within(numbers: "np.ndarray", start: int, end: int) -> "np.ndarray":
    """Return those of ascending ``numbers`` from ``start`` to before ``end``."""
    first, last = numbers.searchsorted((start, end))
    return numbers[first:last]


_KINDS = {".jsonl": _LineRows, ".json": _ListRows, ".parquet": _ParquetRows}
