"""An unfinished run goes on with what it was begun with, or not at all."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mixlm.data.tables import rows_digest
from mixlm.encoding.dataset import load_encoded
from mixlm.errors import InputError
from mixlm.model.loading import open_model
from mixlm.model.tokenizers import build_tokenizer
from mixlm.training.options import TrainingOptions
from mixlm.training.train import train
from tests.interruption import Interrupted, interrupt_at
from tests.tiny_data import raw_rows, write_encoded, write_raw, write_scratch


OPTIONS = TrainingOptions("cot", steps=4, batch_size=8, save_every=2)


def begin(data: Path, model: Path, out: Path, step: int = 3, options: TrainingOptions = OPTIONS) -> None:
    with pytest.raises(Interrupted):
        train(data, model, out, options, advance=interrupt_at(step))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refusal(data: Path, model: Path, out: Path, options: TrainingOptions = OPTIONS) -> str:
    before = contents(out)
    with pytest.raises(InputError) as caught:
        train(data, model, out, options)
    assert contents(out) == before
    return str(caught.value)


def write_base(folder: Path, seed: int = 0, texts: tuple[str, ...] = ("1 + 2 ?", "1 and 2 make 3")) -> Path:
    """A base model with its tokenizer."""
    base, tokenizer = folder / "base", build_tokenizer(texts, 300)
    open_model(str(write_scratch(folder)), tokenizer, seed).save_pretrained(base)
    tokenizer.save_pretrained(base)
    return base


def test_rows_that_have_changed_are_refused_by_their_file(tmp_path: Path) -> None:
    raw, scratch, out = write_raw(tmp_path), write_scratch(tmp_path), tmp_path / "run"
    begin(raw, scratch, out)
    lines = raw.read_text().splitlines(keepends=True)
    raw.write_text("".join(reversed(lines)))
    expected = f"{raw}: its rows have changed since the run at {out} was begun, which would go on from checkpoint-2;"
    assert refusal(raw, scratch, out).startswith(expected)
    raw.write_text("".join(lines) + "\n")  # other bytes, the same rows
    train(raw, scratch, out, OPTIONS)


def test_validation_rows_that_have_changed_are_refused_by_their_file(tmp_path: Path) -> None:
    raw, scratch, out = write_raw(tmp_path), write_scratch(tmp_path), tmp_path / "run"
    valid = tmp_path / "valid.jsonl"
    valid.write_text("".join(json.dumps(row) + "\n" for row in raw_rows(4, seed=1)))
    options = replace(OPTIONS, valid=str(valid))
    begin(raw, scratch, out, options=options)
    valid.write_text("".join(json.dumps(row) + "\n" for row in raw_rows(4, seed=2)))
    assert refusal(raw, scratch, out, options).startswith(f"{valid}: its validation rows have changed")


def test_a_dataset_that_was_encoded_anew_is_refused_by_its_folder(tmp_path: Path) -> None:
    scratch, out, options = write_scratch(tmp_path), tmp_path / "run", replace(OPTIONS, method="assorted")
    encoded = write_encoded(tmp_path)
    begin(encoded, scratch, out, options=options)
    shutil.rmtree(encoded)
    write_encoded(tmp_path, count=41)
    assert refusal(encoded, scratch, out, options).startswith(f"{encoded}: its rows have changed")


def test_a_base_model_that_has_changed_is_refused_by_its_folder(tmp_path: Path) -> None:
    raw, base, out = write_raw(tmp_path), write_base(tmp_path), tmp_path / "run"
    begin(raw, base, out)
    write_base(tmp_path, seed=1)
    assert refusal(raw, base, out).startswith(f"{base}: its weights have changed")
    write_base(tmp_path, texts=("quite other words",))
    assert refusal(raw, base, out).startswith(f"{base}: its tokenizer has changed")
    write_base(tmp_path)
    train(raw, base, out, OPTIONS)


def test_an_end_of_the_tokenizer_that_has_changed_is_told_as_such_and_not_of_the_rows(tmp_path: Path) -> None:
    raw, base, out = write_raw(tmp_path), tmp_path / "base", tmp_path / "run"
    tokenizer = build_tokenizer(("1 + 2 ?", "1 and 2 make 3"), 300)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<end>"]})
    open_model(str(write_scratch(tmp_path)), tokenizer).save_pretrained(base)
    tokenizer.save_pretrained(base)
    begin(raw, base, out)
    begin(raw, base, tmp_path / "other")
    tokenizer.chat_template = "{{ messages }}"
    tokenizer.save_pretrained(base)
    train(raw, base, out, OPTIONS)  # rows that are no chats are what they were
    tokenizer.eos_token = "<end>"
    tokenizer.save_pretrained(base)
    told = refusal(raw, base, tmp_path / "other")
    assert told.startswith(f"{base}: the ends or the chat template of its tokenizer have changed")


def test_a_model_of_the_same_weights_and_another_configuration_is_refused(tmp_path: Path) -> None:
    raw, scratch, base = write_raw(tmp_path), write_scratch(tmp_path), write_base(tmp_path)
    config = json.loads((base / "config.json").read_text())
    begin(raw, base, tmp_path / "run")
    begin(raw, scratch, tmp_path / "from-scratch")
    (base / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.5}))
    scratch.write_text(scratch.read_text() + "rms_norm_eps: 0.5\n")
    assert refusal(raw, base, tmp_path / "run").startswith(f"{base}: its configuration has changed")
    assert refusal(raw, scratch, tmp_path / "from-scratch").startswith(f"{scratch}: its configuration has changed")
    (base / "config.json").write_text(json.dumps({**config, "transformers_version": "5.99"}))
    train(raw, base, tmp_path / "run", OPTIONS)


def test_what_has_learned_nothing_yet_begins_with_what_is_there(tmp_path: Path) -> None:
    raw, scratch = write_raw(tmp_path), write_scratch(tmp_path)
    begin(raw, scratch, tmp_path / "run", step=1)
    raw.write_text("".join(reversed(raw.read_text().splitlines(keepends=True))))
    begin(raw, scratch, tmp_path / "run")
    said = []
    train(raw, scratch, tmp_path / "run", OPTIONS, say=said.append)
    assert any(line.startswith("going on from") for line in said)


def test_rows_are_the_same_in_one_piece_or_in_many_and_order_counts(tmp_path: Path, monkeypatch) -> None:
    rows = load_encoded(write_encoded(tmp_path)).train
    digest = rows_digest(rows)
    assert rows_digest(rows.select(range(len(rows)))) == digest
    assert (
        len({digest, rows_digest(rows.select([1, 0, *range(2, len(rows))])), rows_digest(rows.select(range(9)))}) == 3
    )
    renamed = rows.rename_columns({"codes": "old", "code_ends": "codes"})
    assert rows_digest(renamed) != digest
