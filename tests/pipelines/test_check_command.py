"""mixlm check: what is whole, what is damaged, and what was changed on purpose."""

import json
import shutil

import pytest

from mixlm.comparison.results import append_line
from mixlm.generation.kept.finished import Finished, write_figures, write_seal
from mixlm.training.options import TrainingOptions
from mixlm.training.train import train
from pipelines.cli import main
from tests.calling import call_command
from tests.encoding_work import Work, cut
from tests.interruption import Interrupted, interrupt_at
from tests.tiny_data import raw_rows, write_encoded, write_scratch
from tests.tiny_runs import saved_run
from vqvae.atomic_files import checksum


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run, and an encoded dataset of before, in one folder."""
    folder = tmp_path_factory.mktemp("outputs")
    saved_run(folder / "run"), write_encoded(folder)
    return folder


@pytest.fixture
def outputs(whole, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(whole, tmp_path / "outputs")


def check(path, *options, code=0):
    """What the command prints about a path, in lines."""
    result = call_command(main, "check", path, *options, code=code)
    return result.stdout.splitlines(), result.stderr


def test_what_is_whole_says_what_it_is(outputs):
    run, encoded = outputs / "run", outputs / "encoded"
    assert check(run)[0] == [f"{run}: whole (run, method assorted, 7 files as they were written)"]
    assert check(encoded)[0] == [f"{encoded}: whole (encoded dataset, 2 shards, no checksums listed)"]
    assert check(outputs)[0] == [f"{outputs}: whole (1 x encoded dataset, 1 x run)"]


def test_the_lines_of_a_comparison_are_looked_at(outputs):
    attempts, results = outputs / "parts.jsonl", outputs / "results.jsonl"
    attempts.touch()
    for seed in range(2):
        append_line(results, {"label": "cot", "seed": seed, "identity": "", "modes": {}})
    assert check(outputs)[0] == [f"{outputs}: whole (1 x comparison, 1 x encoded dataset, 1 x run)"]
    results.write_text(results.read_text().replace('"seed": 1', '"seed": 2'))
    lines, _ = check(outputs, code=1)
    assert len(lines) == 1 and lines[0].startswith(f"{results}:2: is no result of a cell, or not as it was written")


def test_every_damaged_file_has_a_line(outputs):
    run = outputs / "run"
    (run / "config.json").write_text("{}")
    (run / "vqvae" / "model.safetensors").unlink()
    (run / "notes.txt").write_text("mine")
    lines, error = check(run, code=1)
    assert lines == [f"{run}/config.json: changed", f"{run}/vqvae/model.safetensors: missing"]
    assert error == f"Error: {run}: damaged (run)\n"
    assert check(outputs, code=1)[0] == lines


def test_a_record_with_another_digit_is_told(outputs):
    record = outputs / "run" / "mixlm.json"
    record.write_text(record.read_text().replace('"seed": 0', '"seed": 1'))
    assert check(outputs, code=1)[0] == [f"{record}: its content has changed since it was written"]


def test_pages_of_a_shard_without_a_checksum_of_the_whole_tell_damage(outputs):
    shard = outputs / "encoded" / "train-00000.parquet"
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 1
    shard.write_bytes(content)
    (line,), _ = check(outputs, code=1)
    assert line.startswith(f"{shard}: ")


def test_a_change_on_purpose_is_accepted_once_it_is_said_to_be_one(outputs):
    run = outputs / "run"
    config, record = run / "generation_config.json", run / "mixlm.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "max_length": 7}))
    record.write_text(record.read_text().replace('"seed": 0', '"seed": 1'))
    lines, _ = check(run, "--accept")
    assert lines[:2] == [f"accepted: {config}: changed", f"accepted: {record}: changed"] and "whole" in lines[2]
    assert check(run)[0] == lines[2:] and json.loads(record.read_text())["seed"] == 1


def test_what_is_nothing_of_ours_is_refused(tmp_path):
    (tmp_path / "mixlm.json").mkdir()
    for path in (tmp_path, tmp_path / "none"):
        assert str(path) in check(path, code=1)[1]
    assert "nothing lists checksums" in check(tmp_path, "--accept", code=1)[1]


@pytest.fixture
def answers(tmp_path):
    """The answers of a command, and those of an evaluation, which are the same lines."""
    generated, evaluated = tmp_path / "answers.jsonl", tmp_path / "figures.jsonl"
    for output in (generated, evaluated):
        output.write_text("{}\n{}\n")
    finished = Finished({"run": "x"}, 2, checksum(generated), {"seed": 1})
    write_seal(generated, finished)
    write_figures(tmp_path / "figures.json", {"rows": 2}, finished)
    return tmp_path


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.jsonl.mixlm", "figures.jsonl", "figures.json"])
def test_answers_are_looked_at_by_any_of_their_files(answers, name):
    assert check(answers / name)[0] == [f"{answers / name}: whole (answers, 2 as they were written)"]


def test_of_a_folder_answers_are_looked_at_once_and_changed_ones_have_a_line(answers):
    (answers / "other.jsonl").write_text("{}")
    (answers / "other.json").write_text("[" * 5000)
    assert check(answers)[0] == [f"{answers}: whole (2 x answers)"]
    generated, evaluated, figures = (answers / name for name in ("answers.jsonl", "figures.jsonl", "figures.json"))
    generated.unlink()
    evaluated.write_text("{}\n{]\n")
    lines = [f"{generated}: missing", f"{evaluated}: changed since it was written"]
    assert check(answers, code=1)[0] == lines
    figures.write_text(figures.read_text().replace('"rows": 2', '"rows": 3'))
    damaged = (
        f"{figures}: damaged (its content has changed since it was written); give the command again that wrote it"
    )
    assert check(answers, code=1)[0] == [lines[0], damaged]
    figures.unlink()
    assert check(answers, code=1)[0] == lines[:1]


def test_an_unfinished_run_tells_which_checkpoints_are_whole(tmp_path):
    (tmp_path / "raw.jsonl").write_text("".join(json.dumps(row) + "\n" for row in raw_rows(8)))
    with pytest.raises(Interrupted):
        options = TrainingOptions(method="cot", batch_size=4, steps=6, save_every=2)
        train(tmp_path / "raw.jsonl", write_scratch(tmp_path), tmp_path / "run", options, interrupt_at(5))
    run = tmp_path / "run"
    going_on = "the mixlm-train command of it goes on"
    assert check(run)[0] == [f"{run}: whole (unfinished run, checkpoint-4 whole; {going_on})"]
    weights = run / "checkpoints" / "checkpoint-4" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert check(run, code=1)[0] == [f"{weights}: damaged; training goes on from another"]


def test_an_unfinished_encoding_tells_which_shards_are_whole(tmp_path):
    work = Work(tmp_path)
    with pytest.raises(Interrupted):
        work.encode(advance_of=cut("encoding train", 27))
    out = tmp_path / "encoded"
    (line,), _ = check(out)
    assert line.startswith(f"{out}: whole (unfinished encoding, ") and " shards and checkpoint-8 whole; " in line
    shard = out / "train-00000.parquet"
    shard.write_bytes(shard.read_bytes()[1:])
    assert check(out, code=1)[0] == [f"{shard}: changed; the mixlm-encode command of it writes it again"]
