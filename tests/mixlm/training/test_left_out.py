"""Rows that are too long: nothing is learned from them, neither by the model nor by the method."""

import json
from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path

import pytest

from mixlm.data.tables import tokens_of
from mixlm.encoding.dataset import load_encoded
from mixlm.errors import InputError
from mixlm.run import Run
from mixlm.training.options import TrainingOptions
from mixlm.training.train import train
from tests.tiny_data import raw_rows, write_encoded, write_raw, write_scratch


LONG = "so it is " * 100  # beyond the context of 128, whatever its words become


def write_rows(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def finetune(folder: Path, source: object, method: str, **training) -> tuple[Run, list[str]]:
    """Train; return the run and what the user was told."""
    said: list[str] = []
    options = TrainingOptions(method, **{"steps": 1, "batch_size": 4, "learning_rate": 1e-5, **training})
    return train(source, write_scratch(folder), folder / "run", options, say=said.append), said


def sizes(encoded: Path, extra: float = 0) -> tuple[Sequence[dict], list[int]]:
    """The training rows of an encoded dataset, and the tokens of each with ``extra`` for each code, rounded up."""
    rows = load_encoded(encoded).train
    return rows, [tokens_of(row) + ceil(extra * len(row["codes"])) for row in rows]


def test_the_schedule_of_icot_ends_with_the_longest_trace_that_is_read(tmp_path: Path) -> None:
    """A step removes a token, so all are gone after as many steps as that trace has."""
    rows = raw_rows(64)
    raw = write_rows(tmp_path / "raw.jsonl", [*rows, {**rows[0], "steps": [LONG]}])
    run, said = finetune(tmp_path, raw, "icot", method_options={"per_epoch": 16.0}, steps=60)
    traces = [run.tokenizer()("\n".join(row["steps"]))["input_ids"] for row in rows]
    assert run.method.schedule_end(run.steps_per_epoch) == max(map(len, traces)) < 60
    assert said == ["warning: left out 1 samples longer than 128 tokens"]  # and not that the schedule is too long


def test_frequent_strings_are_those_of_the_traces_that_are_read(tmp_path: Path) -> None:
    encoded = write_encoded(tmp_path)
    rows, lengths = sizes(encoded)
    longest = sorted(lengths)[len(lengths) // 3] + 2  # the method adds two delimiters
    kept = [row for row, length in zip(rows, lengths, strict=True) if length + 2 <= longest]
    run, _ = finetune(tmp_path, encoded, "frequent-ngrams", max_length=longest)
    assert run.method_state == run.method.fit(kept, 0) != run.method.fit(rows, 0)


def test_room_is_left_for_the_runs_of_a_rows_own_codes(tmp_path: Path) -> None:
    """Codes of two tokens, every other of them latent: each of these takes a token more than its text."""
    encoded = write_encoded(tmp_path)
    _, needed = sizes(encoded, extra=0.5)
    longest = sorted(needed)[len(needed) // 2]
    _, said = finetune(tmp_path, encoded, "assorted-poisson", max_length=longest)
    left_out = f"warning: left out {sum(length > longest for length in needed)} samples longer than {longest} tokens"
    assert said[0] == left_out and not any("left out" in line for line in said[1:])


def test_validation_rows_that_are_left_out_are_counted(tmp_path: Path) -> None:
    rows = raw_rows(8)
    valid = write_rows(tmp_path / "valid.jsonl", [*rows, {**rows[0], "question": LONG}])
    _, said = finetune(tmp_path, write_raw(tmp_path), "cot", valid=valid, eval_every=1)
    assert said == ["warning: left out 1 validation samples longer than 128 tokens"]


def test_a_sample_beyond_the_context_is_left_out_whatever_the_longest_length(tmp_path: Path) -> None:
    rows = raw_rows(8)
    raw = write_rows(tmp_path / "raw.jsonl", [*rows, {**rows[0], "question": LONG}])
    _, said = finetune(tmp_path, raw, "cot", max_length=1000)
    assert said == ["warning: left out 1 samples longer than 128 tokens"]


def test_validation_rows_that_are_all_too_long_are_named(tmp_path: Path) -> None:
    valid = write_rows(tmp_path / "valid.jsonl", [{**row, "question": LONG} for row in raw_rows(8)])
    with pytest.raises(InputError, match="^every validation sample is longer than 128 tokens .*the model's context"):
        finetune(tmp_path, write_raw(tmp_path), "cot", valid=valid)
    assert not (tmp_path / "run").exists()


NESTED = """
model_type: gemma3
text_config:
  {hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 1,
   head_dim: 16, vocab_size: 300, max_position_embeddings: 60}
vision_config:
  {hidden_size: 16, intermediate_size: 16, num_hidden_layers: 1, num_attention_heads: 1, image_size: 28,
   patch_size: 14}
tokenizer: {vocab_size: 300}
"""


def test_the_context_is_that_of_the_language_model_in_a_larger_one(tmp_path: Path) -> None:
    """A model of text and images has a configuration for each."""
    scratch = write_scratch(tmp_path)
    scratch.write_text(NESTED)
    rows = raw_rows(8)
    raw = write_rows(tmp_path / "raw.jsonl", [*rows, {**rows[0], "question": LONG}])
    said: list[str] = []
    options = TrainingOptions("cot", steps=1, batch_size=4, learning_rate=1e-5)
    with pytest.raises(InputError):
        train(raw, scratch, tmp_path / "run", replace(options, batch_size=9), say=said.append)
    assert said == ["warning: left out 1 samples longer than 60 tokens"]
