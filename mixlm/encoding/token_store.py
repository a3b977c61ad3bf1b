"""Tokenized rows on disk, for training stage 1 on more of them than fit into memory."""

import json
import shutil
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from mixlm.atomic_files import whole_file, whole_path
from mixlm.data.tables import PARTS, flat_lists
from mixlm.encoding.corpus import Shard
from mixlm.encoding.tokenizer_pool import Tokenizing, TokenTable


class TokenRows(Sequence[dict[str, np.ndarray]]):
    """The ids of tables' rows: ``prompt_ids``, ``trace_ids`` and ``solution_ids``, without a copy of them.

    Args:
        tables: Tables of tokenized rows; of a file that is mapped into memory, no more is read than is asked for.
    """

    def __init__(self, tables: Iterable[pyarrow.Table]) -> None:
        self.parts = [{part: flat_lists(table, part) for part in PARTS} for table in tables]
        self.ends = [*accumulate(len(part["trace_ids"][1]) - 1 for part in self.parts)]

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Return one row."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        table = bisect_right(self.ends, index)
        row = index - (self.ends[table - 1] if table else 0)
        return {part: ids[ends[row] : ends[row + 1]] for part, (ids, ends) in self.parts[table].items()}


class TokenStore:
    """A folder with one file a shard.

    Args:
        folder: The folder; what is there of other rows or another tokenizer is removed.
        identity: What decides the ids, as JSON values.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder, self.about = folder, folder / "about.json"
        if self.about.is_file() and json.loads(self.about.read_text(encoding="utf-8")) != identity:
            self.discard()
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(self.about) as file:
            json.dump(identity, file)

    def fill(self, tokenizing: Tokenizing, shards: Sequence[Shard], report: Callable[..., None] | None) -> None:
        """Tokenise those of ``shards`` that are not there yet."""
        missing = [shard for shard in shards if not self._file(shard).is_file()]
        total = sum(len(tokenizing.corpus.numbers(shard)) for shard in missing)
        done = 0
        for shard, table in zip(missing, tokenizing.tables(missing), strict=True):
            self._write(shard, table)
            done += table.rows.num_rows + table.skipped
            if report:
                report(done, total, {})

    def _write(self, shard: Shard, table: TokenTable) -> None:
        rows = table.rows.replace_schema_metadata({"skipped": str(table.skipped)})
        with whole_path(self._file(shard)) as draft, pyarrow.ipc.new_file(draft, rows.schema) as file:
            file.write_table(rows)

    def tables(self, shards: Iterable[Shard]) -> Iterator[TokenTable]:
        """Yield the rows of each shard, mapped into memory."""
        for shard in shards:
            rows = pyarrow.ipc.open_file(pyarrow.memory_map(str(self._file(shard)))).read_all()
            yield TokenTable(rows, int(rows.schema.metadata[b"skipped"]))

    def discard(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, shard: Shard) -> Path:
        return self.folder / f"{Path(shard.name).stem}.arrow"
