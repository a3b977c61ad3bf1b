"""A grid: methods x seeds on one task, read from YAML."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mixlm.errors import InputError
from mixlm.methods import build_method
from mixlm.tasks import open_task


SPLITS = ("train", "valid", "test")
COMMANDS = ("encode", "train", "evaluate")
EVERY_LENGTH = "free,exact:0%,25%,50%,100%"  # the curve: decoded freely, then with given shares of latents
_SECTIONS = ("data", "model", "template", *COMMANDS, "methods", "seeds")
_NEEDED = ("data", "model", "methods")
_ENTRY = ("method", "options", "start", *COMMANDS)
_TASK = ("task", "rows", "seed", "options")


@dataclass(frozen=True)
class Entry:
    """One method with its settings: a row of the table.

    Attributes:
        label: Its name in the table; by default that of the method.
        method: Key of ``mixlm.methods.METHODS``.
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
        return build_method(self.method, self.options).needs_codes


@dataclass(frozen=True)
class Grid:
    """What is compared.

    Attributes:
        path: The YAML file.
        data: ``task`` with ``rows`` of each split, ``seed`` and ``options``; or a file for each of ``SPLITS``.
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

    def settings(self, label: str) -> dict[str, Any]:
        """Return everything that decides the result of an entry, seeds apart, as plain values."""
        entry = self.entries[label]
        shared = {"data": self.data, "model": self.model, "template": self.template}
        own = {name: value for name, value in asdict(entry).items() if name != "label"}
        if not entry.needs_codes:
            del own["encode"]
        before = {"start": self.settings(entry.start)} if entry.start else {}
        return json.loads(json.dumps({**shared, **own, **before}))

    def identity(self, label: str) -> str:
        """Return a short hash of the settings of an entry."""
        settings = json.dumps(self.settings(label), sort_keys=True)
        return hashlib.sha256(settings.encode()).hexdigest()[:12]


def read_grid(path: str | Path) -> Grid:
    """Read a grid and look for mistakes in it, before anything runs.

    Raises:
        InputError: If the file is not there or no YAML mapping, a section or method is unknown or missing, or an entry
            starts from one that is not there.
    """
    path = Path(path)
    sections = _load(path)
    _refuse_unknown(path, "section", sections, _SECTIONS, _NEEDED)
    data, seeds = sections["data"], sections.get("seeds", [0])
    _check_data(path, data)
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise InputError(f"{path}: 'seeds' is no list of whole numbers; write for example [0, 1, 2]")
    shared = {name: _mapping(path, name, sections.get(name)) for name in COMMANDS}
    methods = _mapping(path, "methods", sections["methods"])
    entries = {label: _entry(path, label, given, shared) for label, given in methods.items()}
    _check_starts(path, entries)
    template = _mapping(path, "template", sections.get("template"))
    return Grid(path, data, sections["model"], template, entries, tuple(dict.fromkeys(seeds)))


def _load(path: Path) -> dict[str, Any]:
    import yaml

    try:
        sections = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(f"{path}: no such file; write a grid, as README.md shows") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = f", line {error.problem_mark.line + 1}" if getattr(error, "problem_mark", None) else ""
        raise InputError(f"{path}{where}: not valid YAML") from None
    return _mapping(path, "a grid", sections)


def _mapping(path: Path, name: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise InputError(f"{path}: {name} is no mapping; write one 'name: value' on each line")
    return value


def _refuse_unknown(path: Path, kind: str, given: Mapping[str, Any], known: tuple, needed: tuple = ()) -> None:
    for name in given:
        if name not in known:
            raise InputError(f"{path}: no {kind} is called '{name}'; choose from {', '.join(known)}")
    for name in needed:
        if not given.get(name):
            raise InputError(f"{path}: the {kind} '{name}' is missing")


def _check_data(path: Path, data: Any) -> None:
    _mapping(path, "data", data)
    if "task" not in data:
        _refuse_unknown(path, "file of data", data, SPLITS, SPLITS)
        return
    _refuse_unknown(path, "key of data", data, _TASK, ("task", "rows"))
    task = open_task(data["task"])
    _refuse_unknown(path, "split of data", _mapping(path, "rows", data["rows"]), SPLITS, SPLITS)
    for split in SPLITS:
        if split not in task.SPLITS:
            raise InputError(f"{path}: task '{data['task']}' has no split '{split}'; name the three files instead")


def _entry(path: Path, label: str, given: Any, shared: Mapping[str, Mapping[str, Any]]) -> Entry:
    if not label or not all(letter.isalnum() or letter in "._-" for letter in label):
        raise InputError(f"{path}: '{label}' is no name for a method; take letters, digits, '.', '_' and '-'")
    given = _mapping(path, f"method '{label}'", given)
    _refuse_unknown(path, f"key of method '{label}'", given, _ENTRY)
    options = _mapping(path, f"options of '{label}'", given.get("options"))
    method = build_method(given.get("method", label), options)
    own = {name: {**shared[name], **_mapping(path, f"{name} of '{label}'", given.get(name))} for name in COMMANDS}
    own["evaluate"].setdefault("latents", _lengths(method))
    return Entry(label, given.get("method", label), options, given.get("start"), **own)


def _lengths(method: Any) -> str:
    """Return the modes of decoding in which an entry is measured unless the grid names others."""
    if method.grammar().spans != "none":
        return EVERY_LENGTH
    return "free,direct" if method.needs_codes else "free"


def _check_starts(path: Path, entries: Mapping[str, Entry]) -> None:
    for label in entries:
        seen = [label]
        while (start := entries[seen[-1]].start) is not None:
            if start not in entries:
                raise InputError(f"{path}: '{seen[-1]}' starts from '{start}', which is no method of this grid")
            if start in seen:
                raise InputError(f"{path}: '{label}' starts from itself; leave one 'start' out")
            seen.append(start)
