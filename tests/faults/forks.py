"""Commands in forks of a process that has imported the large libraries, watched by the shim and ended at will.

The process that forks was started with ``environment``. It runs nothing itself: a fork begins without threads.
"""

import atexit
import ctypes
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


HERE = Path(__file__).parent
BEFORE, AFTER, HALF = "before", "after", "half"  # where in a change a command is ended; in the order of shim.c
LIBRARIES = ("torch", "datasets", "peft", "vector_quantize_pytorch", "transformers.trainer", "pyarrow.parquet")
COMMANDS = ("mixlm.encoding.encode", "mixlm.training.train", "mixlm.evaluation.evaluate", "pipelines.cli")
PATIENCE = 120.0  # seconds after which a command hangs: they take few


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        status: Its exit status; -N: by signal N.
        output: What it printed.
        hung: It did not end by itself.
        seconds: It took.
    """

    status: int
    output: str
    hung: bool
    seconds: float

    @property
    def traceback(self) -> bool:
        """Whether it printed a traceback."""
        return "Traceback (most recent call last)" in self.output or "Exception ignored" in self.output


@dataclass(frozen=True)
class End:
    """Where a command is to be ended: at a change of files, by its number."""

    number: int = 0
    how: str = AFTER


def build_shim(folder: Path) -> Path:
    """Compile the shim into ``folder``."""
    shim = folder / "shim.so"
    draft = folder / f"shim.{os.getpid()}.so"
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(draft), str(HERE / "shim.c"), "-ldl"], check=True)
    draft.replace(shim)
    return shim


def environment(shim: Path, home: Path) -> dict[str, str]:
    """The environment of a process that forks, whose caches and temporary files are in ``home``."""
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    quiet = {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    quiet |= {"DATASETS_VERBOSITY": "error", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}
    own = {"LD_PRELOAD": str(shim), "HF_HOME": str(home / "cache"), "TMPDIR": str(home / "tmp")}
    own |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **quiet, **own}


def import_libraries(modules: Sequence[str] = ()) -> None:
    """Import what commands import, so that a fork need not."""
    import torch

    torch.set_num_threads(1)
    for name in (*LIBRARIES, *COMMANDS, *modules):
        try:
            importlib.import_module(name)
        except Exception:  # one that a command finds in another way
            continue
    gc.collect()
    gc.freeze()


def start(
    work: Callable[[], object], folder: Path, output: Path, end: End | None = None, log: Path | None = None
) -> int:
    """Begin ``work`` in a fork of its own process group; returns its number.

    Args:
        work: What to do.
        folder: Where: the folder that the process is in, whose changes the shim counts.
        output: File for what it prints.
        end: Where to end it; None: it is not watched.
        log: File for its changes.
    """
    sys.stdout.flush()
    child = os.fork()
    if child:
        with suppress(OSError):  # the child was faster
            os.setpgid(child, child)
        return child
    status = 1
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for signum in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_DFL)
        opened = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
        for stream, given in enumerate((os.open(os.devnull, os.O_RDONLY), opened, opened)):
            os.dup2(given, stream)
        os.chdir(folder)
        if end:
            arm = ctypes.CDLL(None).arm
            arm(os.fsencode(folder), ctypes.c_long(end.number), (BEFORE, AFTER, HALF).index(end.how), os.fsencode(log))
        work()
        status = 0
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else int(left.code is not None)
        if isinstance(left.code, str):
            print(left.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def wait(child: int, output: Path, patience: float = PATIENCE) -> Ended:
    """Wait for the end of what ``start`` began; what has not ended after ``patience`` seconds is killed."""
    begun, hung = time.monotonic(), False
    while (found := os.waitpid(child, os.WNOHANG))[0] == 0:
        time.sleep(0.005)
        if not hung and time.monotonic() - begun > patience:
            hung = True
            os.killpg(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(found[1])
    return Ended(status, output.read_text(errors="replace"), hung, time.monotonic() - begun)


def command(arguments: Sequence[str], modules: Path | None = None) -> Callable[[], None]:
    """``mixlm ARGUMENTS``, as work of ``start``; ``modules``: file for the names of all modules that it imported."""

    def work() -> None:
        from pipelines.cli import main

        sys.argv = ["mixlm", *arguments]
        try:
            main(list(arguments), prog_name="mixlm")
        finally:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # the command has ended
            if modules:
                modules.write_text(json.dumps(sorted(sys.modules)))

    return work
