"""Lines of an output that are kept as they come, so that the same command goes on after the last of them."""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from mixlm.errors import InputError
from mixlm.generation.kept.part_file import KeptLine, Line, PartFile
from mixlm.processes import Processes
from vqvae.atomic_files import is_at, lock, to_disk, whole_path


class Lines(Protocol):
    """Where lines go as they come."""

    def has(self, number: int) -> bool:
        """Tell whether a line is there and need not be made again."""

    def keep(self, lines: Sequence[Line]) -> None:
        """Take lines."""

    def read(self, number: int) -> Any:
        """Return the JSON of a line."""

    def seconds(self, numbers: Iterable[int]) -> float:
        """Return what lines took together."""


class HeldLines:
    """Lines in memory, for a caller who writes nothing."""

    def __init__(self) -> None:
        self.lines: dict[int, Line] = {}

    def has(self, number: int) -> bool:
        """Tell whether a line is there and need not be made again."""
        return number in self.lines and self.lines[number].good

    def keep(self, lines: Sequence[Line]) -> None:
        """Take lines."""
        self.lines |= {line.number: line for line in lines}

    def read(self, number: int) -> Any:
        """Return the JSON of a line."""
        return json.loads(self.lines[number].text)

    def seconds(self, numbers: Iterable[int]) -> float:
        """Return what lines took together."""
        return sum(self.lines[number].seconds for number in numbers)


class KeptLines:
    """Lines that are appended to a part file beside an output, and make it once all are there.

    Each process of a launch has a part of its own, ``.NAME.part``, ``.NAME.part-1`` and so on, and reads those of all,
    also of an earlier launch. The first part is locked while any process of a launch works; the system drops the lock
    with the processes. A part of another command is put aside under a name of its own, and taken up again when that
    command is given again.

    Args:
        path: The output.
        header: What decides the lines, under ``identity``, and whatever else the parts are to tell.
        count: Number of lines of the output, which are numbered from 0.
        notes: Number of further lines, which are kept and stand in no output.
        processes: Who writes lines together; None: this one alone.
        say: Told if another command's part is put aside.
    """

    def __init__(
        self,
        path: str | Path,
        header: Mapping[str, Any],
        count: int,
        notes: int = 0,
        processes: Processes | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.path, self.header, self.count, self.say = Path(path), header, count, say
        self.processes = processes or Processes()
        self.places = np.full((count + notes, 3), -1, np.int64)  # of each line: its part, offset and length there
        self.good, self.spent = np.zeros(count + notes, bool), np.zeros(count + notes)
        self.parts: list[PartFile] = []

    @cached_property
    def mark(self) -> str:
        """What tells this command's parts from others'."""
        return identity_mark(self.header)

    def __enter__(self) -> Self:
        """Take the lock, and find the lines that are there.

        Raises:
            InputError: If another command writes there, or nothing can be.
        """
        require_place(self.path)
        with ExitStack() as stack:
            if self.processes.first:
                self._claim(stack)
            self.processes.wait()
            if not self.processes.first:
                self._share(stack)
            self.processes.wait()
            self.parts = [PartFile(self._part(self.processes.rank), self.header)]
            stack.callback(lambda: [part.close() for part in self.parts])
            self.look()
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the lines on disk for the same command, or nothing if there are none."""
        with self.stack:
            if self.parts[0].path.exists():
                self.parts[0].to_disk()
                kept = any(any(PartFile(part).lines()) for part in parts_of(self.path))  # of an earlier launch, too
                if self.processes.count == 1 and not kept:
                    self.discard()

    def _claim(self, stack: ExitStack) -> None:
        """Lock the first part, and put parts of other commands aside."""
        while True:
            descriptor = _opened(self._part(0), self.path)
            if not lock(descriptor):
                os.close(descriptor)
                raise InputError(
                    f"{self.path}: another command is writing it; wait for its end, or choose another place"
                )
            if is_at(descriptor, self._part(0)) and not self._put_aside():
                stack.callback(os.close, descriptor)
                self.lock = descriptor
                if self.processes.count > 1:
                    lock(descriptor, shared=True)
                return
            os.close(descriptor)

    def _share(self, stack: ExitStack) -> None:
        """Share the first process's lock."""
        self.lock = _opened(self._part(0), self.path)
        stack.callback(os.close, self.lock)
        lock(self.lock, shared=True)

    def _put_aside(self) -> bool:
        """Rename the parts of other commands, and this one's back; tell whether a name means another file now."""
        moved, mine = False, f".{self.mark}"
        for part in self._found():
            mark, kept = _told_by(part)
            if kept and mark != self.mark:
                aside = part.with_name(f"{part.name}.{mark}")
                os.replace(part, aside)
                self.say(f"note: answers of another command to {self.path} are put aside in {aside}")
                moved = True
            elif mark != self.mark:
                os.truncate(part, 0)
        for aside in self._found(mine):
            part = aside.with_name(aside.name.removesuffix(mine))
            if not part.exists() or not part.stat().st_size:
                os.replace(aside, part)
                moved = True
        return moved

    def look(self) -> None:
        """Find the lines of all parts; of two with one number a good one stands, and else the later one."""
        for part in self.parts[1:]:
            part.close()
        own = self.parts[0]
        self.parts = [own, *(PartFile(path) for path in self._found() if path != own.path)]
        for number, part in enumerate(self.parts):
            for found in part.lines():
                self._note(number, found)

    def _note(self, part: int, found: KeptLine) -> None:
        number = found.number
        if number < len(self.good) and (found.good or not self.good[number]):
            self.places[number] = part, found.offset, found.length
            self.good[number], self.spent[number] = found.good, found.seconds

    def has(self, number: int) -> bool:
        """Tell whether a line is there and need not be made again."""
        return bool(self.good[number])

    def keep(self, lines: Sequence[Line]) -> None:
        """Append lines to this process's part, all or none.

        Raises:
            InputError: If they cannot be written.
        """
        for found in self.parts[0].append(lines):
            self._note(0, found)

    def read(self, number: int) -> Any:
        """Return the JSON of a line."""
        return json.loads(self._text(number))

    def seconds(self, numbers: Iterable[int]) -> float:
        """Return what lines took together, over all interruptions."""
        return float(sum(self.spent[number] for number in numbers))

    @property
    def done(self) -> int:
        """How many lines of the output are there and need not be made again."""
        return int(self.good[: self.count].sum())

    def complete(self) -> bool:
        """Tell, when this process has done its share, whether it is the last and all lines are there, good or not."""
        if self.processes.count > 1:
            self.look()
        if (self.places[:, 0] < 0).any():
            return False
        if self.processes.count > 1:
            with suppress(OSError):  # where there are no locks
                fcntl.flock(self.lock, fcntl.LOCK_EX)  # waits for whoever else is here; the first one joins the parts
        return self.processes.count == 1 or is_at(self.lock, self._part(0))

    def join(self, before: Callable[[], None], lines: Iterable[bytes] | None = None) -> str:
        """Write the output, and return its SHA-256 as hexadecimal digits.

        Args:
            before: Called when it is on disk, and takes the place of a former one, of which nothing may be told then.
            lines: What was made of the lines that are kept; None: these, in their order.
        """
        digest, told = hashlib.sha256(), map(self._text, range(self.count)) if lines is None else lines
        with whole_path(self.path) as draft:
            with open(draft, "wb") as file:
                for line in told:
                    digest.update(line + b"\n")
                    file.write(line + b"\n")
            to_disk(draft)
            before()
        return digest.hexdigest()

    def clear(self) -> None:
        """Remove the parts of a command that was killed when it had written the output.

        Of a part that was removed a loss of power may have left the name alone, or less than a line.
        """
        if any(mark == self.mark or not kept for mark, kept in map(_told_by, self._found())):
            with self:
                self.discard()

    def discard(self) -> None:
        """Remove the parts."""
        for part in sorted(self._found(), reverse=True):  # the one with the lock last
            part.unlink(missing_ok=True)

    def _text(self, number: int) -> bytes:
        part, offset, length = map(int, self.places[number])
        return self.parts[part].text(KeptLine(number, True, 0.0, offset, length))

    def _part(self, rank: int) -> Path:
        return self.path.with_name(f".{self.path.name}.part{f'-{rank}' if rank else ''}")

    def _found(self, ending: str = "") -> list[Path]:
        return parts_of(self.path, ending)


def require_place(path: Path) -> None:
    """Raise an ``InputError`` if what lies at ``path`` is none that a file could take the place of."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: cannot be written (is no file); choose another place")


def parts_of(path: Path, ending: str = "") -> list[Path]:
    """Return the parts of an output that are there, the first process's first, whoever has written them."""
    stem = f".{path.name}.part"
    names = (beside.name for beside in path.parent.iterdir()) if path.parent.is_dir() else ()
    ours = [name for name in names if name.startswith(stem) and name.endswith(ending)]
    ranks = {name: name.removeprefix(stem).removesuffix(ending) for name in ours}
    right = [name for name, rank in ranks.items() if not rank or (rank[0] == "-" and rank[1:].isdecimal())]
    return [path.with_name(name) for name in sorted(right, key=lambda name: int(ranks[name][1:] or 0))]


def identity_mark(header: Mapping[str, Any]) -> str:
    """Return a short digest of what decides the lines of a part."""
    identity = json.dumps(header.get("identity"), sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:8]


def _told_by(part: Path) -> tuple[str, bool]:
    """Return the mark of whose part a file is, and whether it holds lines."""
    file = PartFile(part)
    try:
        return identity_mark(file.header() or {}), any(file.lines())
    finally:
        file.close()


def _opened(part: Path, path: Path) -> int:
    try:
        return os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another place") from None
