"""mixlm data: write the rows of a task, or bring rows of one's own into shape."""

from collections.abc import Callable
from inspect import Parameter, signature
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

import click

from mixlm.tasks import TASKS, Task, open_task
from pipelines.sample import main as sample_traces
from pipelines.shared.command import Group, Results, command
from pipelines.shared.docstrings import notes_of
from pipelines.shared.help import SHOWN
from pipelines.shared.options import SEED, Number, answer_pattern_option, positive
from pipelines.shared.terminal import echo


class TaskGroup(Group):
    """A group with a command for each task, made when it is called for, and the commands added to it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the tasks, then the other commands."""
        return [*TASKS, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; None if there is none of that name."""
        return task_command(cmd_name) if cmd_name in TASKS else super().get_command(ctx, cmd_name)


@click.group("data", cls=TaskGroup, context_settings=SHOWN)
def main() -> None:
    """Write the rows of a task, convert or split a file, or ask a served model for traces."""


@main.add_command
@command("convert")
@click.argument("source")
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="JSONL file to write.")
@answer_pattern_option
@click.option("--skip-bad-rows", is_flag=True, help="Leave out malformed rows instead of stopping.")
def convert_rows(source: str, out: str, answer_pattern: str | None, skip_bad_rows: bool) -> Results:
    """Write a file in the plain layout.

    SOURCE is a file or dataset of any accepted layout; the rows written have question, steps and answer, those
    of chats with earlier turns, a system turn or tools messages.
    docs/FORMATS.md lists the layouts, and how answers are found.
    """
    from mixlm.data.texts.responses import tell_rules
    from mixlm.data.writing import convert

    done = convert(source, out, answer_pattern, skip_bad_rows)
    if told := tell_rules(done.rules, done.rows):
        echo(f"answers: {told}")
    if done.skipped:
        echo(f"left out {done.skipped} malformed row{'s' * (done.skipped > 1)}")
    return {**_wrote(done.rows, out), "skipped": done.skipped, "rules": done.rules}


@main.add_command
@command("split")
@click.argument("source")
@click.option("--train", required=True, type=click.Path(dir_okay=False), help="JSONL file for the rows kept.")
@click.option("--valid", required=True, type=click.Path(dir_okay=False), help="JSONL file for the rows held out.")
@click.option("--share", default=0.1, show_default=True, type=Number(0, 1), help="Questions to hold out.")
@click.option("--seed", default=0, show_default=True, type=SEED, help="Seed of the draw.")
def split_rows(source: str, train: str, valid: str, share: float, seed: int) -> Results:
    """Split a file in two.

    Rows of SOURCE with the same question go to the same file.
    """
    from mixlm.data.writing import split

    kept, held_out = split(source, train, valid, share, seed)
    return {"train": _wrote(kept, train), "valid": _wrote(held_out, valid)}


main.add_command(sample_traces)


def _wrote(count: int, path: str) -> dict[str, Any]:
    """Tell how many rows were written where; returns it as results."""
    echo(f"wrote {count} rows to {path}")
    return {"out": path, "rows": count}


_OUT = click.Option(["--out"], required=True, type=click.Path(dir_okay=False), help="JSONL file to write.")


def task_command(name: str) -> click.Command:
    """Return the command that writes rows of the task ``name``.

    Its options are the fields of the task's ``Options`` and the keyword-only parameters of its ``load``, with their
    types and defaults, and with what the docstrings say of them. A task that has both generates rows unless
    ``--official`` is given.
    """
    task = open_task(name)
    choices, load = getattr(task, "Options", None), getattr(task, "load", None)

    def write(
        out: str, rows: int | None, split: str, seed: int = 0, official: bool = False, **options: Any
    ) -> Results:
        """Write rows."""
        from mixlm.data.reading import require_apart
        from mixlm.data.writing import write_rows

        loads = load is not None and (official or choices is None)
        _refuse_other(choices if loads else load, load if loads else choices)
        taken = own_parameters(load if loads else choices)
        options = {key: options[key] for key in taken}
        for key in (key for key, parameter in taken.items() if _is_path(parameter.annotation) and options[key]):
            require_apart(out, options[key])
        if not loads and rows is None:
            raise click.UsageError("Missing option '--rows': how many to generate.")
        drawn = load(split, **options) if loads else task.generate(rows, split, seed, choices(**options))
        if task.CHECK != "exact":
            drawn = ({**row, "check": task.CHECK} for row in drawn)
        return _wrote(write_rows(out, drawn, rows), out)

    made = command(name, help=_help(task, choices, load), short_help=_first_line(task))(write)
    made.params = [*_shared(task, choices, load), *_own(choices, load), _OUT, *made.params]
    return made


def own_parameters(source: Callable[..., Any] | None) -> dict[str, Parameter]:
    """Return the fields of a task's ``Options`` or the keyword-only parameters of its ``load``; none of neither."""
    found = signature(source).parameters if source else {}
    fields = isinstance(source, type)
    return {name: given for name, given in found.items() if fields or given.kind is Parameter.KEYWORD_ONLY}


def _notes(source: Callable[..., Any] | None) -> dict[str, str]:
    """Return what the docstrings say of each of ``own_parameters``; a class has fields of those it is made from."""
    if not isinstance(source, type):
        return notes_of(getattr(source, "__doc__", None), "Args")
    return dict(note for kind in source.__mro__[::-1] for note in notes_of(kind.__doc__, "Attributes").items())


def _first_line(task: Task) -> str:
    return (task.__doc__ or "").strip().partition("\n")[0]


def _help(task: Task, choices: type | None, load: Callable | None) -> str:
    """Return the first paragraph of the task's documentation, and where its rows come from."""
    about = (task.__doc__ or "").strip().partition("\n\n")[0]
    ways = {
        (True, False): "Rows are generated; the same options give the same bytes.",
        (False, True): "Rows are those that were published.",
        (True, True): "Rows are generated, the same ones for the same options; with --official, those published.",
    }
    return f"{about}\n\n{ways[choices is not None, load is not None]} The splits share no question."


def _shared(task: Task, choices: type | None, load: Callable | None) -> list[click.Option]:
    rows = click.Option(
        ["--rows"],
        type=positive,
        required=load is None,
        help="How many different rows." if load is None else "How many; of published rows the first.  [default: all]",
    )
    which = {"default": task.SPLITS[0], "show_default": True, "type": click.Choice(task.SPLITS)}
    split = click.Option(["--split"], **which, help="Part of the task's rows.")
    options = [rows, split]
    if choices:
        options.append(click.Option(["--seed"], default=0, show_default=True, type=SEED, help="Seed of the draw."))
    if choices and load:
        options.append(click.Option(["--official"], is_flag=True, help="Write published rows."))
    return options


def _own(*sources: Callable[..., Any] | None) -> list[click.Option]:
    made: dict[str, click.Option] = {}
    for source in sources:
        notes = _notes(source)
        for name, parameter in own_parameters(source).items():
            made.setdefault(name, _option(name, parameter, notes.get(name, "")))
    return list(made.values())


def _option(name: str, parameter: Parameter, note: str) -> click.Option:
    flag = f"--{name}".replace("_", "-")
    wanted, default = parameter.annotation, parameter.default
    if wanted is bool:
        both = f"{flag}/--no-{name}".replace("_", "-")
        return click.Option([both, name], default=default, show_default=True, help=note)
    shown = default is not None
    return click.Option([flag, name], type=_type(wanted), default=default, show_default=shown, help=note)


def _type(wanted: Any) -> Any:
    if isinstance(wanted, UnionType):
        kinds = [kind for kind in get_args(wanted) if kind is not type(None)]
        return click.Path() if _is_path(wanted) else _type(kinds[0])
    return click.Choice(get_args(wanted)) if get_origin(wanted) is Literal else {float: Number()}.get(wanted, wanted)


def _is_path(wanted: Any) -> bool:
    return Path in get_args(wanted)


def _refuse_other(unused: Callable[..., Any] | None, used: Callable[..., Any] | None) -> None:
    """Refuse options that would do nothing, since they belong to the way of getting rows that is not taken."""
    context, kept = click.get_current_context(), own_parameters(used)
    for name in own_parameters(unused):
        if name not in kept and context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            generates = isinstance(used, type)
            why = "is for published rows; add --official, or" if generates else "does nothing to published rows;"
            raise click.UsageError(f"--{name.replace('_', '-')} {why} leave it out")
