"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from mixlm.errors import InputError


@contextmanager
def whole_file(path: str | Path) -> Iterator[TextIO]:
    """Open ``path`` for writing under a temporary name, and rename it when the block ends without an error.

    Until then, and after an error, whatever was at ``path`` stays as it was. The file is opened at once, so that a
    place where nothing can be written is found before the work and not after it.

    Raises:
        InputError: If nothing can be written there.
    """
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "is a folder")
        file = open(draft, "w", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another place") from None
    try:
        with file:
            yield file
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
