import copy
import json
import os
import pickle
from dataclasses import replace

import pytest

from mixlm.damage import RUN_RECORD
from mixlm.errors import InputError
from mixlm.run import load_run
from tests.tiny_runs import tiny_run
from vqvae import Cutting
from vqvae.checksums import DIGEST, SUMS


def test_a_method_is_made_once_for_a_run():
    run = tiny_run()
    assert run.method is run.method and replace(run).method is not run.method


def test_a_run_whose_method_was_used_is_the_same_run():
    used, fresh = tiny_run(), tiny_run()
    assert used.prompt([1]) == [1]
    assert used == fresh and copy.deepcopy(used) == pickle.loads(pickle.dumps(used)) == fresh


def test_the_mark_of_a_finished_run_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    run = tiny_run(path=tmp_path)
    run.save()
    before = (tmp_path / RUN_RECORD).read_text()

    def full(*args) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        replace(run, seed=7).save()
    assert [path.name for path in tmp_path.iterdir()] == [RUN_RECORD] and (tmp_path / RUN_RECORD).read_text() == before
    monkeypatch.undo()
    replace(run, seed=7).save()
    assert load_run(tmp_path).seed == 7


def test_a_run_of_before_has_chunks_of_fixed_length(tmp_path):
    tiny_run(path=tmp_path).save()
    values = json.loads((tmp_path / RUN_RECORD).read_text())
    assert values.pop("align") == "fixed" and values.pop("check") == "exact"
    del values[DIGEST], values[SUMS]
    (tmp_path / RUN_RECORD).write_text(json.dumps(values))
    run = load_run(tmp_path)
    assert run.cutting == Cutting("fixed", 2, 2) == run.method.cutting and run.check == "exact"
    assert replace(run, align="step").method.cutting == Cutting("step", 2, 2)
    assert tiny_run("cot").cutting is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (None, "damaged"),
        ({"extra": 1}, "damaged .*extra"),
        ({"method_name": ...}, "damaged .*method_name"),
        ({"format_version": "x"}, "damaged"),
        ({"format_version": 2, "template": {"of": "later"}}, "written by a newer mixlm .format 2.; update mixlm"),
    ],
)
def test_a_mark_that_cannot_be_read_is_named(tmp_path, changes, message):
    tiny_run(path=tmp_path).save()
    mark = tmp_path / RUN_RECORD
    values = None if changes is None else {**json.loads(mark.read_text()), DIGEST: ..., **changes}
    kept = values and {name: value for name, value in values.items() if value is not ...}
    mark.write_text(json.dumps(kept))
    with pytest.raises(InputError, match=f"^{mark}: {message}"):
        load_run(tmp_path)


def test_a_run_without_its_checkpoint_names_its_folder(tmp_path):
    run = tiny_run(path=tmp_path)
    for open_part in (run.load_model, run.tokenizer):
        with pytest.raises(InputError, match=f"^{tmp_path}: cannot be opened"):
            open_part()
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(InputError, match=f"^{tmp_path}: cannot be opened .*no file named model.safetensors"):
        run.load_model()
