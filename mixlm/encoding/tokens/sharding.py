"""Which rows of the traces go into which shard of an encoded dataset.

Shard ``i`` of the training split is made of the rows from ``i * shard_rows`` to ``(i + 1) * shard_rows`` of the file,
without those held out and those that are malformed. So what a shard holds depends on no other shard: any process can
write any of them, and after an interruption what is missing is written alone.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mixlm.data.formats.dataset_rows import parts_of
from mixlm.data.reading import open_raw
from mixlm.data.samples import CHECKED_ROWS, CheckName, Sample, try_sample, widest_check
from mixlm.data.texts.responses import compile_pattern
from mixlm.encoding.options import EncodingOptions
from mixlm.errors import InputError
from vqvae.checksums import file_sum


MOST_VALID = 1000


def _is_one(first: str, second: str) -> bool:
    """Tell whether two sources are the same split of the same dataset, or files of the same content."""
    (place, *rest), (other, *others) = parts_of(first), parts_of(second)
    paths = Path(place), Path(other)
    if all(path.is_file() for path in paths):
        sizes = {path.stat().st_size for path in paths}
        return len(sizes) == 1 and file_sum(paths[0]) == file_sum(paths[1])
    if all(path.is_dir() for path in paths):
        place, other = paths[0].resolve(), paths[1].resolve()
    (name, split), (other_name, other_split) = rest, others
    return (place, name, split or "train") == (other, other_name, other_split or "train")


class Shard(NamedTuple):
    """One file of an encoded dataset.

    Attributes:
        split: "train" or "valid".
        number: Its place among the shards of the split.
    """

    split: str
    number: int

    @property
    def name(self) -> str:
        """Name of its Parquet file."""
        return f"{self.split}-{self.number:05d}.parquet"


class Sharding:
    """The rows of all shards by number, before any is read.

    Args:
        traces: Anything that ``mixlm.data.reading.open_raw`` opens.
        options: Tell what is held out, and how large a shard is.

    Attributes:
        sources: By split, where its rows are read.
        held_out: (n,) numbers, ascending, of the training source's rows that are the validation rows.

    Raises:
        InputError: If there is nothing to read, or what is held out is what is learned from.
    """

    def __init__(self, traces: str, options: EncodingOptions) -> None:
        self.traces, self.shard_rows, self.own_valid = traces, options.shard_rows, bool(options.valid)
        train = open_raw(traces)
        if not len(train):
            raise InputError(f"{traces}: holds no samples")
        self.sources = {"train": train, "valid": open_raw(options.valid) if options.valid else train}
        if options.valid and _is_one(traces, options.valid):
            raise InputError(
                f"--valid {options.valid}: holds the rows of {traces}, which are learned from; give others"
            )
        if not len(self.sources["valid"]):
            raise InputError(f"{options.valid}: holds no samples")
        held = 0 if options.valid else min(round(len(train) * options.valid_fraction), MOST_VALID)
        order = np.random.default_rng(options.training.seed).permutation(len(train)) if held else np.zeros(0, int)
        self.held_out = np.sort(order[:held])

    def shards(self, *splits: str) -> list[Shard]:
        """Return the shards of some splits in order, of all without arguments."""
        counts = {"train": len(self.sources["train"])}
        counts["valid"] = len(self.sources["valid"]) if self.own_valid else len(self.held_out)
        return [
            Shard(split, number)
            for split in splits or ("train", "valid")
            for number in range(-(-counts[split] // self.shard_rows))
        ]

    def numbers(self, shard: Shard) -> np.ndarray:
        """Return the numbers, ascending, of the rows of a shard's source that belong to it."""
        start = shard.number * self.shard_rows
        end = start + self.shard_rows
        if shard.split == "valid" and not self.own_valid:
            return self.held_out[start:end]
        numbers = np.arange(start, min(end, len(self.sources[shard.split])))
        return np.setdiff1d(numbers, self.held_out) if shard.split == "train" else numbers

    def check(self, options: EncodingOptions) -> CheckName:
        """Return how answers to the training source's rows are to be compared, by the first of them."""
        first = self.sources["train"].read(range(min(CHECKED_ROWS, len(self.sources["train"]))))
        pattern = compile_pattern(options.answer_pattern)
        samples = (try_sample(row, where, True, pattern) for _, where, row in first)
        return widest_check(sample for sample in samples if isinstance(sample, Sample))

    def samples(self, options: EncodingOptions) -> Iterator[Sample]:
        """Yield the training samples."""
        pattern = compile_pattern(options.answer_pattern)
        for shard in self.shards("train"):
            for _, where, row in self.sources["train"].read(self.numbers(shard)):
                sample = try_sample(row, where, options.skip_bad_rows, pattern)
                if isinstance(sample, Sample):
                    yield sample
