"""A folder in which tests encode tiny traces again and again."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from pyarrow import parquet

from mixlm.encoding.encode import encode_dataset
from mixlm.encoding.options import EncodingOptions
from mixlm.errors import InputError
from tests.interruption import Interrupted
from tests.tiny_data import raw_rows, write_scratch
from vqvae import VQVAETrainingOptions
from vqvae.options import PAPERS_CODES


LENGTH, RATE, CODES = 4, 2, 6
SHAPE = {
    **PAPERS_CODES,
    "chunk_length": LENGTH,
    "compression_rate": RATE,
    "codebook_size": CODES,
    "code_dim": 4,
    "hidden_size": 16,
    "num_layers": 1,
    "num_heads": 2,
    "max_prompt_length": 16,
    "warmup_steps": 3,
}
TRAINING = VQVAETrainingOptions(steps=8, batch_size=8, learning_rate=1e-2, save_every=2)
OPTIONS = EncodingOptions(shape=SHAPE, training=TRAINING, valid_fraction=0.2, shard_rows=9)


def write_traces(folder, rows=None):
    path = folder / "traces.jsonl"
    rows = rows or [{**row, "id": index} for index, row in enumerate(raw_rows(40))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Work:
    """A folder with traces and a model, in which encoding can be called again and again."""

    def __init__(self, folder, rows=None):
        self.folder, self.traces, self.model = folder, write_traces(folder, rows), write_scratch(folder)

    def encode(self, out: str = "encoded", advance_of=None, say=print, model=None, **changes):
        options = replace(OPTIONS, **changes)
        encode_dataset(str(self.traces), str(model or self.model), self.folder / out, options, advance_of, say)
        return self.folder / out

    def refuses(self, out: str = "encoded", **changes) -> str:
        """The one line by which encoding is refused; checks that it changes nothing in ``out``."""
        before = contents(self.folder / out)
        with pytest.raises(InputError) as caught:
            self.encode(out, **changes)
        assert contents(self.folder / out) == before and "\n" not in str(caught.value)
        return str(caught.value)


def contents(path) -> dict[str, tuple[bytes, int]]:
    """Every file below ``path`` with what is in it and when it was written."""
    files = [path] if path.is_file() else path.rglob("*")
    return {str(file): (file.read_bytes(), file.stat().st_mtime_ns) for file in files if file.is_file()}


def tables(path) -> dict[str, list[dict]]:
    return {file.name: parquet.read_table(file).to_pylist() for file in path.glob("*.parquet")}


def cut(label: str, step: int):
    """For ``advance_of``: cut the power when the part called ``label`` has come to a step."""

    def advance_of(part: str):
        def advance(now: int, total: int, figures: Mapping = {}) -> None:
            if part == label and now >= step:
                raise Interrupted

        return advance

    return advance_of
