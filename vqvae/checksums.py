"""What tells whether a file is as it was written: checksums of files, and a digest of the JSON that lists them."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from vqvae.errors import InputError


DIGEST = "digest"  # in JSON: of all the rest of it
SUMS = "checksums"  # in JSON: name of a file, below the folder of the JSON -> SHA-256 as hexadecimal digits


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return JSON values with a digest of them, by which ``unsealed`` tells whether a digit has changed."""
    values = json.loads(json.dumps({name: value for name, value in content.items() if name != DIGEST}))
    return {**values, DIGEST: _digest(values)}


def unsealed(text: str | bytes) -> dict[str, Any]:
    """Read what ``sealed`` returned, or an object that was written without a digest; the digest is left out.

    Raises:
        ValueError: If it is no JSON object, or not the one that was sealed.
    """
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("no JSON object")
    digest = content.pop(DIGEST, None)
    if digest not in (None, _digest(content)):
        raise ValueError("its content has changed since it was written")
    return content


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def file_sum(path: Path) -> str:
    """Return the SHA-256 of a file; a file that has not changed since is read once in a process.

    Raises:
        OSError: If it cannot be read.
    """
    state = os.stat(path)
    return _file_sum(str(path), (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))


@lru_cache(maxsize=4096)
def _file_sum(path: str, state: tuple[int, ...]) -> str:
    return sha256_of(path)


def sha256_of(path: str | Path) -> str:
    """Read a file and return its SHA-256 as hexadecimal digits; an ``OSError`` if it cannot be read."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sums_of(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """Return the checksums of files below ``folder``, by their names in it."""
    return {file.relative_to(folder).as_posix(): file_sum(file) for file in sorted(files)}


def below(folder: Path, name: str) -> Path:
    """Return the file below ``folder`` of a name that stands in JSON, which somebody else may have written.

    What the file system itself leads elsewhere (a link, as the Hub's cache is made of) is followed.

    Raises:
        InputError: If the name leads out of the folder, or is none.
    """
    parts = PurePath(name).parts if isinstance(name, str) and "\0" not in name else ()
    if not parts or PurePath(name).is_absolute() or ".." in parts or "\\" in name:
        raise InputError(f"{folder}: is said to hold a file {name!r}, which leads elsewhere; do not trust this folder")
    return folder / name


def changes(folder: Path, sums: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the files that are not as ``sums`` has them: name, and "missing", "changed" or why it cannot be read.

    Raises:
        InputError: If a name leads out of the folder.
    """
    for name, before in sums.items():
        try:
            if file_sum(below(folder, name)) != before:
                yield name, "changed"
        except (FileNotFoundError, NotADirectoryError):
            yield name, "missing"
        except OSError as error:
            yield name, f"unreadable ({error.strerror})"
