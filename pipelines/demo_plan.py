"""The commands of the demo: what is run, in which order, and what may run at the same time."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixlm.errors import InputError
from mixlm.generation.options import parse_latent_modes
from mixlm.tasks.splits import SPLITS
from pipelines.grid.commands import as_typed, check_command
from pipelines.shared.jobs import Job
from pipelines.shared.options import text_of


MODELS = {"cot": "cot", "assorted": "assorted", "random": "random-codes"}
MODEL_FILE, SCRIPT, SUMMARY, QUESTIONS = "model.yaml", "commands.sh", "summary.json", "questions.jsonl"
REPORT = "report.html"
TASK, WORKED_ANSWERS, REPORTED_ROWS = "data chain-arithmetic", 3, 100
_SECTIONS = ("rows", "data", "model", "template", "encode", "train", "evaluate")


@dataclass(frozen=True)
class DemoPlan:
    """All commands of a demo, in their order; those of one part do not wait for each other.

    Attributes:
        data: Generate the rows.
        text: Trains the model that needs no codes, beside both stages.
        first: Stage 1.
        second: Stage 2.
        evaluation: One command a model.
        questions: Takes a few test questions, in the language of a shell.
        answers: Answers them, with the latents read back.
        report: Shows the models side by side on one page, with the answers to the first test questions.
    """

    data: tuple[Job, ...]
    text: Job
    first: Job
    second: tuple[Job, ...]
    evaluation: tuple[Job, ...]
    questions: str
    answers: Job
    report: Job

    @property
    def trials(self) -> tuple[Job, ...]:
        """All up to the evaluation, one after the other."""
        return (*self.data, self.text, self.first, *self.second, *self.evaluation)

    def script(self) -> str:
        """Return the commands as a shell script, one after the other."""
        lines = [*(job.line() for job in self.trials), self.questions, self.answers.line(), self.report.line()]
        return "\n".join(lines) + "\n"

    def check(self, recipe: Path) -> None:
        """Parse the options that ``recipe`` gives; an ``InputError`` if one is unknown or does not fit."""
        for job in self.trials:
            check_command(job, recipe)


def read_recipe(path: Path) -> dict[str, dict[str, Any]]:
    """Read the settings of a demo.

    Raises:
        InputError: If the file does not hold exactly the sections that it needs.
    """
    from mixlm.data.formats.yaml_files import read_yaml
    from pipelines.grid.parse import read_options, read_template  # opens methods, and numpy with them: not for --help

    recipe = read_yaml(path)
    if not isinstance(recipe, dict) or set(recipe) != set(_SECTIONS):
        raise InputError(f"{path}: a recipe of the demo has the sections {', '.join(_SECTIONS)}; start from a copy")
    for section in ("rows", "model"):
        if not isinstance(recipe[section], dict):
            raise InputError(f"{path}: section '{section}' is no mapping of names and values; start from a copy")
    if set(recipe["rows"]) != set(SPLITS):
        raise InputError(f"{path}: section 'rows' has to say how many rows {', '.join(SPLITS)} have, and no more")
    commands = {"data": TASK, "encode": "encode", "train": "train", "evaluate": "evaluate"}
    recipe |= {name: read_options(path, name, recipe[name], command) for name, command in commands.items()}
    recipe["template"] = read_template(path, recipe["template"])
    try:
        modes = parse_latent_modes(text_of(recipe["evaluate"].get("latents", "free")))
    except InputError as error:
        raise InputError(f"{path}: section 'evaluate': {error}") from None
    if not any(str(mode) == "free" for mode in modes):
        raise InputError(f"{path}: section 'evaluate': the demo compares what is decoded freely; add free to latents")
    return recipe


def plan_demo(recipe: Mapping[str, Mapping[str, Any]], out: Path, seed: int) -> DemoPlan:
    """Return the commands that ``recipe`` asks for.

    Args:
        recipe: See ``read_recipe``.
        out: Folder of every file that is read or written.
        seed: Of the rows, of stage 1, and of every training.
    """
    files = {split: str(out / f"{split}.jsonl") for split in recipe["rows"]}
    model, seeded = ("--model", str(out / MODEL_FILE)), {"seed": seed}
    template = as_typed("train", recipe["template"])
    encoded = str(out / "encoded")
    encode = as_typed("encode", recipe["encode"], seeded)
    train = as_typed("train", recipe["train"], seeded)
    task = as_typed(TASK, recipe["data"], seeded)
    paths = ("--valid", files["valid"], *model, "--out", encoded)
    questions = str(out / QUESTIONS)
    return DemoPlan(
        data=tuple(_generation(split, rows, files[split], task) for split, rows in recipe["rows"].items()),
        text=_training("cot", files["train"], out, (*model, *template), train),
        first=Job("encode", ("encode", files["train"], *paths, *template, *encode)),
        second=tuple(_training(name, encoded, out, model, train) for name in ("assorted", "random")),
        evaluation=tuple(_evaluation(name, files["test"], out, recipe["evaluate"]) for name in MODELS),
        questions=shlex.join(["head", "-n", str(WORKED_ANSWERS), files["test"]]) + f" > {shlex.quote(questions)}",
        answers=Job("answers", ("generate", str(out / "assorted"), "--input", questions, "--explain")),
        report=_report(files["test"], out),
    )


def _generation(split: str, rows: int, out: str, options: tuple[str, ...]) -> Job:
    size = as_typed(TASK, {"split": split, "rows": rows})
    return Job(f"data_{split}", (*TASK.split(), *size, *options, "--out", out))


def _training(name: str, data: str, out: Path, start: tuple[str, ...], options: tuple[str, ...]) -> Job:
    run = str(out / name)
    return Job(f"train_{name}", ("train", data, "--method", MODELS[name], *start, "--out", run, *options))


def _evaluation(name: str, data: str, out: Path, options: Mapping[str, Any]) -> Job:
    if name == "cot":  # it has no latents to choose a number of
        options = {**options, "latents": "free"}
    target = ("--out", str(out / _figures(name)))
    return Job(f"evaluate_{name}", ("evaluate", str(out / name), data, *as_typed("evaluate", options), *target))


def _report(data: str, out: Path) -> Job:
    runs = [str(out / name) for name in MODELS]
    figures = [word for name in MODELS for word in ("--evaluation", str(out / _figures(name)))]
    target = ("--limit", str(REPORTED_ROWS), "--out", str(out / REPORT))
    return Job("report", ("report", *runs, "--data", data, *figures, *target))


def _figures(name: str) -> str:
    return f"evaluation-{name}.json"
