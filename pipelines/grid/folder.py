"""The folder of a comparison: whose it is, and that one process at a time works in it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixlm.errors import InputError


RESULTS, ATTEMPTS, MODEL = "results.jsonl", "parts.jsonl", "model.yaml"
FOLDERS = ("data", "encoded", "runs", "answers")
_LOCK = ".lock"


@contextmanager
def claimed(out: Path) -> Iterator[int]:
    """Make the folder ``out`` with its subfolders, and keep other processes from working in it meanwhile.

    The system drops the lock when the process ends, however it ends, and with it those that it started with the
    descriptor that is yielded: a command that outlives us still works in the folder.

    Raises:
        InputError: If another process works there, or the folder holds what is not from a comparison.
    """
    ours = [out / name for name in (_LOCK, RESULTS, ATTEMPTS)]
    others = [path.name for path in out.iterdir() if path.name in FOLDERS] if out.is_dir() else []
    if others and not any(path.exists() for path in ours):
        raise InputError(f"{out}: has a folder '{others[0]}' that is not from mixlm compare; choose another --out")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    with open(out / _LOCK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{out}: another mixlm compare works there; wait for it, or choose another --out"
            ) from None
        for folder in FOLDERS:
            (out / folder).mkdir(exist_ok=True)
        yield file.fileno()
