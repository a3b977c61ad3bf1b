"""Files and folders that appear whole or not at all, and are on disk once they do.

What is being written stands beside its place under the name ``.NAME.tmp``. A process that is killed leaves that draft
behind, and the next one that writes the same takes it over.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from vqvae.checksums import sealed, sha256_of
from vqvae.errors import InputError


PATIENCE = 10.0  # seconds that a writer waits for another one of the same file
_PAUSE = 0.05


@contextmanager
def whole_path(path: str | Path) -> Iterator[Path]:
    """Yield the name of a draft of ``path``, which takes its place when the block ends without an error.

    Until then, and after an error, whatever was at ``path`` stays as it was. Who writes the same file meanwhile waits.

    Raises:
        InputError: If nothing can be written there, or another process writes there all the while.
    """
    path = Path(path)
    if not path.name:
        raise InputError(f"{path}: cannot be written (is a folder); choose another")
    draft = draft_of(path)
    with _held(path, draft):
        try:
            yield draft
            to_disk(draft)
            os.replace(draft, path)
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise
        to_disk(path.parent, deep=False)


@contextmanager
def whole_file(path: str | Path) -> Iterator[TextIO]:
    """Open ``path`` for writing text, as ``whole_path`` does.

    The file is opened at once, so that a place where nothing can be written is found before the work and not after it.

    Raises:
        InputError: As ``whole_path``.
    """
    with whole_path(path) as draft, open(draft, "w", encoding="utf-8") as file:
        yield file
        file.flush()


def write_sealed(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write JSON values with a digest of them, by which ``unsealed`` tells whether they are as they were written.

    Raises:
        InputError: As ``whole_path``.
    """
    with whole_file(path) as file:
        file.write(json.dumps(sealed(content), indent=2, ensure_ascii=False) + "\n")


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty folder, which takes the place of ``path`` when the block ends without an error.

    For the one writer of the folder above: who else writes there is not noticed.
    """
    path = Path(path)
    draft = draft_of(path)
    remove(draft)
    draft.mkdir(parents=True)
    try:
        yield draft
    except BaseException:
        remove(draft)
        raise
    settle(draft, path)


def settle(draft: Path, path: Path) -> None:
    """Give a folder that is written its name; what was there before is removed."""
    to_disk(draft)
    remove(path)
    os.replace(draft, path)
    to_disk(path.parent, deep=False)


def draft_of(path: Path) -> Path:
    """Return the name under which ``path`` is written."""
    return path.with_name(f".{path.name}.tmp")


def to_disk(path: Path, deep: bool = True) -> None:
    """Wait until a file, or a folder with all that is below it, is on disk.

    Args:
        path: What to wait for.
        deep: Of a folder: also what is below it, and not its list of names alone.
    """
    if deep and path.is_dir():
        for below in path.iterdir():
            to_disk(below)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # some file systems know no such thing of folders
            raise
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_drafts(folder: Path) -> None:
    """Remove what killed processes have left unfinished in a folder, whose one writer this is, or below it.

    Drafts of ours end in ``.tmp``; those of safetensors begin with it.
    """
    for draft in [*folder.rglob(".*.tmp"), *folder.rglob(".tmp??????")]:
        remove(draft)


@contextmanager
def _held(path: Path, draft: Path) -> Iterator[None]:
    """Hold the draft of a file, empty, so that no other process writes it."""
    if path.exists() and not path.is_file():
        raise InputError(
            f"{path}: cannot be written (is {'a folder' if path.is_dir() else 'no file'}); choose another"
        )
    until = time.monotonic() + PATIENCE
    while (descriptor := _try_to_hold(path, draft)) is None:
        if time.monotonic() > until:
            raise InputError(f"{path}: another process writes it; wait for it, or choose another place")
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        os.close(descriptor)


def _try_to_hold(path: Path, draft: Path) -> int | None:
    """Return the descriptor of a draft that is ours now; None if another process has it."""
    try:
        descriptor = os.open(draft, os.O_CREAT | os.O_WRONLY, 0o666)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another place") from None
    if lock(descriptor) and is_at(descriptor, draft):
        os.ftruncate(descriptor, 0)
        return descriptor
    os.close(descriptor)
    return None


def lock(descriptor: int, shared: bool = False) -> bool:
    """Lock an open file or folder until it is closed, by whatever end of the process; False if another has it.

    Where the file system has no locks, nothing is locked.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def is_at(descriptor: int, path: Path) -> bool:
    """Tell whether an open file is the one that has a name now: another may have renamed or removed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def checksum(path: str | Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits; an ``InputError`` if it cannot be read."""
    try:
        return sha256_of(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
