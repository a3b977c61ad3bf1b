import signal
import subprocess
import sys

import pytest

from mixlm.errors import InputError
from pipelines.grid.folder import claimed


HOLD = """
import sys, time
from pathlib import Path
from pipelines.grid.folder import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_folder_is_made_and_may_be_claimed_again(tmp_path):
    out = tmp_path / "deep" / "out"
    for _ in range(2):
        with claimed(out):
            (out / "data" / "train.jsonl").touch()
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["answers", "data", "encoded", "runs"]


def test_two_processes_do_not_work_in_one_folder_and_a_killed_one_does_not_keep_it(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(InputError, match="another command writes there"), claimed(tmp_path):
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with claimed(tmp_path):
        pass


def test_a_command_that_outlives_us_keeps_the_folder(tmp_path):
    with claimed(tmp_path) as lock:
        left = subprocess.Popen(["sleep", "600"], pass_fds=[lock])
    with pytest.raises(InputError, match="another command writes there"), claimed(tmp_path):
        pass
    left.kill()
    left.wait()
    with claimed(tmp_path):
        pass


def test_a_folder_of_somebody_else_is_refused_and_untouched(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_text("mine")
    with pytest.raises(InputError, match="has a folder 'data' that is not from mixlm compare"), claimed(tmp_path):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["data", "train.jsonl"]


def test_other_files_in_the_folder_do_no_harm(tmp_path):
    (tmp_path / "grid.yaml").write_text("mine")
    with claimed(tmp_path):
        pass
    assert (tmp_path / "grid.yaml").read_text() == "mine"


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="out: is a file"), claimed(tmp_path / "out"):
        pass
