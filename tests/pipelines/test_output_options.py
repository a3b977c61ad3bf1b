"""``--json``, ``--quiet`` and ``--verbose`` of every command there is: one without a case here fails."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
import yaml

from mixlm.tasks import TASKS
from pipelines import demo
from pipelines.cli import COMMANDS, main
from pipelines.demo_plan import MODELS
from pipelines.reports import comparison
from pipelines.reports import demo as demo_report
from pipelines.shared import jobs
from pipelines.shared.command import command
from pipelines.shared.terminal import echo_results, notice
from tests.calling import call_command
from tests.chat_stub import ChatStub, chatting, message, question_in
from tests.grid_bench import FAKE, GRID
from tests.tiny_data import write_encoded, write_raw, write_scratch
from tests.tiny_runs import write_encoded_for


def leaves(group: click.Group = main, before: str = "") -> dict[str, click.Command]:
    """Every command that does something, by its words."""
    found = {}
    for name in group.list_commands(click.Context(group)):
        one, words = group.get_command(click.Context(group), name), f"{before} {name}".strip()
        found |= leaves(one, words) if isinstance(one, click.Group) else {words: one}
    return found


LEAVES = leaves()
TINY = ["--hidden-size", 16, "--num-layers", 1, "--num-heads", 2, "--code-dim", 4, "--steps", 4, "--batch-size", 8]
SHAPE = ["--objective", "reconstruction", "--align", "fixed", "--chunk-length", 4, "--codebook-size", 6, *TINY]
FIGURES = {"accuracy": 0.975, "interval": [0.951, 0.985], "tokens": 40.9, "latents": 0.5}
STAGE1 = dict.fromkeys(demo_report.STAGE1, 0.25) | {"distinct_chunks": 9, "codebook_size": 7}


def answer(body: dict) -> tuple[int, dict]:
    """What a served model says to a sum: right or one more, as the seed is even or odd."""
    total = sum(map(int, re.search(r"(\d) \+ (\d) \?", question_in(body)).groups()))
    return message(f"added up\nso it is\nThe answer is: {total + body['seed'] % 2}")


@pytest.fixture(scope="module")
def made(run, tmp_path_factory):
    """What the commands are given."""
    folder = tmp_path_factory.mktemp("given")
    files = {"raw": write_raw(folder), "model": write_scratch(folder), "encoded": write_encoded(folder)}
    (folder / "grid.yaml").write_text(yaml.safe_dump(GRID, sort_keys=False))
    own = write_encoded_for(folder / "own", run.tokenizer(), train=4, valid=3)
    with chatting(ChatStub(answer)) as url:
        yield SimpleNamespace(**files, run=run.path, own=own, url=url, grid=folder / "grid.yaml")


def arguments(words: str, made: SimpleNamespace) -> list:
    """What a command is given; it writes into the folder in which it runs."""
    few = ["--max-new-tokens", 6]
    if words.removeprefix("data ") in TASKS:
        return ["--rows", 2, "--out", "out"]
    return {
        "encode": lambda: [made.raw, "--model", made.model, *SHAPE, "--out", "out"],
        "train": lambda: [made.encoded, "--model", made.model, "--method", "assorted", "--steps", 2, "--log-every", 1,
                          "--eval-every", 2, "--out", "out"],
        "generate": lambda: [made.run, "1 + 2?", "--latents", "exact:2", *few],
        "evaluate": lambda: [made.run, made.own, "--latents", "free,text", *few, "--out", "out.json"],
        "analyze": lambda: [made.run, made.own, "--only", "sweep", *few, "--out", "out"],
        "compare": lambda: [made.grid, "--only", "cot", "--only", "dropped", "--out", "out"],
        "report": lambda: [made.run, "--out", "out.html"],
        "export lm-eval": lambda: [made.run, made.own, "--out", "out", *few],
        "check": lambda: [made.run],
        "data convert": lambda: [made.raw, "--out", "out"],
        "data split": lambda: [made.raw, "--train", "train", "--valid", "valid", "--share", 0.25],
        "data sample": lambda: [made.raw, "--endpoint", made.url, "--samples", 2, "--limit", 3, "--out", "out"],
        "methods": lambda: ["coconut", "icot"],
        "demo": lambda: ["--out", "out"],
    }[words]()  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Let long commands do what takes no time."""
    monkeypatch.setattr(jobs, "command_of", lambda job: [*FAKE, job.name, *job.arguments])
    monkeypatch.setattr(comparison, "draw_pareto", lambda *given: [])
    modes = {"modes": {"free": FIGURES}}
    monkeypatch.setattr(demo, "prepare", lambda out, *given: None)
    monkeypatch.setattr(demo, "run", lambda plan, lock: demo.part("A title", [], lock) or {"encode": 1.0})
    monkeypatch.setattr(demo, "show_answers", lambda *given: {"answers": 0.5})
    monkeypatch.setattr(
        demo_report, "collect", lambda out: {name: FIGURES | modes for name in MODELS} | {"stage1": STAGE1}
    )


@pytest.fixture
def call(made, tmp_path, monkeypatch):
    """A function that runs a command in an empty folder, where it writes; rows of tasks are none but counted."""
    folder = tmp_path / "work"

    def run(words: str, *more, code: int = 0):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        monkeypatch.chdir(folder)
        if words.removeprefix("data ") in TASKS:
            monkeypatch.setattr("mixlm.data.writing.write_rows", lambda out, drawn, rows: rows)
        return call_command(main, *words.split(), *arguments(words, made), *more, code=code)

    return run


def in_text(words: str, told: dict) -> list[str]:
    """Texts that stand in what a command prints where its results are as told."""
    if words.removeprefix("data ") in TASKS or words == "data convert":
        return [f"wrote {told['rows']} rows to {told['out']}"]
    return SAID[words](told)


def percent(share: float) -> str:
    return f"{share:.1%}"


SAID: dict[str, Callable[[dict], list[str]]] = {
    "encode": lambda told: [
        f"{told['counts']['train']['samples']} samples, {told['counts']['train']['trace_tokens']} trace tokens",
        f"{told['codebook']['codes_used']} of 6 codes used",
        f"perplexity {told['codebook']['perplexity']:.1f}",
        f"{told['codebook']['ce_right']:.3f} with the right code",
        f"wrote     {told['out']}\n",
    ],
    "train": lambda told: [f"wrote {told['out']}\n"],
    "generate": lambda told: [
        "\n".join(one["text"].strip("\n") for one in told["answers"]),
        *(f"({one['tokens']['total']} tokens: {one['tokens']['text']} text" for one in told["answers"]),
        " ".join(f"<latent_{code}>" for code in told["answers"][0]["codes"]) + "\n",
    ],
    "evaluate": lambda told: [
        f"{told['method']}: {told['rows']} rows",
        *(percent(one["accuracy"]) for one in told["modes"].values()),
        *(f" {one['tokens']['total']:.1f} " for one in told["modes"].values()),
        *(f"loss {name}: {loss['loss']:.4f} nats/token" for name, loss in told["loss"].items()),
        f"wrote {told['out']} and ",
    ],
    "analyze": lambda told: [
        text for one in told["findings"] for text in (one["title"], f"wrote {one['table']} and {one['picture']}\n")
    ],
    "compare": lambda told: [
        f"{told['finished']} of {told['cells']} cells",
        *(f"{label} " for label in told["methods"]),
        *(percent(one["modes"]["free"]["accuracy"]["estimate"]) for one in told["methods"].values()),
        *(f"{100 * one['difference']['estimate']:+.1f}" for one in told["pairs"] if one["mode"] == "free"),
        f"in {told['out']}\n",
    ],
    "report": lambda told: [f"wrote {told['out']}: "],
    "export lm-eval": lambda told: [
        f"{told['config']} and {told['questions']}: {told['rows']} rows, --max-new-tokens {told['max_new_tokens']}\n",
        f"\n{told['command']}\n",
    ],
    "check": lambda told: [f"{told['path']}: whole ({told['found'][0]})\n"],
    "data split": lambda told: [f"wrote {one['rows']} rows to {one['out']}\n" for one in told.values()],
    "data sample": lambda told: [
        f"{told['questions']} questions, {told['answers']['kept'] + told['answers']['wrong']} answers",
        f"{told['answers']['wrong']} wrong",
        f"wrote {told['out']}: {told['traces']} traces",
    ],
    "methods": lambda told: [
        f"-o {option['name']}={option['default']}" for method in told["methods"] for option in method["options"]
    ],
    "demo": lambda told: [
        percent(told["cot"]["accuracy"]),
        f"{told['assorted']['tokens']:.1f}",
        f"Stage 1 kept {told['stage1']['codebook_size']} codes",
    ],
}


def test_every_command_has_a_case(made) -> None:
    own = {words for words in LEAVES if words.removeprefix("data ") not in TASKS}
    assert own == SAID.keys() | {"data convert"} and {words.split()[0] for words in LEAVES} == {*COMMANDS}


@pytest.mark.parametrize("words", LEAVES)
def test_json_is_one_line_that_tells_what_the_text_does_and_quiet_leaves_the_text_alone(call, words) -> None:
    printed, quiet, result = call(words), call(words, "--quiet"), call(words, "--json")
    assert result.stdout.endswith("\n") and result.stdout.count("\n") == 1
    told = json.loads(result.stdout)
    texts = in_text(words, told)
    assert texts and not [text for text in texts if text not in printed.stdout], printed.stdout
    assert (quiet.stdout, quiet.stderr) == (printed.stdout, "")


@pytest.mark.parametrize("words", LEAVES)
def test_an_error_leaves_stdout_empty(call, words) -> None:
    result = call(words, "--json", "--config", "nowhere.yaml", code=2)
    assert result.stdout == "" and "nowhere.yaml" in result.stderr.splitlines()[-1]
    result = call(words, "-q", "-v", code=2)
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1] == "Error: --quiet and --verbose contradict each other; leave one out"


def test_an_error_in_the_middle_leaves_stdout_empty(made, monkeypatch) -> None:
    for words in (
        ["check", made.raw],
        ["train", made.raw, "--model", made.model, "--method", "assorted", "--out", "x"],
    ):
        result = call_command(main, *words, "--json", code=1)
        assert result.stdout == "" and result.stderr.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize("words", LEAVES)
def test_the_three_are_in_the_long_help_of_every_command_in_one_form(words) -> None:
    shown = call_command(main, *words.split(), "--help-all").stdout
    assert all(f"  {flags} " in shown for flags in ("-q, --quiet", "--json", "-v, --verbose"))


def test_a_training_tells_what_it_logged_last(call) -> None:
    told, curve = json.loads(call("train", "--json").stdout), Path("out/curve.jsonl").read_text().splitlines()
    *_, trained, evaluated = map(json.loads, curve)
    assert (told["steps"], told["seconds"]) == (2, evaluated["seconds"])
    assert told["figures"]["loss"] == trained["loss"] and told["figures"]["eval_loss"] == evaluated["eval_loss"]


def test_figures_in_a_file_are_those_that_are_printed(call) -> None:
    told = json.loads(call("evaluate", "--json").stdout)
    written = json.loads(Path("out.json").read_text())
    assert told.pop("out") == "out.json" and told == {name: written[name] for name in told}


def test_what_a_check_finds_is_told_although_it_ends_with_status_1(made, tmp_path) -> None:
    shutil.copytree(made.run, tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text("{}")
    result = call_command(main, "check", tmp_path / "run", "--json", code=1)
    told = json.loads(result.stdout)
    assert not told["whole"] and "config.json" in told["faults"][0]
    assert result.stderr == f"Error: {tmp_path / 'run'}: damaged (run)\n"


def test_a_comparison_with_failed_cells_tells_the_others_and_which_failed(call, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(jobs, "command_of", lambda job: [sys.executable, "-S", "-c", "raise SystemExit(1)"])
    told = json.loads(call("compare", "--json", code=1).stdout)
    assert told["failed"] == ["cot-0", "dropped-0"] and told["finished"] == 0


def test_prompts_are_one_line_too(made) -> None:
    ask = ["generate", made.run, "1 + 2?", "--print-prompt"]
    assert json.loads(call_command(main, *ask, "--json").stdout) == {
        "prompts": [json.loads(call_command(main, *ask).stdout)]
    }


def test_they_can_stand_in_a_file(made, tmp_path) -> None:
    (tmp_path / "mine.yaml").write_text("json: true\n")
    assert json.loads(call_command(main, "check", made.run, "--config", tmp_path / "mine.yaml").stdout)["whole"]


def test_a_quiet_command_warns_all_the_same() -> None:
    @command("warn")
    def warn():
        notice("a notice")
        notice("warning: a warning")

    assert call_command(warn, "--quiet").stderr == "warning: a warning\n"
    assert call_command(warn).stderr == "a notice\nwarning: a warning\n"


def test_numbers_that_json_has_not_are_null(capsys) -> None:
    import numpy as np

    echo_results({"a": float("nan"), "b": [np.float32(0.5), -np.inf, np.arange(2)], "c": Path("d"), 3: True})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [0.5, None, [0, 1]], "c": "d", "3": True}


NOISY = """
import os, sys, warnings
from pipelines.shared.command import command

@command("noisy")
def noisy():
    from transformers.utils import logging
    logging.get_logger("transformers.noise").warning("a notice of transformers")
    warnings.warn("a warning of a library")
    return {"done": True}

noisy(sys.argv[1:])
"""


def test_verbose_shows_what_libraries_say() -> None:
    def run(*options: str) -> subprocess.CompletedProcess:
        call = [sys.executable, "-c", NOISY, *options]
        silent = {"TRANSFORMERS_VERBOSITY", "PYTHONWARNINGS"}  # as a command that ran in this process left it
        outside = {name: value for name, value in os.environ.items() if name not in silent}
        return subprocess.run(call, capture_output=True, text=True, check=True, env=outside)

    shown = run("-v", "--json")
    assert json.loads(shown.stdout) == {"done": True}
    assert "a notice of transformers" in shown.stderr and "UserWarning: a warning of a library" in shown.stderr
    assert run().stderr == ""
