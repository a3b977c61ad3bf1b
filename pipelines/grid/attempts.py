"""What was tried: a line for every attempt at a part of a comparison, with its settings and how long it took."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from mixlm.comparison.results import append_line, read_record, whole_lines
from mixlm.errors import InputError


Seconds = dict[str, dict[str, float]]


class Attempts:
    """The attempts in a file; several threads may note theirs at once.

    Args:
        path: A JSONL file; it need not be there.

    Raises:
        InputError: If a line of it is no attempt.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writing = Lock()
        lines = whole_lines(path) if path.is_file() else []
        self._records = [_read(path, number, line) for number, line in enumerate(lines, 1)]

    def identity(self, part: str) -> str | None:
        """Return the identity with which a part was last tried; None if it never was, or that was not noted."""
        known = [record.get("identity") for record in self._records if record["part"] == part]
        return known[-1] if known else None

    @contextmanager
    def noted(self, part: str, identity: str, command: str) -> Iterator[dict[str, Any]]:
        """Note an attempt at its start, and at its end how long it took, also if it failed or was interrupted.

        Args:
            part: Name of the part.
            identity: Tells its settings.
            command: As a user would type it.

        Yields:
            The record; ``cpu_seconds`` is to be set. What it failed for is noted as well.
        """
        record = {"part": part, "identity": identity, "command": command, "seconds": 0.0, "cpu_seconds": 0.0}
        if self.identity(part) != identity:  # known even if this process never comes to the end
            self._note(dict(record))
        started = time.monotonic()
        try:
            yield record
        except InputError as error:
            record["error"] = str(error)
            raise
        finally:
            record["seconds"] = time.monotonic() - started
            self._note(record)

    def _note(self, record: dict[str, Any]) -> None:
        with self._writing:
            append_line(self.path, record)
            self._records.append(record)

    def failure(self, part: str) -> str | None:
        """Return what a part failed for when it was last tried; None if it did not, or was never tried."""
        known = [record.get("error") for record in self._records if record["part"] == part]
        return known[-1] if known else None

    def seconds(self, kinds: Mapping[str, str]) -> Seconds:
        """Return the wall-clock ("wall") and processor ("cpu") seconds of each kind of part, all attempts together.

        An attempt whose own process was killed left no seconds behind, and counts nothing.

        Args:
            kinds: The kind of each part that counts, by the part's name.
        """
        seconds: Seconds = {}
        for record in [*self._records]:
            if record["part"] in kinds:
                kind = seconds.setdefault(kinds[record["part"]], {"wall": 0.0, "cpu": 0.0})
                kind["wall"] += record["seconds"]
                kind["cpu"] += record["cpu_seconds"]
        return seconds


def _read(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        record = read_record(line)
        record["part"], record["seconds"] + record["cpu_seconds"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}:{number}: is no attempt of mixlm compare, or not as it was written ({error}); delete this line"
        ) from None
    return record
