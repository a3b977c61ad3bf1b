"""A command as a user types it."""

import shlex
from collections.abc import Mapping
from typing import Any

import click


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
