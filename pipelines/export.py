"""mixlm export: a run in the form that another program takes."""

from dataclasses import asdict

import click

from pipelines.shared.command import Group, Results, command
from pipelines.shared.help import SHOWN
from pipelines.shared.options import rows_options
from pipelines.shared.terminal import echo, notice


@click.group("export", cls=Group, context_settings=SHOWN)
def main() -> None:
    """Write what another program needs to run a model."""


@main.add_command
@command("lm-eval")
@click.argument("run", type=click.Path())
@click.argument("data", type=click.Path())
@click.option("--out", required=True, type=click.Path(file_okay=False), help="Folder of the task's two files.")
@click.option("--name", help="Name of the task.  [default: mixlm_ and the names of RUN and DATA]")
@rows_options
def lm_eval(
    run: str, data: str, out: str, name: str | None, split: str | None, limit: int | None, max_new_tokens: int | None
) -> Results:
    """Write the questions of DATA as a task of lm-evaluation-harness for the run in the folder RUN.

    The command printed runs the harness; its exact_match is the accuracy of mixlm evaluate with the limit that is
    printed, --latents free, --decoding plain and --check exact.
    """
    from mixlm.evaluation.inputs import open_rows
    from mixlm.evaluation.lm_eval import export_lm_eval, task_name
    from mixlm.generation.engine import Engine
    from mixlm.generation.questions import prompt_notes

    engine = Engine.load(run, "cpu")
    rows = open_rows(data, engine, split, limit)
    task = export_lm_eval(engine, rows, out, name or task_name(run, data), max_new_tokens, data)
    echo(f"wrote {task.config} and {task.questions}: {task.rows} rows, --max-new-tokens {task.max_new_tokens}")
    for note in prompt_notes([row["prompt_ids"] for row in rows], engine):
        notice(note)
    echo(task.command)
    return asdict(task)
