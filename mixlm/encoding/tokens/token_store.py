"""Tokenized rows on disk, for training on more of them than fit into memory."""

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow

from mixlm.encoding import ABOUT
from mixlm.encoding.tokens.arrow_files import find_rows, write_rows
from mixlm.encoding.tokens.sharding import Shard
from mixlm.encoding.tokens.token_tables import TokenTable, TokenTables
from vqvae.advance import Advance
from vqvae.atomic_files import whole_file


class TokenStore:
    """A folder with one file a shard.

    Args:
        folder: The folder; what is there of other rows or another tokenizer is removed.
        identity: What decides the ids, as JSON values.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder, about = folder, folder / ABOUT
        if about.is_file() and about.read_bytes() != json.dumps(identity).encode():
            self.discard()
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(about) as file:
            json.dump(identity, file)

    def fill(self, source: TokenTables, sizes: dict[Shard, int], advance: Advance | None = None) -> None:
        """Take from ``source`` those shards that are not there yet, or not as they were written.

        Args:
            source: Has them.
            sizes: Rows of each shard to take.
            advance: Called with (rows taken, rows to take) after each shard; None: nothing is called.
        """
        missing = [shard for shard in sizes if not self.file(shard)]
        total, done = sum(sizes[shard] for shard in missing), 0
        for shard, table in zip(missing, source.tables(missing), strict=True):
            self._write(shard, table)
            done += sizes[shard]
            if advance:
                advance(done, total)

    def _write(self, shard: Shard, table: TokenTable) -> None:
        about = {"skipped": str(table.skipped), "rules": json.dumps(dict(table.rules))}
        write_rows(self.folder, Path(shard.name).stem, table.rows.replace_schema_metadata(about))

    def file(self, shard: Shard) -> Path | None:
        """Return the file of a shard, if it is there as it was written."""
        return find_rows(self.folder, Path(shard.name).stem)

    def tables(self, shards: Iterable[Shard]) -> Iterator[TokenTable]:
        """Yield the rows of each shard, mapped into memory."""
        for shard in shards:
            rows = pyarrow.ipc.open_stream(pyarrow.memory_map(str(self.file(shard)))).read_all()
            about = rows.schema.metadata
            yield TokenTable(rows, int(about[b"skipped"]), json.loads(about.get(b"rules", b"{}")))

    def discard(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
