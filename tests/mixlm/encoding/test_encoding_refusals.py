import json
import shutil
from dataclasses import replace

import pytest

from mixlm.data.template import Template
from mixlm.encoding.encode import encode_dataset
from mixlm.encoding.manifest import read_manifest
from mixlm.encoding.options import EncodingOptions
from mixlm.errors import InputError
from mixlm.model.tokenizers import build_tokenizer
from tests.encoding_work import SHAPE, TRAINING, contents, cut, write_traces
from tests.interruption import Interrupted


@pytest.mark.parametrize(
    ("told", "changes"),
    [
        ("shard_rows (9 then, 10 now)", {"shard_rows": 10}),
        ("seed (0 then, 1 now)", {"training": replace(TRAINING, seed=1)}),
        ("codebook_size (6 then, 5 now)", {"shape": {**SHAPE, "codebook_size": 5}}),
        ('separator ("\\n" then, " " now)', {"template": Template(separator=" ")}),
        ('dtype ("float32" then, "bfloat16" now)', {"dtype": "bfloat16"}),
        ('answer_pattern (none then, "4" now)', {"answer_pattern": "4"}),
    ],
)
def test_other_arguments_are_refused(work, encoded, told, changes):
    message = work.refuses(**changes)
    assert message == f"{encoded}: encoded with another {told}; give the same arguments, or another --out"


def test_what_decides_nothing_may_change(work, encoded):
    before = contents(encoded)
    work.encode(training=replace(TRAINING, save_every=3, workers=1), skip_bad_rows=True, workers=2)
    assert contents(encoded) == before


def test_traces_that_have_changed_are_refused(fresh):
    fresh.encode()
    fresh.traces.write_text(fresh.traces.read_text().replace("+", "-"))
    line = (
        f"{fresh.traces}: has changed since {fresh.folder / 'encoded'} was made of it; put it back, or choose another"
    )
    assert fresh.refuses().startswith(line)
    assert "then, 9 now); give" in fresh.refuses(training=replace(TRAINING, steps=9))


def test_validation_rows_that_have_changed_are_refused_by_their_name(fresh):
    valid = fresh.folder / "valid.jsonl"
    valid.write_text(fresh.traces.read_text().replace("+", "*"))
    fresh.encode(valid=str(valid), valid_fraction=0.0)
    valid.write_text(fresh.traces.read_text().replace("+", "-"))
    assert fresh.refuses(valid=str(valid), valid_fraction=0.0).startswith(f"{valid}: has changed since")


def test_rows_that_are_learned_from_are_not_held_out_as_well(fresh):
    copy = fresh.folder / "copy.jsonl"
    copy.write_text(fresh.traces.read_text())
    for valid in (fresh.traces, copy):
        line = f"--valid {valid}: holds the rows of {fresh.traces}, which are learned from; give others"
        assert fresh.refuses(valid=str(valid)) == line and not (fresh.folder / "encoded").exists()


@pytest.mark.parametrize("change", ["vocabulary", "end"])
def test_a_tokenizer_that_has_changed_meanwhile_is_refused(fresh, change):
    fresh.model = fresh.folder / "model"
    tokenizer = build_tokenizer(["so now"], 300)
    tokenizer.save_pretrained(fresh.model)
    with pytest.raises(Interrupted):
        fresh.encode(advance_of=cut("encoding train", 1))
    if change == "vocabulary":
        tokenizer = build_tokenizer(["1 and 2 make 3"], 300)
    else:
        tokenizer.eos_token = "!"
    tokenizer.save_pretrained(fresh.model)
    assert "its tokenizer has changed since encoding was interrupted" in fresh.refuses()


def test_rows_of_a_folder_that_have_changed_are_refused(fresh):
    lines, folder = fresh.traces.read_text().splitlines(keepends=True), fresh.folder / "rows"
    folder.mkdir()
    fresh.traces = folder
    for part in (lines, lines, lines[::-1]):
        (folder / "train.jsonl").write_text("".join(part))
        if part is lines:
            fresh.encode()
    assert fresh.refuses().startswith(f"{folder}: has changed since {fresh.folder / 'encoded'} was made of it")


def test_a_vqvae_that_has_changed_is_refused_and_one_that_is_gone_is_not_missed(fresh, encoded):
    given = fresh.folder / "given"
    shutil.copytree(encoded / "vqvae", given)
    call = {"vqvae": str(given), "model": str(encoded / "tokenizer")}
    fresh.encode(**call)
    config = json.loads((given / "config.json").read_text())
    (given / "config.json").write_text(json.dumps({**config, "note": 1}))
    assert fresh.refuses(**call).startswith(f"{given}: has changed since {fresh.folder / 'encoded'} was made of it")
    shutil.rmtree(given)
    said = []
    fresh.encode(**call, say=said.append)
    assert said == [f"{fresh.folder / 'encoded'}: already encoded; nothing to do"]


def test_a_folder_of_something_else_is_refused(work):
    (work.folder / "thesis").mkdir()
    (work.folder / "thesis" / "chapter.txt").write_text("years of work")
    assert "thesis: exists and is no encoded dataset; choose another --out" in work.refuses("thesis")
    assert "traces.jsonl: is no folder; choose another place" in work.refuses("traces.jsonl")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": {**SHAPE, "codebook_size": 500}}, "codebook size 500 is larger than the {chunks} chunks"),
        ({"shape": {**SHAPE, "chunk_length": 64, "compression_rate": 64}}, "no trace has a whole chunk of 64 tokens"),
        ({"shape": {**SHAPE, "compression_rate": 3}}, "compression rate 3 does not divide chunk length 4"),
        ({"shape": {**SHAPE, "codebook_size": 1}}, "use at least 2 codes"),
        ({"vqvae": "nowhere"}, "nowhere: no trained VQ-VAE; give the vqvae/ folder"),
        ({"valid": "nowhere.jsonl"}, "nowhere.jsonl: no such file"),
        ({"template": Template(chat=True)}, "the tokenizer has no chat template; leave out --chat"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(work, encoded, changes, message):
    chunks = read_manifest(encoded)["counts"]["train"]["chunks"]
    assert message.format(chunks=chunks) in work.refuses("impossible", **changes)
    assert not (work.folder / "impossible").exists()


def test_a_validation_file_without_samples_is_refused(fresh):
    empty = fresh.folder / "empty.jsonl"
    empty.touch()
    assert fresh.refuses(valid=str(empty)) == f"{empty}: holds no samples" and not (fresh.folder / "encoded").exists()


def test_a_model_of_another_tokenizer_is_refused(fresh, encoded):
    other = [{"question": "what", "steps": ["quite other words, and many of them"], "answer": "no"}] * 12
    write_traces(fresh.folder, other)
    message = fresh.refuses("other", vqvae=str(encoded / "vqvae"))
    assert "trained for another tokenizer than that of" in message and not (fresh.folder / "other").exists()


def test_a_model_whose_chunks_no_trace_fills_is_refused(work, encoded):
    short = work.folder / "short.jsonl"
    short.write_text('{"question": "1 + 2 ?", "steps": ["1"], "answer": "3"}\n')
    tokenizer = work.folder / "encoded" / "tokenizer"
    options = EncodingOptions(vqvae=str(encoded / "vqvae"))
    with pytest.raises(InputError, match="no trace has a whole chunk of 4 tokens"):
        encode_dataset(str(short), str(tokenizer), work.folder / "none", options)
    assert not (work.folder / "none").exists()


def test_a_malformed_row_stops_where_it_is_and_the_call_goes_on_without_it(fresh, encoded, monkeypatch):
    """Shards before it stay; leaving the row out is no other encoding."""
    monkeypatch.setattr("mixlm.encoding.measuring.MEASURED", 5)
    lines = fresh.traces.read_text().splitlines()
    fresh.traces.write_text("\n".join([*lines[:38], "{", *lines[38:]]) + "\n")
    given = {"vqvae": str(encoded / "vqvae"), "model": str(encoded / "tokenizer"), "valid_fraction": 0.0}
    with pytest.raises(InputError, match=r"traces.jsonl:39: not valid JSON .*--skip-bad-rows"):
        fresh.encode(**given)
    before = {path: values for path, values in contents(fresh.folder / "encoded").items() if path.endswith("parquet")}
    assert len(before) == 4
    out = fresh.encode(**given, skip_bad_rows=True)
    assert before.items() <= contents(out).items()
    counts = read_manifest(out)["counts"]["train"]
    assert (counts["samples"], counts["skipped_rows"]) == (40, 1)


def test_a_file_that_is_mended_before_anything_was_encoded_is_no_other_encoding(fresh, encoded, monkeypatch):
    monkeypatch.setattr("mixlm.encoding.measuring.MEASURED", 5)
    good, given = fresh.traces.read_text(), {"vqvae": str(encoded / "vqvae"), "model": str(encoded / "tokenizer")}
    fresh.traces.write_text(good[:-1] + "\n{\n")
    with pytest.raises(InputError, match="traces.jsonl:41: not valid JSON"):
        fresh.encode(**given, valid_fraction=0.0, shard_rows=90)
    fresh.traces.write_text(good)
    assert read_manifest(fresh.encode(**given, valid_fraction=0.0, shard_rows=90))["complete"]


def test_another_folder_beside_the_tokens_is_left_alone(fresh):
    (fresh.folder / "encoded" / "tokens").mkdir(parents=True)
    assert "exists and is no encoded dataset" in fresh.refuses()
