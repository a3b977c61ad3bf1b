"""Equality of mathematical answers by math-verify, in a process of its own that is killed when it takes too long.

The time limits of math-verify are signals, which only the main thread receives, and only where no library in between
takes the interruption for an error of its own. A process can always be killed. It is started at the first check,
which takes a second or two, and serves all later ones; where one hangs it is killed, the answer counts as wrong, and
the next check starts another process.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from mixlm.errors import InputError


LIMIT = 10.0  # seconds of a check; math-verify's own limits are 5 for reading a text and 5 for a comparison
_START_LIMIT = 120.0  # seconds until a process is ready; imports are slow on a busy machine
_MEMORY = 4 * 2**30  # bytes of address space; sympy alone needs a tenth
_READY = b"ready\n"


class MathChecker:
    """Compares answers in one other process; any thread may ask.

    Args:
        limit: Seconds that a check may take.
    """

    def __init__(self, limit: float = LIMIT) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None

    @property
    def pid(self) -> int | None:
        """Id of the process; None before the first check and after ``close``."""
        return self._process.pid if self._process else None

    def equal(self, gold: str, answer: str) -> bool:
        """Tell whether two expressions are equal; False for one that cannot be compared within the limit.

        Args:
            gold: The right answer as bare LaTeX, see ``mixlm.evaluation.latex``.
            answer: The other answer, likewise.

        Raises:
            InputError: If math-verify is not installed or does not start.
        """
        line = json.dumps([gold, answer]).encode() + b"\n"
        with self._lock:
            for _ in range(2):  # a process that died while idle is not the answer's fault
                reply, late = _ask(self._running(), line, self.limit)
                if reply:
                    return json.loads(reply)
                self._stop()
                if late:
                    break
        return False

    def close(self) -> None:
        """End the process; a later check starts another."""
        with self._lock:
            self._stop()

    def forget(self) -> None:
        """Leave the process to the parent, in a process that was forked off it."""
        self._lock, self._process = threading.Lock(), None

    def _running(self) -> subprocess.Popen:
        if self._process and self._process.poll() is not None:
            self._stop()
        if not self._process:
            require_math_verify()
            self._process = _start(self.limit)
            if _ask(self._process, b"", _START_LIMIT)[0] != _READY:
                self._stop()
                raise InputError("--check math: math-verify does not start; try: python -c 'import math_verify'")
        return self._process

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # what it was not given in time
                    pipe.close()


def equal_math(gold: str, answer: str) -> bool:
    """Tell whether two expressions are equal, with the process that all callers share.

    Args:
        gold: See ``MathChecker.equal``.
        answer: See ``MathChecker.equal``.

    Raises:
        InputError: See ``MathChecker.equal``.
    """
    return _SHARED.equal(gold, answer)


def require_math_verify() -> None:
    """Raise an ``InputError`` if math-verify is not installed, without importing it."""
    if find_spec("math_verify") is None:
        raise InputError("--check math needs math-verify; install it with: pip install math-verify")


def _start(limit: float) -> subprocess.Popen:
    """Start a process that runs ``serve``, imports what this one can, and does not hear the Ctrl-C of a terminal."""
    paths = [path for path in sys.path if path] + [str(Path(__file__).resolve().parents[2])]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "mixlm.evaluation.math_check", str(limit)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,
    )


def _ask(process: subprocess.Popen, line: bytes, limit: float) -> tuple[bytes, bool]:
    """Return the process's reply, empty if it ended instead, and whether it was killed for taking too long."""
    late = threading.Event()
    timer = threading.Timer(limit, _kill, (process, late))
    timer.daemon = True
    timer.start()
    try:
        process.stdin.write(line)
        process.stdin.flush()
        return process.stdout.readline(), late.is_set()
    except OSError:  # it is gone
        return b"", late.is_set()
    finally:
        timer.cancel()


def _kill(process: subprocess.Popen, late: threading.Event) -> None:
    late.set()
    process.kill()


def serve(limit: float) -> None:
    """Answer lines of two texts with ``true`` or ``false`` until there are no more.

    Args:
        limit: Seconds after which whoever asked kills this process. If they are gone, it ends by itself after twice
            as many seconds of work.
    """
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a library prints
    _limit_memory()
    _compare("1", "2")  # the first one imports sympy and builds a parser
    replies.write(_READY)
    replies.flush()
    for line in sys.stdin.buffer:
        _limit_work(2 * limit)
        equal = _compare(*json.loads(line))
        _limit_work(0)
        replies.write(json.dumps(equal).encode() + b"\n")
        replies.flush()


def _compare(gold: str, answer: str) -> bool:
    import math_verify  # noqa: F401 - if it cannot be imported, no answer is wrong

    from mixlm.evaluation.math_equality import equal

    try:
        return equal(gold, answer)
    except Exception:  # an answer that breaks the parser is a wrong one
        return False


def _limit_memory() -> None:
    with suppress(ValueError, OSError):  # not every system can
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def _limit_work(seconds: float) -> None:
    """Let the system end this process after so many seconds of its own work; 0: no more."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


_SHARED = MathChecker()


os.register_at_fork(after_in_child=_SHARED.forget)


if __name__ == "__main__":
    serve(float(sys.argv[1]))
