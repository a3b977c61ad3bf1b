"""The rows of Parquet shards, mapped into memory from Arrow files that are made of them once.

A file's name tells of which content it was made, so that one of other rows is never taken.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mixlm.encoding.shard_files import read_shard
from mixlm.encoding.tokens.arrow_files import DIGITS, find_rows, write_rows
from mixlm.encoding.tokens.token_cache import cache_entry, folder_alone
from vqvae.checksums import file_sum


if TYPE_CHECKING:
    from datasets import Dataset

CACHE = ".cache"  # folder beside the shards, so that it goes when they go
_ROWS = 1000  # of a batch in a file: one row is found without those of other batches


def map_shards(shards: Sequence[Path]) -> "Dataset | None":
    """Return the rows of shards of one folder; None if there is no place for the files.

    Where nothing can be written beside the shards, as with data that somebody else owns, it is the user's cache.
    """
    from datasets import Dataset, concatenate_datasets

    folder = shards[0].parent
    own = (
        folder_alone(folder / CACHE)
        if os.access(folder, os.W_OK)
        else cache_entry({"shards": [file_sum(shard) for shard in shards]})
    )
    with suppress(OSError), own as cache:
        files = [_file(shard, cache) for shard in shards]
        return concatenate_datasets([Dataset.from_file(str(file)) for file in files])
    return None


def _file(shard: Path, cache: Path) -> Path:
    """Return the file of a shard, which is made if it is not there as it was written."""
    name = f"{shard.stem}.{file_sum(shard)[:DIGITS]}"
    return find_rows(cache, name) or write_rows(cache, name, read_shard(shard), _ROWS)
