"""mixlm demo: both stages on a generated task, beside text alone and beside codes without content."""

import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import click

from mixlm.errors import InputError
from pipelines.demo_plan import (
    MODEL_FILE,
    MODELS,
    QUESTIONS,
    REPORT,
    SCRIPT,
    SUMMARY,
    WORKED_ANSWERS,
    DemoPlan,
    plan_demo,
    read_recipe,
)
from pipelines.shared.command import Results, command
from pipelines.shared.jobs import Completed, Job, beside, run_jobs
from pipelines.shared.options import SEED
from pipelines.shared.terminal import echo, notice
from vqvae.atomic_files import remove, whole_file
from vqvae.one_writer import one_writer


RECIPE = Path(__file__).parent / "recipes" / "demo.yaml"
MARK = "# The commands of `mixlm demo`, to read and to copy from; the demo ran some of them at the same time.\n"


@command("demo")
@click.option("--out", default="demo", show_default=True, type=click.Path(path_type=Path), help="Folder to write.")
@click.option("--seed", default=0, show_default=True, type=SEED, help="Seed of rows, codes and models.")
@click.option(
    "--recipe",
    default=RECIPE,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML of all settings.  [default: the recipe that comes with mixlm]",
)
def main(out: Path, seed: int, recipe: Path) -> Results:
    """Run both stages on a generated task, in some minutes on two CPU cores.

    Trains a codebook for reasoning steps, then three small language models: on text alone, on the mix of latents and
    text, and on that mix with codes drawn at random. Shows every command that it runs, compares the three models, and
    reads the latents of three answers back. A page, report.html, shows it all. A demo that is in the folder already is
    written anew.
    """
    from mixlm.model.loading import described_config
    from pipelines.reports.demo import collect, print_comparison, write_summary

    settings = read_recipe(recipe)
    plan = plan_demo(settings, out, seed)
    plan.check(recipe)
    described_config(settings["model"], f"{recipe}: model")
    started = time.monotonic()
    with one_writer(out) as lock:
        prepare(out, plan, settings["model"])
        seconds = run(plan, lock)
        figures = collect(out)
        print_comparison(figures, settings["rows"]["test"])
        seconds |= show_answers(plan, out, lock)
        seconds["total"] = time.monotonic() - started
        summary = write_summary(out, {**figures, "seconds": seconds, "seed": seed, "rows": settings["rows"]})
    places = {"report": out / REPORT, "script": out / SCRIPT, "summary": out / SUMMARY}
    notice(NEXT.format(**places, minutes=seconds["total"] / 60))
    return {"out": out, **summary}


NEXT = """\
{report} shows the models, every code and the answers: open it in a browser.
The demo took {minutes:.1f} minutes. {summary} holds the figures, {script} the commands.

Next, on traces of your own (JSON lines with question, steps and answer) and a model of your choice:
  mixlm-encode traces.jsonl --model HuggingFaceTB/SmolLM2-135M --out encoded
  mixlm-train encoded --model HuggingFaceTB/SmolLM2-135M --out run --method assorted --steps 4000 --learning-rate 1e-4
  mixlm-generate run "a question" --explain"""


def prepare(out: Path, plan: DemoPlan, model: dict) -> None:
    """Make the folder of the demo, without what an earlier demo left there, and write the model and the commands.

    Raises:
        InputError: If the folder holds something that is not a demo's.
    """
    import yaml

    script = out / SCRIPT
    ours = script.is_file() and script.read_bytes().startswith(MARK.encode())
    if out.exists() and not ours and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: exists and is not from an earlier demo; choose another --out")
    for path in map(out.joinpath, own_names()):
        remove(path)
    out.mkdir(parents=True, exist_ok=True)
    with whole_file(script) as file:
        file.write(MARK + plan.script())
    (out / MODEL_FILE).write_text(yaml.safe_dump(model, sort_keys=False), encoding="utf-8")


def own_names() -> list[str]:
    """Return the files and folders that a demo writes, but the script, which marks its folder."""
    data = ["train.jsonl", "valid.jsonl", "test.jsonl", QUESTIONS, MODEL_FILE, "encoded"]
    results = [f"evaluation-{name}{suffix}" for name in MODELS for suffix in (".json", ".jsonl")]
    results += [f".evaluation-{name}.jsonl.part" for name in MODELS]  # of a demo that was interrupted
    return [*data, *MODELS, *results, SUMMARY, REPORT]


def run(plan: DemoPlan, lock: int) -> dict[str, float]:
    """Run everything but the worked answers; returns the seconds of each command."""
    finished = part("A task: running totals, with other questions for training, validation and test.", plan.data, lock)
    notice("\nBeside all that follows: a model of text alone, which needs no codes.", bold=True)
    notice(f"$ {plan.text.line()}")
    with beside(plan.text, (lock,)) as text:
        finished |= part("Stage 1: learn a code for every step of the traces.", (plan.first,), lock)
        echo(finished["encode"].output, nl=False)
        title = "Stage 2: learn the mix of latents and text.  Beside it: the mix with random codes."
        finished |= part(title, plan.second, lock) | text()
    finished |= part("Answers to the test questions.", plan.evaluation, lock)
    return {name: one.seconds for name, one in finished.items()}


def part(title: str, jobs: Sequence[Job], lock: int) -> dict[str, Completed]:
    """Show and run commands that do not wait for each other."""
    notice(f"\n{title}", bold=True)
    return run_shown(jobs, lock)


def run_shown(jobs: Sequence[Job], lock: int) -> dict[str, Completed]:
    """Show commands that do not wait for each other, and run them; they keep the folder if this process is killed."""
    for job in jobs:
        notice(f"$ {job.line()}")
    return run_jobs(jobs, inherited=(lock,))


def show_answers(plan: DemoPlan, out: Path, lock: int) -> dict[str, float]:
    """Let the mixed model answer a few questions, while the report is written; returns the seconds of each."""
    notice("\nThe first test questions, with the latents read back.  Beside it: a page about all models.", bold=True)
    notice(f"$ {plan.questions}")
    with (out / "test.jsonl").open(encoding="utf-8") as rows:
        (out / QUESTIONS).write_text("".join(islice(rows, WORKED_ANSWERS)), encoding="utf-8")
    finished = run_shown((plan.answers, plan.report), lock)
    echo(finished["answers"].output, nl=False)
    return {name: one.seconds for name, one in finished.items()}
