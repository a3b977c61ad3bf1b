"""A file of lines that several processes write together."""

import os
import re
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path

from mixlm.processes import Processes
from vqvae.atomic_files import whole_file


class SharedFile:
    """Lines of many things, of which each process writes those of its share; the last to finish joins them.

    Nobody waits for the others in the end, so no process runs into a time limit because another is slow.

    Args:
        path: The file.
        processes: All processes; things are dealt out as ``Processes.share`` does.

    Raises:
        InputError: If nothing can be written there.
    """

    def __init__(self, path: str | Path, processes: Processes) -> None:
        self.name, self.path, self.processes = str(path), Path(path), processes
        self.parts = [self._beside(f"{rank}-of-{processes.count}") for rank in range(processes.count)]
        self.lock = self._beside("lock")
        for stray in (self.parts[processes.rank], self.lock, *self._others()):  # of a call that was interrupted
            stray.unlink(missing_ok=True)
        with whole_file(self._beside(f"try-{processes.rank}")):
            pass  # a place where nothing can be written is found before the work
        self._beside(f"try-{processes.rank}").unlink()
        processes.wait()

    def write(self, lines: Iterable[str], each: int = 1) -> bool:
        """Write the lines of this process's share.

        Args:
            lines: The lines, each with its end.
            each: Lines of one thing.

        Returns:
            Whether the file is there: this process was the last.
        """
        with whole_file(self.parts[self.processes.rank]) as file:
            file.writelines(lines)
        if not all(part.is_file() for part in self.parts) or not self._alone():
            return False
        with ExitStack() as opened, whole_file(self.path) as file:
            shares = [opened.enter_context(part.open(encoding="utf-8")) for part in self.parts]
            for share in cycle(shares):
                block = [*islice(share, each)]
                if not block:  # shares are as long as those before them, or shorter by one
                    break
                file.writelines(block)
        for path in (*self.parts, self.lock):
            path.unlink(missing_ok=True)
        return True

    def _alone(self) -> bool:
        """Tell whether no other process joins the parts already."""
        try:
            os.close(os.open(self.lock, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def _others(self) -> list[Path]:
        """Return what calls with more processes or fewer have left, for the first process to see to."""
        part = re.compile(rf"\.{re.escape(self.path.name)}\.\d+-of-\d+")
        beside = self.path.parent.iterdir() if self.processes.first and self.path.parent.is_dir() else ()
        return [path for path in beside if part.fullmatch(path.name) and path not in self.parts]

    def _beside(self, name: str) -> Path:
        return self.path.with_name(f".{self.path.name}.{name}")
