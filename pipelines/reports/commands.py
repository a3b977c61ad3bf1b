"""The commands that made runs, as a user types them."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mixlm.encoding.manifest import is_encoded


if TYPE_CHECKING:
    from mixlm.run import Run


def commands_of(runs: "Sequence[Run]") -> list[str]:
    """Return the commands that encoded the data of runs, where these are here, and that trained them; each once."""
    from pipelines import encode, train

    lines = []
    for run in runs:
        data = run.arguments.get("data")
        if data and is_encoded(data):
            lines.append(typed("mixlm-encode", encode.main, encode.told(Path(data))))
        if run.arguments:
            lines.append(typed("mixlm-train", train.main, train.told(run.path)))
    return list(dict.fromkeys(lines))


def typed(name: str, command: click.Command, values: Mapping[str, Any]) -> str:
    """Return a command with those values that are not its defaults.

    Args:
        name: Of the command.
        command: The command.
        values: Of its parameters, by their names; None is none.
    """
    words = [name]
    for parameter in sorted(command.params, key=lambda one: not isinstance(one, click.Argument)):
        value = values.get(parameter.name)
        if value is None or value == parameter.default or (parameter.multiple and not value):
            continue
        if isinstance(parameter, click.Argument):
            words.append(str(value))
        elif isinstance(value, bool):
            words += parameter.opts[:1] if value else parameter.secondary_opts[:1]
        else:
            words += [
                word for one in (value if parameter.multiple else [value]) for word in (_flag(parameter), str(one))
            ]
    return shlex.join(words)


def _flag(option: click.Parameter) -> str:
    return next((name for name in option.opts if not name.startswith("--")), option.opts[0])
