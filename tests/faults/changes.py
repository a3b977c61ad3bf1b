"""What the shim counted: where to end a command, what a loss of power takes, what is named before it is on disk."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.faults.forks import AFTER, BEFORE, HALF


POWER = "power"  # ended before a change, and what no sync had brought to disk is lost
MARKS = ("mixlm.json", "manifest.json")  # what says that all beside it is there
OPEN, WRITE, SYNC, RENAME, REMOVE = "open", "write", "sync", "rename", ("unlink", "rmdir")


@dataclass
class Change:
    """A change of files.

    Attributes:
        number: In the order of all.
        call: Which: open (that makes or empties a file), write, truncate, rename, link, unlink, mkdir, rmdir, sync.
        path: Of what.
        more: The second path of a rename.
        size: Of the file afterwards; -1 if it is none.
        made: Whether it was made: not if the command was ended before, or it failed.
    """

    number: int
    call: str
    path: str
    more: str = ""
    size: int = -1
    made: bool = False

    def told(self, folder: Path) -> str:
        """The change in words, with paths from ``folder`` on."""
        names = (os.path.relpath(path, folder) for path in (self.path, self.more) if path)
        return f"{self.call} {' -> '.join(names)}"


def read_changes(log: Path) -> list[Change]:
    """Read the log of the shim."""
    found: dict[int, Change] = {}
    for line in log.read_text(errors="surrogateescape").splitlines():
        if line.startswith("="):
            number, size = line[1:].split()
            found[int(number)].made = size != "failed"
            found[int(number)].size = -1 if size == "failed" else int(size)
        else:
            number, call, paths = line.split(" ", 2)
            path, _, more = paths.partition("\t")
            found[int(number)] = Change(int(number), call, path, more)
    return [found[number] for number in sorted(found)]


def points(changes: Sequence[Change]) -> list[tuple[int, str]]:
    """Where to end a command: every state of its files between two changes, once.

    Of writes to one file in a row the first and the last; half of the last is one more. What is lost with the power is
    another state only where something was written.
    """
    kept = [
        one
        for before, one, after in _with_neighbours(changes)
        if not (_writes_on(before, one) and _writes_on(one, after))
    ]
    found = [
        (one.number, BEFORE)
        for before, one in pairwise([None, *kept])
        if before is None or before.call != SYNC and before.made
    ]
    found += [(one.number, POWER) for one in kept]
    found += [
        (one.number, HALF)
        for _, one, after in _with_neighbours(changes)
        if one.call == WRITE and not _writes_on(one, after)
    ]
    return found + [(changes[-1].number, AFTER)]


def _with_neighbours(changes: Sequence[Change]) -> Iterable[tuple[Change | None, Change, Change | None]]:
    return zip([None, *changes], changes, [*changes[1:], None], strict=False)


def _writes_on(one: Change | None, after: Change | None) -> bool:
    """Tell whether two changes are writes to the same file."""
    return bool(one and after and one.call == after.call == WRITE and one.path == after.path)


class Disk:
    """What of a folder is on disk, after changes.

    A sync brings a file's data to disk, that of a folder its names. As file systems with a journal do, names keep
    their order among themselves, but may be there before the data.

    Attributes:
        written: Files with data that is not on disk, with the size of what is.
        named: Names that a sync of their folder has not brought to disk.
    """

    def __init__(self) -> None:
        self.written: dict[str, int] = {}
        self.named: set[str] = set()
        self.sizes: dict[str, int] = {}

    def make(self, change: Change) -> None:
        """Make a change."""
        if not change.made:
            return
        path, call = change.path, change.call
        if call == SYNC:
            self.sizes[path] = change.size
            self.written.pop(path, None)
            self.named = {name for name in self.named if os.path.dirname(name) != path}
        elif call in REMOVE:
            self._forget(path)
        elif call == RENAME:
            self._forget(change.more)
            self._rename(path, change.more)
        elif call in (OPEN, WRITE, "truncate"):
            self.written.setdefault(path, self.sizes.get(path, 0) if call == WRITE else 0)
        if call in (OPEN, "mkdir", "link"):
            self.named.add(change.more or path)

    def _forget(self, path: str) -> None:
        for name in [name for name in {*self.written, *self.named, *self.sizes} if _is_in(name, path)]:
            self.written.pop(name, None), self.sizes.pop(name, None), self.named.discard(name)

    def _rename(self, path: str, more: str) -> None:
        def renamed(name: str) -> str:
            return more + name[len(path) :] if _is_in(name, path) else name

        self.written = {renamed(name): size for name, size in self.written.items()}
        self.sizes = {renamed(name): size for name, size in self.sizes.items()}
        self.named = {renamed(name) for name in self.named} | {more}

    def missing(self, path: str) -> list[str]:
        """What of a file or folder is not on disk: data, and names below it."""
        data = [f"data of {name}" for name in self.written if _is_in(name, path)]
        return data + [f"name {name}" for name in self.named if _is_in(name, path) and name != path]


def _is_in(name: str, path: str) -> bool:
    return name == path or name.startswith(f"{path}/")


def lose_power(changes: Sequence[Change]) -> None:
    """Take away what no sync has brought to disk."""
    disk = Disk()
    for change in changes:
        disk.make(change)
    for path, size in disk.written.items():
        if os.path.isfile(path) and not os.path.islink(path):
            os.truncate(path, min(size, os.path.getsize(path)))


def not_durable(changes: Sequence[Change], folder: Path, passed_over: Sequence[str]) -> list[str]:
    """What is named before it is on disk, and what is not on disk in the end.

    What a draft becomes must be on disk before, and all that lies beside ``MARKS`` before they get their last content.
    What other libraries name need not: it is in a draft, or has a mark.

    Args:
        changes: Of a whole command.
        folder: Where.
        passed_over: Folders of it of which nothing is promised.
    """
    disk, found = Disk(), []
    last = {change.more: change.number for change in changes if os.path.basename(change.more) in MARKS}
    for change in changes:
        if change.call == RENAME and change.made:
            named = [change.path] if os.path.basename(change.path) == f".{os.path.basename(change.more)}.tmp" else []
            named += [os.path.dirname(change.more)] if last.get(change.more) == change.number else []
            missing = {what for where in named for what in disk.missing(where)} - {f"name {change.path}"}
            found += [f"{what} when {change.more} appears" for what in missing]
        disk.make(change)
    found += [f"{what} at the end" for what in disk.missing(str(folder))]
    skipped = tuple(f" {folder}/{name}" for name in passed_over)
    told = (what.replace(f"{folder}/", "") for what in found if not any(name in what for name in skipped))
    return sorted({*told})
