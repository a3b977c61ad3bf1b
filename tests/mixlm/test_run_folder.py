import copy
import os
import pickle
from dataclasses import replace

import pytest

from mixlm.run import INFO_NAME, load_run
from tests.tiny_runs import tiny_run


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
    before = (tmp_path / INFO_NAME).read_text()

    def full(*args) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        replace(run, seed=7).save()
    assert [path.name for path in tmp_path.iterdir()] == [INFO_NAME] and (tmp_path / INFO_NAME).read_text() == before
    monkeypatch.undo()
    replace(run, seed=7).save()
    assert load_run(tmp_path).seed == 7
