"""Tokenized rows: their columns, what their codes replace, and tables of them."""

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mixlm.data.mapped import Mapped
from vqvae import PARTS


if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset


Row = Mapping[str, Any]  # a tokenized row
COLUMNS = ("row", *PARTS, "step_lengths", "question", "answer")  # of every row; its codes and own columns follow
ID_COLUMNS = (*PARTS, "step_lengths", "codes", "code_ends")  # lists of integers
ROWS_AT_ONCE = 10_000  # of a pass over all


def tokens_of(row: Row) -> int:
    """Return how many tokens prompt, trace and solution have together."""
    return sum(len(row[part]) for part in PARTS)


def replaced_tokens(row: Row, codes: int) -> int:
    """Return how many trace tokens the first ``codes`` codes of a row stand for: the place where its text goes on."""
    return row["code_ends"][codes - 1] if codes else 0


def replaced_chunks(row: Row) -> list[tuple[int, Sequence[int]]]:
    """Return each code of a row with the trace tokens that it replaces.

    Args:
        row: Holds ``trace_ids``, ``codes`` and ``code_ends``.

    >>> replaced_chunks({"trace_ids": [1, 2, 3, 4, 5, 6], "codes": [7, 9], "code_ends": [2, 5]})
    [(7, [1, 2]), (9, [3, 4, 5])]
    """
    trace, places = row["trace_ids"], pairwise([0, *row["code_ends"]])
    return [(code, trace[start:end]) for code, (start, end) in zip(row["codes"], places, strict=True)]


def rows_digest(rows: "Dataset") -> str:
    """Return a hash of the ids, codes and numbers of rows in their order, 16 hexadecimal digits; no file counts."""
    digest = hashlib.sha256()
    names = [name for name in ID_COLUMNS if name in rows.column_names]
    mapped = Mapped(rows.data.table)
    for table in rows.select_columns(["row", *names]).with_format("arrow").iter(ROWS_AT_ONCE):
        for values in chain((table["row"].to_numpy(),), *(lists_of(table, name) for name in names)):
            digest.update(np.ascontiguousarray(values, dtype="<i8"))
        mapped.give_back()
    return digest.hexdigest()[:16]


def in_turn(rows: "Sequence[Row] | Dataset", names: Sequence[str]) -> Iterator[Row]:
    """Yield rows in order, of a ``datasets.Dataset`` with these columns alone; what was read of it is given back."""
    if not hasattr(rows, "column_names"):
        yield from rows
        return
    mapped = Mapped(rows.data.table)
    for row in rows.select_columns([name for name in names if name in rows.column_names]):
        yield row
        mapped.count_read()


def with_column(rows: "Dataset", name: str, values: Iterable[Sequence[int]]) -> "Dataset":
    """Return rows with a further column of lists of integers."""
    import pyarrow
    from datasets import concatenate_datasets

    flat, lengths = array("i"), array("q")
    for own in values:
        flat.extend(own)
        lengths.append(len(own))
    column = list_array(np.frombuffer(flat, np.int32), np.frombuffer(lengths, np.int64))
    return concatenate_datasets([rows, in_memory(pyarrow.table({name: column}))], axis=1)


def in_memory(table: "pyarrow.Table") -> "Dataset":
    """Return a table as rows, without a copy."""
    from datasets import Dataset
    from datasets.table import InMemoryTable  # the one way to keep 32-bit integers

    return Dataset(InMemoryTable(table))


def row_table(rows: Sequence[Row], names: Sequence[str] = ()) -> "pyarrow.Table":
    """Return rows as a table: ids and lengths are lists of 32-bit integers.

    Args:
        rows: The rows, all of them with the same lists; any text that a row lacks is null.
        names: Columns that the table has, even where no row does.
    """
    import pyarrow

    columns = {}
    for name in dict.fromkeys([*names, *(name for row in rows for name in row)]):
        values = [row.get(name) for row in rows]
        if name in ID_COLUMNS:
            columns[name] = list_array(np.fromiter(chain(*values), np.int32), [*map(len, values)])
        else:
            columns[name] = pyarrow.array(values, pyarrow.int64() if name == "row" else pyarrow.string())
    return pyarrow.table(columns)


def list_array(flat: np.ndarray, lengths: Sequence[int] | np.ndarray) -> "pyarrow.ListArray":
    """Return lists of these ``lengths``, laid end to end in ``flat``, as a column."""
    import pyarrow

    ends = np.cumsum([0, *lengths], dtype=np.int32)
    return pyarrow.ListArray.from_arrays(pyarrow.array(ends), pyarrow.array(flat, pyarrow.int32()))


def lists_of(table: "pyarrow.Table", name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a column of lists, end to end, and the length of each list."""
    values, ends = flat_lists(table, name)
    return values[ends[0] : ends[-1]], np.diff(ends).astype(np.int64)


def flat_lists(table: "pyarrow.Table", name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a column of lists end to end, and where each list begins; the last place is the end."""
    import pyarrow

    column = table.column(name)
    if column.num_chunks != 1:
        column = column.combine_chunks()  # a copy
    column = column.chunk(0) if isinstance(column, pyarrow.ChunkedArray) else column
    return column.values.to_numpy(), column.offsets.to_numpy()
