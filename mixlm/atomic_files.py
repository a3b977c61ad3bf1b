"""Files that appear whole or not at all, and what their content is known by."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from mixlm.errors import InputError


@contextmanager
def whole_path(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``, and rename what was written there when the block ends without an error.

    Until then, and after an error, whatever was at ``path`` stays as it was.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        with suppress(OSError):  # it is not there any more, or never could be
            draft.unlink()


@contextmanager
def whole_file(path: str | Path) -> Iterator[TextIO]:
    """Open ``path`` for writing text, as ``whole_path`` does.

    The file is opened at once, so that a place where nothing can be written is found before the work and not after it.

    Raises:
        InputError: If nothing can be written there.
    """
    path = Path(path)
    with whole_path(path) as draft:
        try:
            if path.is_dir():
                raise IsADirectoryError(21, "is a folder")
            file = open(draft, "w", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror}); choose another place") from None
        with file:
            yield file


def checksum(path: str | Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits; an ``InputError`` if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
