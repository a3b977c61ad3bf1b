"""A grid: methods x seeds on one task."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mixlm.methods import build_method
from mixlm.run import BASE


ENTRY_COMMANDS = ("encode", "train", "evaluate")


@dataclass(frozen=True)
class Entry:
    """One method with its settings: a row of the table.

    Attributes:
        label: Its name in the table; by default that of the method.
        method: Key of ``mixlm.methods.METHODS``; or ``BASE``: the grid's model as it is, untrained.
        options: Options of the method.
        start: Label of the entry whose run of the same seed is the base model; None: the grid's model.
        encode: Options of ``mixlm-encode``, the grid's and its own.
        train: The same of ``mixlm-train``.
        evaluate: The same of ``mixlm evaluate``.
    """

    label: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    start: str | None = None
    encode: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    evaluate: Mapping[str, Any] = field(default_factory=dict)

    @property
    def needs_codes(self) -> bool:
        """Whether stage 1 comes first."""
        return not self.untrained and build_method(self.method, self.options).needs_codes

    @property
    def untrained(self) -> bool:
        """Whether it is the grid's model as it is."""
        return self.method == BASE

    @property
    def answer_pattern(self) -> str | None:
        """What finds the right answers to test rows in their responses: what it is told with, or has learned by."""
        name = "answer-pattern"
        return self.evaluate.get(name, (self.encode if self.needs_codes else self.train).get(name))


@dataclass(frozen=True)
class Grid:
    """What is compared.

    Attributes:
        path: The YAML file.
        data: ``task`` with ``rows`` of each split, ``seed`` and ``options``; or a file for each of
            ``mixlm.tasks.splits.SPLITS``.
        model: As ``--model``, or a mapping that describes a model from scratch.
        template: Options of the template.
        entries: By their labels, in the file's order.
        seeds: Of stage 1, of new rows, order and draws; the data are the same for all.
    """

    path: Path
    data: Mapping[str, Any]
    model: str | Mapping[str, Any]
    template: Mapping[str, Any]
    entries: Mapping[str, Entry]
    seeds: tuple[int, ...]

    def seeds_of(self, label: str) -> tuple[int, ...]:
        """Return the seeds of an entry: what is not trained answers the same with any of them, so it has the first."""
        return self.seeds[:1] if self.entries[label].untrained else self.seeds

    def settings(self, label: str) -> dict[str, Any]:
        """Return everything that decides the result of an entry, seeds apart, as plain values."""
        entry = self.entries[label]
        shared = {"data": self.data, "model": self.model, "template": self.template}
        own = {name: value for name, value in asdict(entry).items() if name != "label"}
        if not entry.needs_codes:
            del own["encode"]
        if entry.start:
            own["start"] = self.settings(entry.start)
        return json.loads(json.dumps({**shared, **own}))

    def identity(self, label: str) -> str:
        """Return a short hash of the settings of an entry."""
        return short_hash(self.settings(label))


def short_hash(value: Any) -> str:
    """Return twelve digits that tell plain values apart."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
