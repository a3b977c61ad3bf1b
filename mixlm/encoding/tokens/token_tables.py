"""Tokenized rows as Arrow tables, one a shard, and the ids in them row by row."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow

from mixlm.data.mapped import Mapped
from mixlm.data.tables import PARTS, flat_lists
from mixlm.data.texts.responses import tell_rules
from mixlm.encoding.tokens.sharding import Shard


class TokenTable(NamedTuple):
    """The tokenized rows of a shard.

    Attributes:
        rows: One row a sample.
        skipped: Malformed rows that were left out.
        rules: How many answers were found by each rule, see ``mixlm.data.texts.responses.count_rules``.
        refusal: Why the first of several rows was left out that cannot be tokenised, if there is none that can be.
    """

    rows: pyarrow.Table
    skipped: int
    rules: Mapping[str, int] = MappingProxyType({})
    refusal: str | None = None


class TokenTables(Protocol):
    """Where the tokenized rows of shards come from: processes that tokenise them, or a folder."""

    def tables(self, shards: Iterable[Shard]) -> Iterator[TokenTable]:
        """Yield the tokenized rows of each shard."""


class TokenRows(Sequence[dict[str, np.ndarray]]):
    """The ids of tables' rows and the lengths of their steps, without a copy of them.

    Args:
        tables: Tables of tokenized rows; of a file that is mapped into memory, no more is read than is asked for, and
            what was read is given back now and then.
    """

    def __init__(self, tables: Iterable[pyarrow.Table]) -> None:
        tables = [*tables]
        self.parts = [{part: flat_lists(table, part) for part in (*PARTS, "step_lengths")} for table in tables]
        self.mapped = Mapped(*tables)
        self.ends = [*accumulate(len(part["trace_ids"][1]) - 1 for part in self.parts)]

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Return one row."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        self.mapped.count_read()
        table = bisect_right(self.ends, index)
        row = index - (self.ends[table - 1] if table else 0)
        return {name: values[ends[row] : ends[row + 1]] for name, (values, ends) in self.parts[table].items()}


def tell_answers(tables: Iterable[TokenTable], say: Callable[[str], None]) -> None:
    """Say in one line by which rules the answers of tables were found, unless all had columns of their own."""
    rules, samples = Counter[str](), 0
    for table in tables:
        rules.update(table.rules)
        samples += table.rows.num_rows
    if told := tell_rules(rules, samples):
        say(f"answers: {told}")
