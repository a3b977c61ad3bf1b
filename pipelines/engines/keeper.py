"""Runs a program for as long as its caller lives: ``python keeper.py CALLER PROGRAM ..``, CALLER its process id.

However the caller ends, the program ends, with all that it has started: first they are asked to, then they are killed.
Temporary files that it leaves behind go with it.
It is a process of its own since the caller may be killed, and needs nothing but Python, so that it starts at once.
"""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress


ENDS = (signal.SIGTERM, signal.SIGHUP)
GRACE = 10.0  # seconds to end in, when asked
_PAUSE = 0.05
_DEATH_SIGNAL, _ADOPT = 1, 36  # of prctl: signal on the parent's end; take in what descendants leave behind


def keep(caller: int, command: list[str]) -> int:
    """Run a program until it or the caller ends, and return the program's exit status as a shell has it."""
    for signum in ENDS:
        signal.signal(signum, lambda signum, frame: sys.exit(128 + signum))
    _prctl(_ADOPT, 1)
    with tempfile.TemporaryDirectory(prefix="mixlm-", ignore_cleanup_errors=True) as folder:
        environment = {**os.environ, "TMPDIR": folder}
        program = subprocess.Popen(command, env=environment, process_group=0, preexec_fn=_end_with_parent)
        try:
            while os.getppid() == caller and program.poll() is None:
                time.sleep(_PAUSE)
        finally:
            for signum in ENDS:
                signal.signal(signum, signal.SIG_IGN)
            status = program.poll()
            _end(program.pid)
    return 1 if status is None else status if status >= 0 else 128 - status


def _end_with_parent() -> None:
    """Let the system kill the program if this process itself is killed."""
    _prctl(_DEATH_SIGNAL, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    """Ask Linux for something; other systems have no such call, and do without."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _end(group: int) -> None:
    """End the program's group, and whatever else it leaves behind."""
    asked, told = time.monotonic(), set()
    _send(os.killpg, group, signal.SIGTERM)
    while _any_left():
        late = time.monotonic() - asked > GRACE
        if late:
            _send(os.killpg, group, signal.SIGKILL)
        for child in _children():
            if late or child not in told:
                _send(os.kill, child, signal.SIGKILL if late else signal.SIGTERM)
            told.add(child)
        time.sleep(_PAUSE)


def _send(how: Callable[[int, int], None], to: int, signum: int) -> None:
    """Send a signal to a process or a group, if it is still there."""
    with suppress(ProcessLookupError):
        how(to, signum)


def _any_left() -> bool:
    """Take note of children that have ended, those adopted among them, and tell whether there are others."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
        return True
    return False


def _children() -> list[int]:
    """Return the children of this process; where there is no /proc, none."""
    numbers = [int(name) for name in os.listdir("/proc") if name.isdecimal()] if os.path.isdir("/proc") else []
    return [number for number in numbers if _parent(number) == os.getpid()]


def _parent(number: int) -> int | None:
    try:
        with open(f"/proc/{number}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return None


if __name__ == "__main__":
    sys.exit(keep(int(sys.argv[1]), sys.argv[2:]))
