"""The commands that a grid is made of: their options as they say them, and whether a call would be understood."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from mixlm.errors import InputError
from mixlm.generation.options import GenerationOptions
from mixlm.training.options import TrainingOptions
from pipelines.cli import main
from pipelines.encode import refuse_idle
from pipelines.shared.config_file import options_by_name
from pipelines.shared.jobs import Job
from pipelines.shared.options import text_of


_MADE_OF = {"train": TrainingOptions, "evaluate": GenerationOptions}


def known_options(command: str) -> dict[str, click.Option]:
    """Return the options of a command, such as "train" or "data gsm8k", by their long names, ``_`` for ``-``."""
    return options_by_name(_find(command.split())[0])


def _find(words: Sequence[str]) -> tuple[click.Command, list[str]]:
    """Return the command with which ``words`` begin, and the words after its name."""
    command, rest = main, list(words)
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), rest.pop(0))
    return command, rest


def as_typed(command: str, *groups: Mapping[str, Any]) -> tuple[str, ...]:
    """Return options as a user types them: true and false as flags, false as none where a flag has no opposite.

    Args:
        command: Whose options they are, as for ``known_options``.
        groups: Values by name; a later one goes before an earlier one.
    """
    texts, known = [], known_options(command)
    for name, value in {name: value for group in groups for name, value in group.items()}.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            texts += [flag] if value else known[name.replace("-", "_")].secondary_opts
        else:
            texts += [flag, text_of(value)]
    return tuple(texts)


def check_command(job: Job, source: Path) -> None:
    """Parse the options of a command as it would parse them itself.

    Args:
        job: The command.
        source: The file that its options come from, for the error message.

    Raises:
        InputError: If an option is unknown, a value does not fit, by itself or beside another, or the command would
            only explain itself.
    """
    command, arguments = _find(job.arguments)
    try:
        _check_together(command.make_context(command.name, arguments))
    except click.ClickException as error:
        raise InputError(f"{source}: {job.name}: {error.format_message()}") from None
    except InputError as error:
        raise InputError(f"{source}: {job.name}: {error}") from None
    except click.exceptions.Exit:  # --help and its like: the command would do nothing else
        raise InputError(f"{source}: {job.name}: an option asks for no more than a text; leave it out") from None


def _check_together(context: click.Context) -> None:
    """Find out whether values fit each other, which the command itself would say only after those before it."""
    if context.command.name == "encode":
        refuse_idle(context)
    kind = _MADE_OF.get(context.command.name)
    if kind is None:
        return
    names = {field.name for field in fields(kind)} - {"latents"}  # which are several modes here
    kind(**{name: value for name, value in context.params.items() if name in names})
