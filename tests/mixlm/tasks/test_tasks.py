import pytest

from mixlm.evaluation.checks import CHECKS
from mixlm.tasks import TASKS, open_task


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_its_splits_its_rows_and_the_name_of_a_check(name):
    task = open_task(name)
    assert len({*task.SPLITS}) == len(task.SPLITS) > 0
    assert task.CHECK in CHECKS
    assert hasattr(task, "generate") or hasattr(task, "load")
    assert not hasattr(task, "check")  # what is right is known in one place
