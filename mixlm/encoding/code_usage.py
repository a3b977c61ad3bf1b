"""Which chunks each code stands for in the training traces: the dictionary by which latents are read back."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixlm.data.tables import lists_of
from mixlm.data.values import read_json
from mixlm.encoding import USAGE, VQVAE
from mixlm.encoding.shard_files import read_shard
from mixlm.errors import InputError
from vqvae.atomic_files import whole_file


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MOST_LISTED = 5  # chunks of a code
GROUPS = 16  # in which they are sorted
MOST_COUNTED = 500_000  # codes; more of them would not make the dictionary better, only fill the memory


def write_usage(out: Path, shards: Sequence[str], compression_rate: int, tokenizer: "PreTrainedTokenizerFast") -> None:
    """Write ``vqvae/usage.json`` of an encoded dataset.

    ``totals`` says how often each code was used, ``chunks`` lists the texts that it most often stood for, with counts,
    and ``distinct_chunks`` how many there are. Of a dataset with more than ``MOST_COUNTED`` codes the texts of equally
    many are counted from the beginning of each shard, and ``counted`` says of how many of each code.

    Args:
        out: Folder of the dataset.
        shards: Names of its training shards.
        compression_rate: Trace tokens of one code, r, or at most.
        tokenizer: Makes text of ids.
    """
    most = MOST_COUNTED // max(len(shards), 1)
    found = (_counted(out / name, compression_rate, most) for name in shards)
    pairs, counts, used = zip(*found, strict=True)
    pairs, counts, totals = np.concatenate(pairs), np.concatenate(counts), sum(used, Counter())
    texts: dict[int, list[tuple[str, int]]] = {}
    counted: dict[int, int] = {}
    for mine in _parts(pairs[:, 0]):
        for code, chunks, times in _by_code(pairs[mine], counts[mine]):
            often = np.argsort(-times, kind="stable")[:MOST_LISTED]
            counted[code] = int(times.sum())
            texts[code] = [(tokenizer.decode(_ids(chunks[place])), int(times[place])) for place in often]
    distinct = sum(len(np.unique(pairs[mine, 1:], axis=0)) for mine in _parts(pairs[:, 1:].sum(1)))
    content = {"totals": _in_order(totals), "distinct_chunks": distinct, "chunks": _in_order(texts)}
    if counted != totals:
        content["counted"] = _in_order(counted)
    with whole_file(out / VQVAE / USAGE) as file:
        file.write(json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def _parts(values: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the places of values, some at a time, equal ones together: to sort all at once takes much memory."""
    group = values % GROUPS
    return (np.flatnonzero(group == part) for part in range(GROUPS))


def _by_code(pairs: np.ndarray, counts: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield each code of pairs with its different chunks, ascending, and how often each is."""
    pairs, counts = _unique(pairs, counts)
    codes, starts = np.unique(pairs[:, 0], return_index=True)
    split = (np.split(array, starts[1:]) for array in (pairs[:, 1:], counts))
    yield from zip(codes.tolist(), *split, strict=False)  # of nothing a split is one part


def _counted(path: Path, rate: int, most: int) -> tuple[np.ndarray, np.ndarray, Counter[int]]:
    """Return the different pairs of a shard (n, 1 + r), how often each is, and how often each code of the shard.

    A pair is a code and the ids that it stands for, then -1 for each that it has fewer of than r.
    """
    rows = read_shard(path, ["trace_ids", "codes", "code_ends"])
    (ids, lengths), (codes, numbers) = lists_of(rows, "trace_ids"), lists_of(rows, "codes")
    owner = np.repeat(np.arange(len(numbers)), numbers)[:most]
    ends = lists_of(rows, "code_ends")[0][: len(owner)]
    follows = np.diff(owner, prepend=-1) == 0  # another code of the same trace
    starts = np.where(follows, np.roll(ends, 1), 0)
    place = starts[:, None] + np.arange(rate)
    inside = place < ends[:, None]
    first = (np.cumsum(lengths) - lengths)[owner, None]
    chunks = np.where(inside, ids[np.where(inside, first + place, 0)], -1)
    pairs = np.concatenate([codes[: len(owner), None], chunks], axis=1, dtype=np.int32)
    used = Counter(dict(zip(*(values.tolist() for values in np.unique(codes, return_counts=True)), strict=True)))
    return *_unique(pairs, np.ones(len(pairs), dtype=np.int64)), used


def _in_order(values: Mapping[int, Any]) -> dict[str, Any]:
    return {str(code): values[code] for code in sorted(values)}


def _ids(chunk: np.ndarray) -> list[int]:
    """Return the ids of a chunk without what fills it up."""
    return chunk[chunk >= 0].tolist()


def _unique(pairs: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different rows of ``pairs``, ascending, and the sum of the counts of each."""
    rows, which = np.unique(pairs, axis=0, return_inverse=True)
    return rows, np.bincount(which.ravel(), weights=counts, minlength=len(rows)).astype(np.int64)


def read_usage(path: Path) -> dict[int, tuple[tuple[str, float], ...]]:
    """Read which chunks every code stood for: code to (text, share), most frequent first; without a file none.

    Raises:
        InputError: If the file is there and damaged.
    """
    content = _content(path)
    with _told_if_damaged(path):
        counted = content.get("counted", content["totals"])
        return {
            int(code): tuple((text, count / counted[code]) for text, count in chunks)
            for code, chunks in content["chunks"].items()
        }


def read_totals(path: Path) -> dict[int, int] | None:
    """Read how often every code was used; None if there is no file.

    Raises:
        InputError: If the file is there and damaged.
    """
    if not path.is_file():
        return None
    content = _content(path)
    with _told_if_damaged(path):
        return {int(code): int(total) for code, total in content["totals"].items()}


def _content(path: Path) -> dict[str, Any]:
    """Return what the file holds; without a file, of no code anything."""
    if not path.is_file():
        return {"totals": {}, "chunks": {}}
    with _told_if_damaged(path):
        return read_json(path.read_text(encoding="utf-8"))


@contextmanager
def _told_if_damaged(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        raise InputError(f"{path}: damaged; encode the data again, or remove the file to go without it") from None
