"""Reading a grid from YAML, and finding the mistakes in it before anything runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from mixlm.errors import InputError
from mixlm.generation.options import parse_latent_modes
from mixlm.methods import Method, build_method
from mixlm.model.loading import is_scratch
from mixlm.run import BASE
from mixlm.tasks import open_task
from mixlm.tasks.splits import SPLITS
from pipelines.grid.commands import known_options
from pipelines.grid.grid import ENTRY_COMMANDS, Entry, Grid
from pipelines.shared.config_file import unknown_option
from pipelines.shared.options import TEMPLATE_OPTIONS
from vqvae.errors import MOST_SEEDS


EVERY_LENGTH = "free,exact:0%,25%,50%,100%"  # the curve: decoded freely, then with given shares of latents
_SECTIONS = ("data", "model", "template", *ENTRY_COMMANDS, "methods", "seeds")
_NEEDED = ("data", "model", "methods")
_BASE_ENTRY = ("method", "evaluate")
_ENTRY = ("method", "options", "start", *ENTRY_COMMANDS)
_TASK = ("task", "rows", "seed", "options")
_IN_ALL = {
    "out": "files go to the --out of mixlm compare",
    "config": "write the options of that file themselves",
    "help": "give --help to the command itself",
}
_TEMPLATE = "write it into the section 'template', for all methods alike"
_BEFORE_RUNS = {
    "model": "write the section 'model'",
    "valid": "write the section 'data'",
    "valid-fraction": "write the section 'data'",
    "seed": "write the section 'seeds'",
    "method": "write 'method' of an entry",
    "method-option": "write 'options' of an entry",
    **dict.fromkeys(TEMPLATE_OPTIONS, _TEMPLATE),
}
_ELSEWHERE = {  # options that compare sets itself, with the place of what decides them
    "encode": {**_IN_ALL, **_BEFORE_RUNS},
    "train": {**_IN_ALL, **_BEFORE_RUNS},
    "evaluate": {
        **_IN_ALL,
        "split": "write the file as 'test' into the section 'data'",
        **dict.fromkeys(("endpoint", "served-model"), "a server serves one run; evaluate it by itself"),
        **dict.fromkeys(("engine", "concurrency"), "give --engine to mixlm compare"),
        **dict.fromkeys(TEMPLATE_OPTIONS, _TEMPLATE),
        "base": f"write an entry '{BASE}' into the section 'methods'",
    },
    "data": {
        **_IN_ALL,
        **dict.fromkeys(("rows", "seed"), "write it beside 'options'"),
        "split": "each of the three is written to its file",
    },
}


def read_grid(path: str | Path) -> Grid:
    """Read a grid and look for mistakes in it, before anything runs.

    Raises:
        InputError: If the file is not there or no YAML mapping, a section, method, task or option is unknown, missing
            or in the wrong place, or an entry starts from one that is not there.
    """
    path = Path(path)
    sections = _load(path)
    _refuse_unknown(path, "section", sections, _SECTIONS, _NEEDED)
    data, model = _data(path, sections["data"]), sections["model"]
    if not isinstance(model, str | dict):
        raise InputError(f"{path}: 'model' is neither a name nor a mapping that describes a model from scratch")
    template = read_template(path, sections.get("template"))
    shared = {name: read_options(path, name, sections.get(name), name) for name in ENTRY_COMMANDS}
    _set_check(shared, data)
    methods = _mapping(path, "methods", sections["methods"])
    entries = {label: _entry(path, label, given, shared) for label, given in methods.items()}
    _check_starts(path, entries)
    _check_base(path, entries, model)
    _check_patterns(path, entries)
    return Grid(path, data, model, template, entries, _seeds(path, sections.get("seeds", [0])))


def read_template(path: Path, given: Any) -> dict[str, Any]:
    """Return the options of a section ``template``; see ``read_options``."""
    template = _flags(path, "template", given)
    _refuse_unknown(path, "option of template", template, TEMPLATE_OPTIONS)
    _refuse_switches(path, "template", template, known_options("train"))
    return template


def _load(path: Path) -> dict[str, Any]:
    from mixlm.data.formats.yaml_files import read_yaml

    try:
        return _mapping(path, "a grid", read_yaml(path))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); write a grid, as docs/COMPARE.md shows"
        ) from None


def _mapping(path: Path, name: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{path}: {name} is no mapping; write one 'name: value' on each line")
    for key in value:
        if not isinstance(key, str):
            raise InputError(f"{path}: {name} has the name {key!r}, which YAML takes for no text; put it in quotes")
    return value


def _refuse_unknown(path: Path, kind: str, given: Mapping[str, Any], known: tuple, needed: tuple = ()) -> None:
    for name in given:
        if name not in known:
            raise InputError(f"{path}: no {kind} is called '{name}'; choose from {', '.join(known)}")
    for name in needed:
        if not given.get(name):
            raise InputError(f"{path}: the {kind} '{name}' is missing")


def read_options(path: Path, name: str, given: Any, command: str) -> dict[str, Any]:
    """Return options that a grid gives to a command, with ``-`` in their names.

    Args:
        path: The grid.
        name: The section, for error messages.
        given: What stands in it.
        command: The command, as for ``known_options``.
    """
    options, elsewhere = _flags(path, name, given), _ELSEWHERE[command.split()[0]]
    known = {key: option for key, option in known_options(command).items() if key.replace("_", "-") not in elsewhere}
    for flag in options:
        if flag in elsewhere:
            raise InputError(f"{path}: {name} cannot hold '{flag}'; {elsewhere[flag]}")
        if flag.replace("-", "_") not in known:
            raise InputError(f"{path}: {name}: {unknown_option(flag, known)}")
    _refuse_switches(path, name, options, known)
    return options


def _refuse_switches(path: Path, name: str, given: Mapping[str, Any], known: Mapping[str, click.Option]) -> None:
    """Refuse true and false for what is no flag: typed, it would be dropped, or take the next option for its value."""
    for flag, value in given.items():
        values = value if isinstance(value, list) else [value]
        if not known[flag.replace("-", "_")].is_flag and any(isinstance(one, bool) for one in values):
            read = "true or false, as YAML reads on, off, yes and no"
            raise InputError(f"{path}: '{flag}' of {name} is {read}; put the word in quotes, or give another value")


def _flags(path: Path, name: str, given: Any) -> dict[str, Any]:
    """Return the values in a section by the names of their options, with ``-`` for ``_``."""
    flags: dict[str, Any] = {}
    for option, value in _values(path, name, given).items():
        flag = option.replace("_", "-")
        if flag in flags:
            raise InputError(f"{path}: {name} has '{flag}' twice; leave one out")
        flags[flag] = value
    return flags


def _values(path: Path, name: str, given: Any) -> dict[str, Any]:
    """Return a mapping of what can be typed on a command line: text, numbers, true and false, or lists of these."""
    values = _mapping(path, name, given)
    for key, value in values.items():
        if not all(isinstance(one, str | int | float) for one in (value if isinstance(value, list) else [value])):
            found = "is empty" if value is None else "is no text, number, true or false"
            where = name.removeprefix("options of ")
            raise InputError(f"{path}: '{key}' of {where} {found}; give one value, or leave the line out")
    return values


def _data(path: Path, data: Any) -> dict[str, Any]:
    """Return the section ``data``, looked through for mistakes."""
    if not isinstance(data, dict) or "task" not in data:
        _refuse_unknown(path, "file of data", _mapping(path, "data", data), SPLITS, SPLITS)
        if not all(isinstance(file, str) for file in data.values()):
            raise InputError(f"{path}: data names no files; write 'train: FILE', 'valid: FILE' and 'test: FILE'")
        return data
    _refuse_unknown(path, "key of data", data, _TASK)
    if data.get("seed") is not None and type(data["seed"]) is not int:
        raise InputError(f"{path}: 'seed' of data is no whole number; write one, such as 0")
    task = open_task(str(data["task"]))
    for split in SPLITS:
        if split not in task.SPLITS:
            raise InputError(f"{path}: task '{data['task']}' has no split '{split}'; name the three files instead")
    options = read_options(path, "options of data", data.get("options"), f"data {data['task']}")
    generated = hasattr(task, "generate") and not options.get("official")
    _check_rows(path, _mapping(path, "rows", data.get("rows")), SPLITS if generated else ())
    return data


def _check_rows(path: Path, rows: Mapping[str, Any], needed: tuple[str, ...]) -> None:
    _refuse_unknown(path, "split of data", rows, SPLITS)
    for split in dict.fromkeys((*needed, *rows)):
        if type(rows.get(split)) is not int or rows[split] < 1:
            raise InputError(f"{path}: data says not how many rows of '{split}'; write rows: {{{split}: 1000, ..}}")


def _seeds(path: Path, seeds: Any) -> tuple[int, ...]:
    if (
        not isinstance(seeds, list)
        or not seeds
        or not all(type(seed) is int and 0 <= seed < MOST_SEEDS for seed in seeds)
    ):
        raise InputError(
            f"{path}: 'seeds' is no list of whole numbers from 0 to below 2**32; write for example [0, 1, 2]"
        )
    return tuple(dict.fromkeys(seeds))


def _set_check(shared: Mapping[str, dict[str, Any]], data: Mapping[str, Any]) -> None:
    """Let answers be compared as the task says, where the grid does not say how."""
    check = open_task(data["task"]).CHECK if "task" in data else "exact"
    if check != "exact":
        shared["evaluate"].setdefault("check", check)
        if shared["train"].get("select") == "accuracy":
            shared["train"].setdefault("check", check)


def _entry(path: Path, label: str, given: Any, shared: Mapping[str, Mapping[str, Any]]) -> Entry:
    if not label or not all(letter.isalnum() or letter in "._-" for letter in label):
        raise InputError(f"{path}: '{label}' is no name for a method; take letters, digits, '.', '_' and '-'")
    given = _mapping(path, f"method '{label}'", given)
    called = str(given.get("method", label))
    _refuse_unknown(path, f"key of method '{label}'", given, _BASE_ENTRY if called == BASE else _ENTRY)
    options = _values(path, f"options of '{label}'", given.get("options"))
    try:
        method = build_method("cot" if called == BASE else called, options)
    except InputError as error:
        raise InputError(f"{path}: '{label}': {error}") from None
    own = {name: read_options(path, f"{name} of '{label}'", given.get(name), name) for name in ENTRY_COMMANDS}
    latents = _latents(path, label, method, own["evaluate"].get("latents"), shared["evaluate"].get("latents"))
    settings = {name: {**shared[name], **own[name]} for name in ENTRY_COMMANDS}
    settings["evaluate"]["latents"] = latents
    if called == BASE:
        return Entry(label, BASE, evaluate=settings["evaluate"])
    start = given.get("start")
    if not isinstance(start, str | None):
        raise InputError(f"{path}: '{label}' starts from {start!r}; give the name of one method of this grid")
    return Entry(label, method.name, options, start, **settings)


def _latents(path: Path, label: str, method: Method, own: Any, shared: Any) -> str:
    """Return the modes of decoding in which an entry is measured.

    Those that the grid gives for all entries are for a method without latents only the ones that it has.
    """
    has_latents = method.writes_latents()
    if own is None and shared is None:
        return EVERY_LENGTH if has_latents else "free,direct" if method.needs_codes else "free"
    given = shared if own is None else own
    text = ",".join(map(str, given)) if isinstance(given, list) else str(given)
    try:
        modes = parse_latent_modes(text)
    except InputError as error:
        raise InputError(f"{path}: '{label}': {error}") from None
    if has_latents or not any(mode.wants_latents for mode in modes):
        return text
    if own is not None:
        raise InputError(f"{path}: '{label}' writes no latents, but is to be evaluated with '{text}'; give 'free'")
    return ",".join(str(mode) for mode in modes if not mode.wants_latents) or "free"


def _check_starts(path: Path, entries: Mapping[str, Entry]) -> None:
    for label in entries:
        seen = [label]
        while (start := entries[seen[-1]].start) is not None:
            if start not in entries:
                raise InputError(f"{path}: '{seen[-1]}' starts from '{start}', which is no method of this grid")
            if start in seen:
                raise InputError(f"{path}: '{label}' starts from itself; leave one 'start' out")
            seen.append(start)
            if entries[start].untrained:
                raise InputError(f"{path}: '{label}' starts from the grid's model in any case; leave 'start' out")


def _check_base(path: Path, entries: Mapping[str, Entry], model: str | Mapping[str, Any]) -> None:
    """Refuse to ask a model from scratch, which knows nothing before it is trained."""
    for label, entry in entries.items():
        if entry.untrained and (not isinstance(model, str) or is_scratch(model)):
            raise InputError(
                f"{path}: '{label}' is the model before training, and one from scratch knows nothing; leave it out"
            )


def _check_patterns(path: Path, entries: Mapping[str, Entry]) -> None:
    """Refuse methods that would find other answers in the same rows, to learn from or to be tested on."""
    name, patterns = "answer-pattern", set()
    for entry in entries.values():
        encoded = entry.encode.get(name) if entry.needs_codes else entry.train.get(name)
        learned = () if entry.untrained else (encoded, entry.train.get(name, encoded))
        patterns |= {entry.answer_pattern, *learned}
        if len(patterns) > 1:
            told = f"'{entry.label}' would find other answers in the same rows"
            raise InputError(f"{path}: {told}; give one '{name}' to encode, train and evaluate")
