import pytest

from mixlm.errors import InputError
from mixlm.evaluation.checks import CHECKS
from mixlm.tasks import TASKS, open_task


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_its_splits_its_rows_and_the_name_of_a_check(name):
    task = open_task(name)
    assert len({*task.SPLITS}) == len(task.SPLITS) > 0
    assert task.CHECK in CHECKS
    assert hasattr(task, "generate") == hasattr(task, "Options")
    assert hasattr(task, "generate") or hasattr(task, "load")
    assert not hasattr(task, "check")  # what is right is known in one place


@pytest.mark.parametrize("name", TASKS)
def test_an_unknown_split_is_refused_with_those_there_are(name, monkeypatch):
    monkeypatch.delenv("MIXLM_DATA", raising=False)
    task = open_task(name)
    message = f"split 'tset': there is none; choose from {', '.join(task.SPLITS)}$"
    if hasattr(task, "Options"):
        with pytest.raises(InputError, match=message):
            list(task.generate(0, "tset"))  # of no rows: a task that draws until it has some would never end
    if hasattr(task, "load"):
        with pytest.raises(InputError, match=message):
            list(task.load("tset"))
