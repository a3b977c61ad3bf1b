"""The folder of a comparison: whose it is, and that one process at a time works in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixlm.errors import InputError
from vqvae.one_writer import one_writer


RESULTS, ATTEMPTS, MODEL = "results.jsonl", "parts.jsonl", "model.yaml"
FOLDERS = ("data", "encoded", "runs", "answers")


@contextmanager
def claimed(out: Path) -> Iterator[int]:
    """Make the folder ``out`` with its subfolders, and keep other processes from working in it meanwhile.

    The lock also lasts as long as processes that were started with the descriptor that is yielded: a command that
    outlives us still works in the folder.

    Raises:
        InputError: If another process works there, or the folder holds what is not from a comparison.
    """
    ours = [out / name for name in (ATTEMPTS, RESULTS)]
    others = [path.name for path in out.iterdir() if path.name in FOLDERS] if out.is_dir() else []
    if others and not any(path.exists() for path in ours):
        raise InputError(f"{out}: has a folder '{others[0]}' that is not from mixlm compare; choose another --out")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; choose another --out")
    with one_writer(out) as lock:
        (out / ATTEMPTS).touch()
        for folder in FOLDERS:
            (out / folder).mkdir(exist_ok=True)
        yield lock
