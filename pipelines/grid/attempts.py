"""What was tried: a line for every attempt at a part of a comparison, with its settings and how long it took."""

import shlex
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from mixlm.comparison.results import append_line, read_record, whole_lines
from mixlm.errors import InputError
from mixlm.training.options import UNDECISIVE


if TYPE_CHECKING:
    from pipelines.grid.plan import Part

# options that may change without making a command start anew, by the kind of its part
_GOES_ON = {
    "encode": {"--save-every", "--workers"},
    "train": {"--" + name.replace("_", "-") for name in UNDECISIVE},
    "evaluate": {"--batch-size"},
}
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
        return self._last(part).get("identity")

    def inputs(self, part: str) -> dict[str, str]:
        """Return the content of what a part read when it was last tried, as far as that was noted."""
        return self._last(part).get("inputs", {})

    def _last(self, part: str) -> dict[str, Any]:
        return next((record for record in reversed(self._records) if record["part"] == part), {})

    @contextmanager
    def noted(self, part: str, identity: str, command: str, inputs: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Note an attempt at its start, and at its end how long it took, also if it failed or was interrupted.

        Args:
            part: Name of the part.
            identity: Tells its settings.
            command: As a user would type it.
            inputs: Tells the content of what it reads, by names.

        Yields:
            The record; ``cpu_seconds`` is to be set. What it failed for is noted as well.
        """
        record = {"part": part, "identity": identity, "command": command, "inputs": dict(inputs)}
        record |= {"seconds": 0.0, "cpu_seconds": 0.0}
        if (self.identity(part), self.inputs(part)) != (identity, inputs):  # known even if this process does not end
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
        return self._last(part).get("error")

    def seconds(self, parts: "Iterable[Part]") -> Seconds:
        """Return the wall-clock ("wall") and processor ("cpu") seconds of each kind of part, all attempts together.

        An attempt whose own process was killed left no seconds behind, and counts nothing; nor do attempts of a
        command that made something else then, or of other files.

        Args:
            parts: Those that count.
        """
        seconds: Seconds = {}
        for part in parts:
            line, now = _decisive(part.job.line(), part.kind), self.inputs(part.job.name)
            for record in (record for record in [*self._records] if record["part"] == part.job.name):
                known = record.get("identity", part.identity) == part.identity
                other = any(record.get("inputs", {}).get(name, content) != content for name, content in now.items())
                if not other and (known or _decisive(record.get("command", ""), part.kind) == line):
                    kind = seconds.setdefault(part.kind, {"wall": 0.0, "cpu": 0.0})
                    kind["wall"] += record["seconds"]
                    kind["cpu"] += record["cpu_seconds"]
        return seconds


def _decisive(command: str, kind: str) -> list[str]:
    """Return the words of a command without options with which it goes on with the same work."""
    words = shlex.split(command)
    left_out = set(_GOES_ON.get(kind, ()))
    if _value(words, "--select") not in (None, "last"):  # among whose checkpoints the best one is chosen
        left_out -= {"--save-every"}
    if _value(words, "--temperature") not in (None, "0", "0.0"):  # samples depend on their batch
        left_out -= {"--batch-size"}
    places = {place for place, word in enumerate(words) if word in left_out}
    return [word for place, word in enumerate(words) if not {place, place - 1} & places]


def _value(words: list[str], option: str) -> str | None:
    """Return the value of an option; None if it is not given."""
    return words[words.index(option) + 1] if option in words[:-1] else None


def _read(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        record = read_record(line)
        record["part"], record["seconds"] + record["cpu_seconds"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}:{number}: is no attempt of mixlm compare, or not as it was written ({error}); delete this line"
        ) from None
    return record
