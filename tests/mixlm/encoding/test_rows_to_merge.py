from types import SimpleNamespace

import pyarrow
import pytest

from mixlm.encoding.measuring import rows_to_merge
from vqvae import ChunkVQVAEConfig


def table(rows: int, token: int) -> SimpleNamespace:
    """Rows of two steps, of a token that tells whose they are."""
    parts = {"prompt_ids": [token], "trace_ids": [token] * 2, "step_lengths": [1, 1], "solution_ids": [token]}
    columns = {name: pyarrow.array([ids] * rows, pyarrow.list_(pyarrow.int32())) for name, ids in parts.items()}
    return SimpleNamespace(rows=pyarrow.table(columns))


class Shards:
    """Two shards, of held-out rows and of training rows."""

    def __init__(self, valid: int, train: int) -> None:
        self.held = {"valid": table(valid, 1), "train": table(train, 2)}

    def shards(self, split: str) -> list[str]:
        return [split]

    def tables(self, shards: list[str]) -> list[SimpleNamespace]:
        return [self.held[shard] for shard in shards]


@pytest.mark.parametrize(
    ("valid", "train", "tokens"),
    [
        (8, 30, [1] * 8),  # 16 codes of held-out rows, twice as many as the codebook has
        (7, 30, [1] * 7 + [2] * 30),
        (0, 30, [2] * 30),
    ],
)
def test_few_held_out_rows_are_joined_by_training_rows(valid: int, train: int, tokens: list[int]) -> None:
    shards = Shards(valid, train)
    config = ChunkVQVAEConfig(codebook_size=8, chunk_length=4, compression_rate=4)
    assert [int(row["prompt_ids"][0]) for row in rows_to_merge(shards, shards, config)] == tokens
