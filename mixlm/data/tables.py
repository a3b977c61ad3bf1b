"""The columns of a tokenized row, what its codes replace, and rows as Arrow tables."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow

from mixlm.errors import InputError


def replaced_chunks(row: Mapping[str, Any], compression_rate: int) -> list[tuple[int, Sequence[int]]]:
    """Return each code of a row with the r trace tokens that it replaces.

    Args:
        row: Holds ``trace_ids`` and ``codes``.
        compression_rate: Trace tokens of one code, r.

    >>> replaced_chunks({"trace_ids": [1, 2, 3, 4, 5], "codes": [7, 9]}, 2)
    [(7, [1, 2]), (9, [3, 4])]
    """
    trace, rate = row["trace_ids"], compression_rate
    return [(code, trace[place * rate : (place + 1) * rate]) for place, code in enumerate(row["codes"])]


def lists_of(rows: pyarrow.Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a column of lists, end to end, and the length of each list."""
    values, ends = flat_lists(rows, name)
    return values[ends[0] : ends[-1]], np.diff(ends).astype(np.int64)


PARTS = ("prompt_ids", "trace_ids", "solution_ids")


def flat_lists(table: pyarrow.Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a column of lists end to end, and where each list begins; the last place is the end."""
    column = table.column(name).combine_chunks()
    column = column.chunk(0) if isinstance(column, pyarrow.ChunkedArray) else column
    return column.values.to_numpy(), column.offsets.to_numpy()


ID_COLUMNS = ("prompt_ids", "trace_ids", "solution_ids", "step_lengths", "codes")


def as_dataset(rows: Sequence[dict[str, Any]], source: str):
    """Return tokenized rows as a ``datasets.Dataset``.

    Raises:
        InputError: If there are none.
    """
    from datasets import Dataset
    from datasets.table import InMemoryTable

    if not rows:
        raise InputError(f"{source}: holds no samples")
    return Dataset(InMemoryTable(row_table(rows)))


def row_table(rows: Sequence[dict[str, Any]], names: Sequence[str] = ()):
    """Return tokenized rows as a ``pyarrow.Table``: ids and lengths are lists of 32-bit integers.

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


def list_array(flat: np.ndarray, lengths: Sequence[int] | np.ndarray):
    """Return lists of these ``lengths``, laid end to end in ``flat``, as a ``pyarrow.ListArray``."""
    import pyarrow

    ends = np.cumsum([0, *lengths], dtype=np.int32)
    return pyarrow.ListArray.from_arrays(pyarrow.array(ends), pyarrow.array(flat, pyarrow.int32()))
