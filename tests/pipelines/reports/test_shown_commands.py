"""Commands that the page of a report shows, to be given again."""

import shlex
import shutil
from pathlib import Path

import pytest

from mixlm.data.template import Template
from mixlm.encoding.manifest import read_manifest, write_manifest
from mixlm.encoding.options import PRESETS
from mixlm.report.stage1 import encoded_data, stage1_of
from mixlm.run import Run
from pipelines import encode, report, train
from pipelines.reports.commands import typed
from tests.tiny_runs import saved_run, write_encoded_for


def encoded_for(run: Run, path: Path, **changed: object) -> Path:
    """An encoded dataset that knows its command."""
    told = {"traces": "rows.jsonl", "model": "base", "vqvae": None, "shape": {}, "training": {"seed": 0}}
    write_encoded_for(path, run.tokenizer(), train=4, valid=3)
    write_manifest(path, {**read_manifest(path), "arguments": {**told, "template": Template().to_dict()}, **changed})
    return path


@pytest.mark.parametrize("preset", PRESETS)
def test_a_shown_encoding_has_the_sizes_of_the_one_that_was_made(preset):
    """Sizes that nobody gave came from the machine and the rows: another one would choose others."""
    made = {"traces": "rows.jsonl", "model": "base", "out": "encoded", **PRESETS[preset]}
    line = typed("mixlm-encode", encode.main, made)
    read = encode.main.make_context("encode", shlex.split(line)[1:]).params
    assert {name: read[name] for name in made} == made


def test_what_a_run_was_told_can_be_read_without_what_it_needs(tmp_path, monkeypatch):
    """A tracker of another machine is no reason not to show a run, or not to go on with another one."""
    run = saved_run(tmp_path / "run", "cot")
    run.arguments = {"data": "rows.jsonl", "model": "base", "method_options": {"a": True, "b": [1, 2]}}
    run.arguments |= {"report_to": "wandb", "select": "accuracy", "check": "math"}
    run.save()
    monkeypatch.setattr("mixlm.training.options.find_spec", lambda name: None)
    told = train.told(run.path)
    assert told["report_to"] == "wandb" and told["method_option"] == ["a=true", "b=1,2"]


def test_data_of_another_codebook_are_not_shown_as_those_of_a_run(tmp_path, monkeypatch):
    run = saved_run(tmp_path / "there" / "run", "assorted")
    mine = encoded_for(run, tmp_path / "there" / "encoded")
    run.arguments = {"data": "encoded", "model": "base", "method_options": {}}
    run.save()
    monkeypatch.chdir(tmp_path)
    assert [stage1_of(run).path] == encoded_data(run) == [mine]
    shown = report._commands_of([run], None)
    assert [line.split()[0] for line in shown] == ["mixlm-encode", "mixlm-train"]

    other = encoded_for(run, tmp_path / "encoded", codebook_size=run.codebook_size + 1)
    assert encoded_data(run) == [other.relative_to(tmp_path), mine] and stage1_of(run).path == mine
    shutil.rmtree(mine)
    assert stage1_of(run).path is None
    assert [line.split()[0] for line in report._commands_of([run], None)] == ["mixlm-train"]
