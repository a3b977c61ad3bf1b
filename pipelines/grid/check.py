"""Whether a command would be understood, found out without running it."""

from pathlib import Path

import click

from mixlm.errors import InputError
from pipelines.cli import main
from pipelines.shared.jobs import Job


def check_command(job: Job, source: Path) -> None:
    """Parse the options of a command as it would parse them itself.

    Args:
        job: The command.
        source: The file that its options come from, for the error message.

    Raises:
        InputError: If an option is unknown, a value does not fit, or the command would only explain itself.
    """
    group, arguments = main, list(job.arguments)
    context = click.Context(group, info_name="mixlm")
    try:
        while isinstance(group, click.Group):
            name, arguments = arguments[0], arguments[1:]
            group = group.get_command(context, name)
        group.make_context(name, arguments, parent=context)
    except click.ClickException as error:
        raise InputError(f"{source}: {job.name}: {error.format_message()}") from None
    except click.exceptions.Exit:  # --help and its like: the command would do nothing else
        raise InputError(f"{source}: {job.name}: an option asks for no more than a text; leave it out") from None
