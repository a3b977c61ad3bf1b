"""Commands called in forks of this process: what each said, and in what way it went wrong."""

import contextlib
import gc
import os
import resource
import select
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from pipelines.shared.command import _SILENT


# what commands set for libraries that are imported after it, and these are imported before
os.environ |= _SILENT | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
SECONDS = 60  # a call that takes longer hangs
MEMORY = 12 << 30  # bytes of addresses: what asks for more is refused by the system, and takes nobody else's
_BUG = 70  # how a fork ends whose call ended in a traceback
# lines beside the one that tells the mistake
_AROUND = (
    *("Usage: ", "Try '", "note: ", "warning: ", "answers: ", "answers are compared by ", "[transformers] "),
    *("checkpoints: ", "codes are trained for ", "going on from ", "learning rate ", "preset "),
)


class Ending(NamedTuple):
    """How a call ended.

    Attributes:
        code: Its exit status; negative: the signal that ended it; None: it was ended after ``SECONDS``.
        out: What it wrote to standard output.
        err: What it wrote to standard error.
    """

    code: int | None
    out: str
    err: str

    @property
    def error(self) -> str:
        """The line that tells what was wrong; "" if there is not exactly one."""
        lines = [line for line in self.err.split("\n") if line.strip() and not line.startswith(_AROUND)]
        return lines[0].removeprefix("Error: ") if len(lines) == 1 and lines[0].startswith("Error: ") else ""

    @property
    def fault(self) -> str | None:
        """What no command may do whatever it is given; None if it did nothing of the kind."""
        if self.code is None:
            return "hangs"
        if self.code < 0:
            return "crashes"
        if self.code == _BUG or "Traceback (most recent call last)" in self.err + self.out:
            return "tracebacks"
        return "not one line" if self.code and not self.error else None


def load_libraries() -> None:
    """Import what commands import, once for all forks."""
    for name in ("torch", "datasets", "pyarrow.parquet", "transformers.trainer", "matplotlib.pyplot", "yaml"):
        import_module(name)
    if find_spec("peft"):  # needs a higher torch than the lowest
        import_module("peft")
    for name in ("encoding.encode", "training.train", "evaluation.evaluate", "evaluation.inputs", "generation.engine"):
        import_module(f"mixlm.{name}")
    for name in ("cli", "encode", "train", "generate", "evaluate", "compare", "data", "demo", "analyze", "export"):
        import_module(f"pipelines.{name}")
    gc.collect()
    gc.freeze()


@contextmanager
def own_place() -> Iterator[Path]:
    """Import the libraries, and yield a folder for all that commands write, their caches included."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HF_HOME"], os.environ["XDG_CACHE_HOME"] = f"{folder}/hub", f"{folder}/cache"
        load_libraries()
        yield Path(folder)


def tell(wrong: str, what: str) -> None:
    """Show what went wrong at once."""
    print(f"{wrong}: {what}", flush=True)


def call(*arguments: object, folder: Path, seconds: float = SECONDS) -> Ending:
    """Run ``mixlm ARGUMENTS`` in a fork, in ``folder``."""

    def command() -> None:
        from pipelines.cli import main

        main([str(argument) for argument in arguments], prog_name="mixlm")

    return fork(command, folder, seconds)


def fork(function: Callable[[], None], folder: Path, seconds: float = SECONDS) -> Ending:
    """Run a function in a fork, in ``folder``, and the processes that it starts with it."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            _be_child(function, folder, (out.fileno(), err.fileno()))
        code = _wait(child, seconds)
        return Ending(code, *(_content(file) for file in (out, err)))


def _be_child(function: Callable[[], None], folder: Path, streams: Sequence[int]) -> None:
    code = _BUG
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        for stream, given in enumerate(streams, 1):
            os.dup2(given, stream)
        sys.stdout, sys.stderr = (open(stream, "w", closefd=False) for stream in (1, 2))  # where a test holds them
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(folder)
        function()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _wait(child: int, seconds: float) -> int | None:
    """Wait for a child and return its exit status; end it, with all that it started, if it takes too long."""
    descriptor = os.pidfd_open(child)
    ended = bool(select.select([descriptor], [], [], seconds)[0])
    os.close(descriptor)
    with contextlib.suppress(ProcessLookupError):  # which it is where nothing is left of it
        os.killpg(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if ended else None


def _content(file) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "backslashreplace")
