import os
import signal
import subprocess
import sys

import pytest

from vqvae.errors import InputError
from vqvae.one_writer import one_writer


HOLD = """
import sys, time
from vqvae.one_writer import one_writer
with one_writer(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_writer_is_refused_until_the_first_has_left(tmp_path):
    out = tmp_path / "deep" / "out"
    with one_writer(out), pytest.raises(InputError, match="out: another command writes there"), one_writer(out):
        raise AssertionError("the block must not run")
    with one_writer(out):
        pass


def test_a_process_that_is_killed_holds_nothing(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(InputError, match="another command writes there"), one_writer(tmp_path):
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with one_writer(tmp_path):
        pass


def test_a_process_that_was_given_the_descriptor_keeps_the_lock(tmp_path):
    with one_writer(tmp_path) as held:
        left = subprocess.Popen(["sleep", "600"], pass_fds=[held])
    with pytest.raises(InputError, match="another command writes there"), one_writer(tmp_path):
        pass
    left.kill()
    left.wait()
    with one_writer(tmp_path):
        pass


def test_a_folder_that_was_made_for_nothing_goes_again_and_one_that_was_there_stays(tmp_path):
    made, mine = tmp_path / "made", tmp_path / "mine"
    mine.mkdir()
    for out in (made, mine):
        with pytest.raises(ZeroDivisionError), one_writer(out):
            raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    with one_writer(made):
        (made / "kept").touch()
    assert (made / "kept").is_file()


def test_who_is_refused_leaves_the_folder_to_who_has_it_though_he_made_it(tmp_path, monkeypatch):
    """Another command may open and lock the folder right after it was made."""
    monkeypatch.setattr("vqvae.one_writer.lock", lambda descriptor: False)
    with pytest.raises(InputError, match="out: another command writes there"), one_writer(tmp_path / "out"):
        raise AssertionError("the block must not run")
    assert (tmp_path / "out").is_dir()


def test_nothing_is_left_in_the_folder_by_the_lock(tmp_path):
    with one_writer(tmp_path):
        assert os.listdir(tmp_path) == []


def test_a_place_that_can_be_no_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in ("file", "file/below", "x" * 300):
        with pytest.raises(InputError), one_writer(tmp_path / place):
            raise AssertionError("the block must not run")
    assert (tmp_path / "file").read_text() == "mine"
