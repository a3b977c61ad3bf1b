"""Tokenized rows that the next command finds again: in the user's cache, a folder for all that decides them."""

import fcntl
import hashlib
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EWOULDBLOCK
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import mixlm.data
from mixlm.data.reading import RawRows
from mixlm.encoding.options import EncodingOptions
from mixlm.encoding.tokens.sharding import Sharding
from vqvae.atomic_files import checksum, is_at, lock


KEPT_DAYS = 30  # after their last use
KEPT_BYTES = 10 * 2**30  # of all together; those used last
_BETWEEN_DAYS = 24 * 3600
_LIBRARIES = ("transformers", "tokenizers", "jinja2", "pyarrow", "datasets")


class Source(NamedTuple):
    """A source of rows, as it was when it was looked at.

    Attributes:
        content: How its rows are stored, and a hash of them, whatever the file is called.
        stamp: Changes when somebody writes the file.
    """

    content: tuple[str, str]
    stamp: tuple[int, ...]


def source_of(name: str, rows: RawRows) -> Source:
    """Look at ``rows``, which ``open_raw`` opened by ``name``."""
    path = Path(name)
    if not path.is_file():
        return Source((name, rows.data._fingerprint), ())
    stamp = stamp_of(name)  # before it is read: who changes it meanwhile is noticed
    return Source((path.suffix, checksum(path)), stamp)


def stamp_of(name: str) -> tuple[int, ...]:
    """Return what changes when somebody writes a file; of what is no file it is nothing."""
    path = Path(name)
    if not path.is_file():
        return ()
    about = path.stat()
    return about.st_mtime_ns, about.st_size, about.st_ino


def reading_identity(sharding: Sharding, sources: dict[str, Source], options: EncodingOptions) -> dict[str, Any]:
    """Return what decides the samples that are read, and how they are cut into shards, as JSON values."""
    return {
        "sources": {split: source.content for split, source in sources.items()},
        "held out": sharding.held_out.tolist(),
        "template": options.template.to_dict(),
        "skip": options.skip_bad_rows,
        "pattern": options.answer_pattern,
        "shard rows": options.shard_rows,
        "code": _code_digest(),
        "libraries": {name: version(name) for name in _LIBRARIES},
    }


def _code_digest() -> str:
    """Return a hash of the code that makes ids of rows: of another version nothing is taken."""
    folders = (Path(mixlm.data.__file__).parent, Path(__file__).parent)
    digest = hashlib.sha256()
    for file in sorted(file for folder in folders for file in folder.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def cache_folder() -> Path | None:
    """Return where this project keeps what can be made again; None if there is no home."""
    told = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if told.is_absolute():
        return told / "mixlm"
    with suppress(RuntimeError, OSError):
        home = Path.home()
        if home.is_absolute() and home != Path("/") and home.is_dir():
            return home / ".cache" / "mixlm"
    return None


@contextmanager
def cache_entry(identity: dict[str, Any]) -> Iterator[Path]:
    """Yield the folder of what ``identity`` decides, for this process alone: others that want the same wait.

    Raises:
        OSError: If there is no place for it.
    """
    folder = cache_folder()
    if folder is None:
        raise FileNotFoundError(2, "there is no home folder")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    entry = folder / hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
    with folder_alone(entry):
        os.utime(entry)
        yield entry
    remove_old(folder, entry)


@contextmanager
def folder_alone(folder: Path) -> Iterator[Path]:
    """Make a folder, and yield it for this process alone: others that want the same wait.

    Raises:
        OSError: If it cannot be made.
    """
    while True:
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            _wait_for(descriptor)
            if is_at(descriptor, folder):
                yield folder
                return
        finally:
            os.close(descriptor)


def _wait_for(descriptor: int) -> None:
    """Lock a folder, once nobody else has it.

    Raises:
        OSError: If this process was started by another one of Python, which may have it, and wait for this one.
    """
    if multiprocessing.parent_process() is None:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    elif not lock(descriptor):
        raise BlockingIOError(EWOULDBLOCK, "another process fills it")


def remove_old(folder: Path, used: Path) -> None:
    """Remove what nobody has used for long, or has no room beside what was used since; nothing that is in use."""
    found, total = [], 0
    with suppress(OSError):
        found = sorted(((entry.stat().st_mtime, entry) for entry in folder.iterdir()), reverse=True)
    for last, entry in found:
        with suppress(OSError):
            total += sum(file.stat().st_size for file in entry.iterdir())
            old = time.time() - last > KEPT_DAYS * _BETWEEN_DAYS
            if entry != used and (old or total > KEPT_BYTES):
                _remove(entry)


def _remove(entry: Path) -> None:
    """Remove an entry, unless a process fills it."""
    descriptor = os.open(entry, os.O_RDONLY)
    try:
        if lock(descriptor):
            shutil.rmtree(entry)
    finally:
        os.close(descriptor)
