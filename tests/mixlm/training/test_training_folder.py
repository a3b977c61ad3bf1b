from dataclasses import replace
from pathlib import Path

import pytest

from mixlm.data.template import Template
from mixlm.errors import InputError
from mixlm.processes import Processes
from mixlm.training.folder import RunFolder, begun_run
from mixlm.training.options import TrainingOptions


OPTIONS = TrainingOptions("cot", steps=4, batch_size=8)


def folder(path: Path, template: Template | None = None, **arguments: object) -> RunFolder:
    told = {"data": "rows.jsonl", "model": "base", **OPTIONS.to_dict(), **arguments}
    return RunFolder(path, told, template or Template(), lambda line: None, Processes())


@pytest.mark.parametrize(("before", "now"), [("exact", None), (None, "exact"), ("exact", "number")])
def test_a_run_is_to_be_compared_as_it_was_told(tmp_path: Path, before: str, now: str) -> None:
    """Who evaluates it later takes its word."""
    folder(tmp_path, check=before).claim(Template(), {})
    folder(tmp_path, check=before).check()
    with pytest.raises(InputError, match="another check"):
        folder(tmp_path, check=now).check()


CHANGES_NOTHING = {
    "save_every": "none",
    "log_every": 3,
    "workers": 1,
    "micro_batch_size": 2,
    "report_to": "trackio",
}


@pytest.mark.parametrize("name", [*CHANGES_NOTHING, "save_dtype"])
def test_what_changes_nothing_of_the_training_may_change_and_is_what_holds_then(tmp_path: Path, name: str) -> None:
    changed = {name: {**CHANGES_NOTHING, "save_dtype": "bfloat16"}[name]}
    folder(tmp_path).claim(Template(), {})
    later = folder(tmp_path, **changed)
    later.check()
    later.claim(Template(), {})
    assert begun_run(tmp_path)[0][name] == changed[name]


@pytest.mark.parametrize("changed", [{"seed": 1}, {"data": "other.jsonl"}, {"eval_every": 2, "select": "loss"}])
def test_a_run_that_was_told_something_else_is_refused(tmp_path: Path, changed: dict) -> None:
    folder(tmp_path).claim(Template(), {})
    with pytest.raises(InputError, match=f"an unfinished run with another {sorted(changed)[0]}"):
        folder(tmp_path, **changed).check()


@pytest.mark.parametrize("written", [(), ("identity.json",), ("identity.json", ".template.json.tmp")])
def test_what_a_process_leaves_that_is_killed_as_it_begins_is_no_obstacle(tmp_path: Path, written: tuple) -> None:
    (tmp_path / "checkpoints").mkdir()
    for name in written:
        (tmp_path / "checkpoints" / name).write_text("{}")
    run = folder(tmp_path)
    run.check()
    assert run.claim(Template(), {"data": "d"}) is None
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert names == {"arguments.json", "identity.json", "template.json"}
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "checkpoints" / "arguments.json").unlink()
    with pytest.raises(InputError, match="exists and is no run of mixlm-train"):
        run.check()


def test_what_a_run_was_told_is_read_back(tmp_path: Path) -> None:
    template = Template(chat=True, separator=" ")
    folder(tmp_path, template, method_options={"count": 3}).claim(replace(template, date="2024-07-06"), {})
    told, found = begun_run(tmp_path)
    assert (told.pop("data"), told.pop("model"), found) == ("rows.jsonl", "base", template)
    assert told == replace(OPTIONS, method_options={"count": 3}).to_dict()
    with pytest.raises(InputError, match="no run has begun there; give the whole command"):
        begun_run(tmp_path / "nothing")
