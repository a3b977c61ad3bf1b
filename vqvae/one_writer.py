"""One command at a time writes into a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from vqvae.atomic_files import is_at, lock, to_disk
from vqvae.errors import InputError


@contextmanager
def one_writer(folder: str | Path) -> Iterator[int]:
    """Make a folder, and keep other commands from writing into it until the block ends.

    The lock is on the folder itself. The system drops it when the process ends, however it ends, and with it those
    that it started with the descriptor that is yielded. A folder that is still empty in the end is removed again, if
    it was made here.

    Raises:
        InputError: If another command writes there, or there can be no folder.
    """
    folder = Path(folder)
    made = _make(folder)
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise InputError(f"{folder}: cannot be opened ({error.strerror}); choose another place") from None
    try:
        if not (lock(descriptor) and is_at(descriptor, folder)):
            made = False  # the folder is that command's now
            raise InputError(f"{folder}: another command writes there; wait for it, or choose another place")
        yield descriptor
    finally:
        if made:
            with suppress(OSError):  # it is not empty
                folder.rmdir()
        os.close(descriptor)


def require_writable(folder: str | Path) -> None:
    """Raise an ``InputError`` if nothing can be written into a folder, or it cannot be made; leave all as it is."""
    folder = Path(folder)
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        with TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); choose another place") from None


def _make(folder: Path) -> bool:
    """Make a folder and those above it; tell whether it was not there before."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        to_disk(folder.parent, deep=False)
    except FileExistsError:
        if not folder.is_dir():
            raise InputError(f"{folder}: is no folder; choose another place") from None
        return False
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}); choose another place") from None
    return True
