import json
import os
import signal
from functools import partial

import pytest

from mixlm.evaluation.evaluate import evaluate
from mixlm.evaluation.inputs import open_rows
from mixlm.generation.engine import Engine
from mixlm.generation.kept.finished import faults_of
from mixlm.generation.kept.lines import KeptLines
from mixlm.generation.kept.part_file import PartFile
from mixlm.generation.options import GenerationOptions
from pipelines.evaluate import main
from tests.calling import call_command, lines_of
from tests.launching import launch
from tests.tiny_runs import write_encoded_for


call = partial(call_command, main)
OPTIONS = ("--latents", "free,exact:50%,text", "--batch-size", 3, "--max-new-tokens", 9)
SAMPLED = ("--temperature", 1.5, "--samples", 2)


@pytest.fixture(scope="module")
def encoded(run, tmp_path_factory):
    return write_encoded_for(tmp_path_factory.mktemp("data") / "encoded", run.tokenizer(), train=2, valid=7)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    monkeypatch.setattr("mixlm.evaluation.measuring.evaluation.WINDOW", 4)


def figures_of(path) -> dict:
    figures = json.loads(path.read_text())
    del figures["digest"], figures["finished"]
    for mode in figures["modes"].values():
        assert mode.pop("seconds") > 0
    return figures


@pytest.mark.parametrize("sampling", [(), SAMPLED], ids=["greedy", "sampled"])
def test_cut_off_anywhere_the_same_command_ends_with_the_same_answers_and_figures(
    run, encoded, sampling, tmp_path, monkeypatch
):
    whole, out = tmp_path / "whole" / "figures.json", tmp_path / "figures.json"
    whole.parent.mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(KeptLines, "discard", lambda self: None)
        call(run.path, encoded, *OPTIONS, *sampling, "--out", whole)
    kept = (tmp_path / "whole" / ".figures.jsonl.part").read_bytes()
    ends = [place + 1 for place, byte in enumerate(kept) if byte == ord("\n")]
    for size in (*ends[1::8], ends[3] - 5, ends[-2] - 5):
        (tmp_path / ".figures.jsonl.part").write_bytes(kept[:size])
        assert f"wrote {out}" in call(run.path, encoded, *OPTIONS, *sampling, "--out", out).stdout
        assert out.with_suffix(".jsonl").read_bytes() == whole.with_suffix(".jsonl").read_bytes()
        assert figures_of(out) == figures_of(whole)
        assert {path.name for path in tmp_path.iterdir()} == {"whole", "figures.json", "figures.jsonl"}
        out.unlink()


def test_what_is_kept_is_what_the_library_returns(run, encoded, tmp_path):
    out, engine = tmp_path / "figures.json", Engine(run)
    call(run.path, encoded, *OPTIONS, "--out", out)
    modes, options = OPTIONS[1], GenerationOptions(batch_size=3, max_new_tokens=9)
    result = evaluate(engine, open_rows(encoded, engine), options, modes)
    assert result.pop("records") == lines_of(out.with_suffix(".jsonl"))
    for mode in result["modes"].values():
        mode.pop("seconds")
    figures = figures_of(out)
    assert {name: figures[name] for name in result} == result


def test_losses_and_answers_that_are_there_are_not_computed_again(run, encoded, tmp_path, monkeypatch):
    out, append, left = tmp_path / "figures.json", PartFile.append, [5]

    def ended(self, lines):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGTERM)
        return append(self, lines)

    with monkeypatch.context() as patched:
        patched.setattr(PartFile, "append", ended)
        result = call(run.path, encoded, *OPTIONS, "--out", out, code=143)
    assert result.stderr.endswith(
        "Error: interrupted; 3 of 21 answers are kept, and the same command goes on after them\n"
    )
    assert not out.exists()
    with monkeypatch.context() as patched:
        patched.setattr("mixlm.evaluation.losses.summed_loss", None)  # two forms of two windows are there
        appended = []
        patched.setattr(PartFile, "append", lambda *given: appended.append(len(given[1])) or append(*given))
        call("--resume", out)
    assert sum(appended) == 18
    shown = call(run.path, encoded, *OPTIONS, "--out", out).output
    assert f"{out}: already evaluated, 21 answers in {out.with_suffix('.jsonl')}; nothing to do" in shown
    assert "exact:50%" in shown and "loss m=all" in shown


def test_changed_answers_are_told_and_measured_again(run, encoded, tmp_path):
    out, answers = tmp_path / "figures.json", tmp_path / "figures.jsonl"
    call(run.path, encoded, "--limit", 2, "--out", out)
    whole = answers.read_bytes()
    assert faults_of(answers) == []
    answers.write_bytes(whole.replace(b"row", b"Row", 1))
    assert faults_of(answers) == [f"{answers}: changed since it was written"]
    assert f"wrote {out}" in call(run.path, encoded, "--limit", 2, "--out", out).stdout
    assert answers.read_bytes() == whole
    for more in (("--limit", 1), ("--latents", "text"), ("--check", "number"), ("--split", "train")):
        assert f"wrote {out}" in call(run.path, encoded, "--out", out, *more).stdout


SHARED = """
from pipelines.evaluate import main
main()
"""


def test_processes_share_the_work_and_the_last_one_writes(run, encoded, tmp_path, warm, monkeypatch):
    monkeypatch.undo()  # windows as they are
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    call(run.path, encoded, *OPTIONS, "--out", one)
    for shown in (f"wrote {two}", "nothing to do"):
        done = launch(warm, tmp_path, SHARED, [str(run.path), str(encoded), *map(str, OPTIONS), "--out", str(two)])
        assert done.returncode == 0, done.stderr[-2000:]
        assert (done.stdout + done.stderr).count(shown) == 1 and done.stdout.count("\nexact:50% ") == 1
    assert two.with_suffix(".jsonl").read_bytes() == one.with_suffix(".jsonl").read_bytes()
    assert figures_of(one) == figures_of(two)
    assert not [path for path in tmp_path.iterdir() if "part" in path.name]
