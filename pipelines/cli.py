"""``mixlm``: every command as one group. A command's module is imported when the command is called for."""

from importlib import import_module

import click

import mixlm
from pipelines.shared.command import Group
from pipelines.shared.help import SHOWN


COMMANDS = (
    *("encode", "train", "generate", "evaluate", "analyze", "compare", "report", "export"),
    *("check", "data", "methods", "demo"),
)


class LazyGroup(Group):
    """A group whose commands are the ``main`` of a module each."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order in which they are used."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None if there is none of that name."""
        return import_module(f"pipelines.{cmd_name}").main if cmd_name in COMMANDS else None


@click.group(cls=LazyGroup, context_settings=SHOWN)
@click.version_option(mixlm.__version__, prog_name="mixlm")
def main() -> None:
    """Language models that reason in a mix of learned latent tokens and text."""
