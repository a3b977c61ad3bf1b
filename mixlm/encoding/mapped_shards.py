"""The rows of Parquet shards, mapped into memory from Arrow files that are made of them once.

A file's name tells of which content it was made and what its own is. One that a loss of power has emptied, or that is
of other rows, is never taken.
"""

import hashlib
import os
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow

from mixlm.encoding.shard_files import read_shard
from mixlm.encoding.tokens.token_cache import cache_entry
from vqvae.atomic_files import whole_path
from vqvae.checksums import file_sum


if TYPE_CHECKING:
    from datasets import Dataset

CACHE = ".cache"  # folder beside the shards, so that it goes when they go
_DIGITS = 16  # of a checksum in a name
_ROWS = 1000  # of a batch in a file: one row is found without those of other batches


def map_shards(shards: Sequence[Path]) -> "Dataset | None":
    """Return the rows of shards of one folder; None if there is no place for the files.

    Where nothing can be written beside the shards, as with data that somebody else owns, it is the user's cache.
    """
    from datasets import Dataset, concatenate_datasets

    folder = shards[0].parent
    own = (
        nullcontext(folder / CACHE)
        if os.access(folder, os.W_OK)
        else cache_entry({"shards": [file_sum(shard) for shard in shards]})
    )
    with suppress(OSError), own as cache:
        cache.mkdir(exist_ok=True)
        files = [_whole_file(shard, cache) or _made(shard, cache) for shard in shards]
        return concatenate_datasets([Dataset.from_file(str(file)) for file in files])
    return None


def _whole_file(shard: Path, cache: Path) -> Path | None:
    """Return the file of a shard, if it is there as it was written."""
    found = cache.glob(f"{shard.stem}.{file_sum(shard)[:_DIGITS]}.*.arrow")
    return next((file for file in found if file_sum(file)[:_DIGITS] == file.suffixes[-2][1:]), None)


def _made(shard: Path, cache: Path) -> Path:
    """Make the file of a shard."""
    rows, content = read_shard(shard), pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(content, rows.schema) as stream:
        stream.write_table(rows, max_chunksize=_ROWS)
    content = content.getvalue()
    digits = hashlib.sha256(content).hexdigest()[:_DIGITS]
    file = cache / f"{shard.stem}.{file_sum(shard)[:_DIGITS]}.{digits}.arrow"
    with whole_path(file) as draft:
        draft.write_bytes(content)
    return file
