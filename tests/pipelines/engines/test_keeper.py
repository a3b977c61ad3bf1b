"""What the keeper ends, and when."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pipelines.engines import keeper
from tests.engine_stub import are_gone


# a program that ignores a request to end, with a child in a session of its own that does so, too
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if len(sys.argv) == 1:
    child = subprocess.Popen([sys.executable, "-S", __file__, "child"], start_new_session=True, stdout=-1)
    child.stdout.readline()
    print(child.pid, flush=True)
else:
    print("ready", flush=True)
time.sleep(600)
"""
# a caller that may be killed: it starts a keeper with little patience, and waits
CALLER = f"""
import os, subprocess, sys, time
code = "import sys; sys.path.insert(0, sys.argv.pop(1)); import keeper; keeper.GRACE = 0.1; "
code += "sys.exit(keeper.keep(int(sys.argv[1]), sys.argv[2:]))"
folder = {str(Path(keeper.__file__).parent)!r}
sys.exit(subprocess.Popen([sys.executable, "-S", "-c", code, folder, str(os.getpid()), *sys.argv[1:]]).wait())
"""


@pytest.fixture
def started(tmp_path):
    """A caller, its keeper, a stubborn program, and that one's child."""
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    command = [sys.executable, "-S", "-c", CALLER, sys.executable, "-S", str(tmp_path / "stubborn.py")]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # where a keeper that is killed leaves a folder
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as caller:
        child = psutil.Process(int(caller.stdout.readline()))
        program = child.parent()
        yield [psutil.Process(caller.pid), program.parent(), program, child]
        caller.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="children in other sessions are found on Linux alone")
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_with_the_caller_ends_a_program_that_ignores_it_and_its_child_elsewhere(started, signum):
    caller, *others = started
    caller.send_signal(signum)
    assert are_gone(others)


@pytest.mark.skipif(sys.platform != "linux", reason="children in other sessions are found on Linux alone")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_asked_to_end_it_ends_the_program_first(started, signum):
    keeper_, *others = started[1:]
    keeper_.send_signal(signum)
    assert are_gone([keeper_]) and not any(one.is_running() for one in others)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a program of its parent's end")
def test_a_keeper_that_is_killed_takes_the_program_along(started):
    keeper_, program, child = started[1:]
    keeper_.kill()
    assert are_gone([program])
    child.kill()


@pytest.mark.parametrize(("code", "status"), [("sys.exit(7)", 7), ("os.kill(os.getpid(), 9)", 128 + 9)])
def test_it_ends_as_the_program_does(code, status):
    command = [
        sys.executable,
        "-I",
        "-S",
        keeper.__file__,
        str(os.getpid()),
        sys.executable,
        "-c",
        f"import os, sys; {code}",
    ]
    assert subprocess.run(command).returncode == status


def test_temporary_files_that_are_left_go_with_the_program():
    code = "import tempfile; print(tempfile.mkdtemp())"
    command = [sys.executable, "-I", "-S", keeper.__file__, str(os.getpid()), sys.executable, "-c", code]
    folder = Path(subprocess.run(command, capture_output=True, text=True).stdout.strip())
    assert folder.is_absolute() and not folder.exists() and not folder.parent.exists()
