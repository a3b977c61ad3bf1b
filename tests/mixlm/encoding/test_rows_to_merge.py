"""By which rows a codebook is merged, measured and probed, and that how they are laid into shards decides nothing."""

from collections.abc import Sequence
from types import SimpleNamespace

import pyarrow
import pytest

from mixlm.encoding.measuring import rows_to_measure, rows_to_merge, rows_to_probe
from vqvae import ChunkVQVAEConfig
from vqvae.model.chunks import TokenRow
from vqvae.training.merge import _enough_rows


def table(rows: Sequence[tuple[int, list[int]]]) -> SimpleNamespace:
    """Rows of a token that tells which each is, and of the lengths of its steps."""
    columns = {
        "prompt_ids": [[token] for token, _ in rows],
        "trace_ids": [[token] * sum(lengths) for token, lengths in rows],
        "step_lengths": [lengths for _, lengths in rows],
        "solution_ids": [[token] for token, _ in rows],
    }
    kind = pyarrow.list_(pyarrow.int32())
    return SimpleNamespace(rows=pyarrow.table({name: pyarrow.array(ids, kind) for name, ids in columns.items()}))


class Shards:
    """Held-out rows and training rows in shards of a size, and how many of each have a chunk, each ``every``-th."""

    def __init__(self, valid: int, train: int, size: int = 10**6, every: int = 1) -> None:
        self.held = {}
        for split, count, token in (("valid", valid, 1), ("train", train, 1000)):
            steps = [[1, 1] if number % every == 0 else [] for number in range(count)]
            rows = [(token + number, lengths) for number, lengths in enumerate(steps)]
            self.held[split] = [table(rows[start : start + size]) for start in range(0, count, size)]

    def shards(self, split: str) -> list[tuple[str, int]]:
        return [(split, number) for number in range(len(self.held[split]))]

    def tables(self, shards: list[tuple[str, int]]) -> list[SimpleNamespace]:
        return [self.held[split][number] for split, number in shards]


CONFIG = ChunkVQVAEConfig(codebook_size=8, chunk_length=4, compression_rate=4)


def numbers(rows: Sequence[TokenRow]) -> list[int]:
    return [int(row["prompt_ids"][0]) for row in rows]


@pytest.mark.parametrize(
    ("valid", "train", "taken"),
    [
        (8, 30, (8, 0)),  # 16 codes of held-out rows, twice as many as the codebook has
        (7, 30, (7, 30)),
        (0, 30, (0, 30)),
        (9, 30, (9, 0)),
        (700, 30, (500, 0)),
        (7, 700, (7, 493)),
    ],
)
@pytest.mark.parametrize("size", [3, 1000])
def test_few_held_out_rows_are_joined_by_training_rows(
    valid: int, train: int, taken: tuple[int, int], size: int
) -> None:
    shards = Shards(valid, train, size)
    rows, counts = rows_to_merge(shards, shards, CONFIG)
    assert counts == dict(zip(("valid", "train"), taken, strict=True))
    assert numbers(rows) == [*range(1, 1 + taken[0]), *range(1000, 1000 + taken[1])]
    assert len(_enough_rows(rows, CONFIG)) == len(rows)  # all of them decide


def test_more_rows_are_taken_where_they_have_few_codes() -> None:
    shards, config = Shards(700, 9), ChunkVQVAEConfig(codebook_size=600, chunk_length=4, compression_rate=4)
    assert rows_to_merge(shards, shards, config)[1] == {"valid": 600, "train": 0}


@pytest.mark.parametrize("size", [2, 7, 1000])
def test_how_many_rows_a_shard_has_decides_not_how_good_codes_look(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixlm.encoding.measuring.MEASURED", 4)
    monkeypatch.setattr("mixlm.encoding.measuring.PROBED", 9)
    shards, few = Shards(30, 30, size, every=3), Shards(6, 8, size)
    split, rows = rows_to_measure(shards, shards, CONFIG)
    assert split == "valid" and numbers(rows) == [1, 4, 7, 10]
    assert numbers(rows_to_probe(shards, shards)) == [*range(1000, 1009)]
    assert numbers(rows_to_probe(few, few)) == [*range(1000, 1008)]
