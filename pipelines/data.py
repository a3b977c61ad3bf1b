"""mixlm data: write the rows of a task, or bring rows of one's own into shape."""

import click

from mixlm.tasks import TASKS
from pipelines.options import command
from pipelines.task_command import task_command


class TaskGroup(click.Group):
    """A group with a command for each task, made when it is called for, and the commands added to it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the tasks, then the other commands."""
        return [*TASKS, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; None if there is none of that name."""
        return task_command(cmd_name) if cmd_name in TASKS else super().get_command(ctx, cmd_name)


@click.group("data", cls=TaskGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
def main() -> None:
    """Write the rows of a task, or convert or split a file."""


@main.add_command
@command("convert")
@click.argument("source")
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="JSONL file to write.")
def convert_rows(source: str, out: str) -> None:
    """Write a file in the plain layout.

    SOURCE is a file or dataset of any accepted layout; the rows written have question, steps and answer.
    """
    from mixlm.tasks.rows import convert

    _say(convert(source, out), out)


@main.add_command
@command("split")
@click.argument("source")
@click.option("--train", required=True, type=click.Path(dir_okay=False), help="JSONL file for the rows kept.")
@click.option("--valid", required=True, type=click.Path(dir_okay=False), help="JSONL file for the rows held out.")
@click.option("--share", default=0.1, show_default=True, type=click.FloatRange(0, 1), help="Questions to hold out.")
@click.option("--seed", default=0, show_default=True, help="Seed of the draw.")
def split_rows(source: str, train: str, valid: str, share: float, seed: int) -> None:
    """Split a file in two.

    Rows of SOURCE with the same question go to the same file.
    """
    from mixlm.tasks.rows import split

    for count, path in zip(split(source, train, valid, share, seed), (train, valid), strict=True):
        _say(count, path)


def _say(count: int, path: str) -> None:
    click.echo(f"wrote {count} rows to {path}")
