"""Tables of files that are mapped into memory: what was read of them is given back."""

import ctypes
import mmap
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    import pyarrow


READS = 16  # of rows in any order, until what they touched is given back: each maps a dozen pieces of 64 KiB
_MAPS = Path("/proc/self/maps")


class Mapped:
    """The memory that a process holds of mapped files.

    Every page that is read counts as the process's own until the system wants it back, so that a process that reads
    all rows ends with the whole file. Given back, a page comes from the system's cache when it is read again. Tables
    that lie in memory are left alone, and so are all where a system has no ``/proc``.

    Args:
        tables: The tables; while they are held here, nothing else lies at their addresses.
    """

    def __init__(self, *tables: "pyarrow.Table") -> None:
        self.tables, self.reads = tables, 0
        addresses = sorted(address for table in tables for address in _addresses(table))
        self.regions = [(start, end) for start, end in _files_to_read() if _any_within(addresses, start, end)]

    def give_back(self) -> None:
        """Give back all that was read."""
        for start, end in self.regions:
            _libc().madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)

    def count_read(self) -> None:
        """Take notice that a row was read; after ``READS`` of them give back."""
        self.reads += 1
        if self.regions and self.reads % READS == 0:
            self.give_back()

    def __reduce__(self) -> tuple[type["Mapped"], tuple[()]]:
        """Give another process nothing: its addresses are others."""
        return Mapped, ()


def _addresses(table: "pyarrow.Table") -> Iterator[int]:
    """Yield where the values of all columns lie, chunk by chunk."""
    for column in table.columns:
        for chunk in column.chunks:
            yield from (buffer.address for buffer in chunk.buffers() if buffer is not None and buffer.size)


def _any_within(addresses: list[int], start: int, end: int) -> bool:
    """Tell whether any of ascending addresses lies from ``start`` to before ``end``."""
    return bisect_left(addresses, start) < bisect_left(addresses, end)


def _files_to_read() -> Iterator[tuple[int, int]]:
    """Yield first and last address of each file that is mapped for reading alone, so that its pages never change."""
    for line in _MAPS.read_text(errors="replace").splitlines() if _MAPS.is_file() else ():
        addresses, rights, _, _, inode = line.split()[:5]
        if rights[:3] == "r--" and inode != "0":
            start, _, end = addresses.partition("-")
            yield int(start, 16), int(end, 16)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
