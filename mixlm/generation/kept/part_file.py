"""A file that lines are appended to, each of which is read back whole or not at all."""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from zlib import crc32

from mixlm.errors import InputError
from vqvae.atomic_files import to_disk


SYNCED = 2.0  # seconds after which lines are on disk, if others come after them
_HEADER = -1


class Line(NamedTuple):
    """A line to keep.

    Attributes:
        number: Its place among all lines.
        text: JSON, without a line break.
        good: Whether it need not be made again.
        seconds: What it took.
    """

    number: int
    text: str
    good: bool = True
    seconds: float = 0.0


class KeptLine(NamedTuple):
    """A line that is kept, without its text, which ``length`` bytes from ``offset`` on are."""

    number: int
    good: bool
    seconds: float
    offset: int
    length: int


class PartFile:
    """A file with a header and lines, each with a checksum; what was half written or has changed is passed over.

    Args:
        path: The file.
        header: JSON values that a new one begins with; None: it is there, and only read.

    Raises:
        InputError: If it cannot be opened.
    """

    def __init__(self, path: Path, header: Mapping[str, Any] | None = None) -> None:
        self.path, self.synced = path, time.monotonic()
        flags = os.O_RDONLY if header is None else os.O_RDWR | os.O_CREAT | os.O_APPEND
        try:
            self.descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror}); choose another place") from None
        if header is not None:
            self._begin(header)

    def _begin(self, header: Mapping[str, Any]) -> None:
        """Cut off a line that was half written, and write the header of a new file."""
        os.ftruncate(self.descriptor, self._end())
        if not os.fstat(self.descriptor).st_size:
            self._write(_packed(Line(_HEADER, json.dumps(header, ensure_ascii=False))))
            to_disk(self.path.parent, deep=False)

    def _end(self) -> int:
        """Return where the last whole line ends."""
        size, block = os.fstat(self.descriptor).st_size, 2**16
        for start in range((size - 1) // block * block, -1, -block):
            place = os.pread(self.descriptor, min(block, size - start), start).rfind(b"\n")
            if place >= 0:
                return start + place + 1
        return 0

    def lines(self) -> Iterator[KeptLine]:
        """Yield the lines in the order in which they were kept."""
        offset = 0
        with self._opened() as file:
            for raw in file:
                found = _unpacked(raw, offset)
                offset += len(raw)
                if found and found.number != _HEADER:
                    yield found

    def header(self) -> dict[str, Any] | None:
        """Return the header; None if it is not there whole."""
        with self._opened() as file:
            found = _unpacked(file.readline(), 0)
        return json.loads(self.text(found)) if found and found.number == _HEADER else None

    def append(self, lines: Sequence[Line]) -> list[KeptLine]:
        """Write lines at once.

        Raises:
            InputError: If they cannot be written.
        """
        packed, offset, found = [_packed(line) for line in lines], os.fstat(self.descriptor).st_size, []
        for raw in packed:
            found.append(_unpacked(raw, offset))
            offset += len(raw)
        self._write(b"".join(packed))
        if time.monotonic() - self.synced > SYNCED:
            self.to_disk()
        return found

    def text(self, found: KeptLine) -> bytes:
        """Return the text of a line."""
        return os.pread(self.descriptor, found.length, found.offset)

    def to_disk(self) -> None:
        """Wait until all lines are on disk."""
        os.fsync(self.descriptor)
        self.synced = time.monotonic()

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)

    def _opened(self) -> BinaryIO:
        """Return the file from its start, under whatever name it is now."""
        file = os.fdopen(os.dup(self.descriptor), "rb")
        file.seek(0)
        return file

    def _write(self, content: bytes) -> None:
        try:
            while content:
                content = content[os.write(self.descriptor, content) :]
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written ({error.strerror}); make room there") from None


def _packed(line: Line) -> bytes:
    mark = "+" if line.good else "?"
    body = f"{line.number} {mark} {line.seconds:.6f} {line.text}\n".encode()
    return b"%08x %b" % (crc32(body), body)


def _unpacked(raw: bytes, offset: int) -> KeptLine | None:
    """Return what a line of a file holds, which begins at ``offset``; None if it is none that was written whole."""
    sum_, _, body = raw.partition(b" ")
    if not body.endswith(b"\n") or sum_ != b"%08x" % crc32(body):
        return None
    number, mark, seconds, text = body[:-1].split(b" ", 3)
    return KeptLine(int(number), mark == b"+", float(seconds), offset + len(raw) - len(text) - 1, len(text))
