import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from inspect import cleandoc
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import click
import pytest
from click.testing import CliRunner

from mixlm.errors import InputError
from mixlm.tasks import TASKS, open_task
from pipelines import data as task_command
from pipelines.grid.commands import check_command
from pipelines.shared.docstrings import notes_of
from pipelines.shared.jobs import Job


@dataclass(frozen=True)
class Common:
    """What other tasks have, too.

    Attributes:
        hops: Steps of a proof.
        rate: Share of distractors.
        plain: Leave distractors out.
    """

    hops: int = 5
    rate: float = 0.5
    plain: bool = False


@dataclass(frozen=True)
class Options(Common):
    """What can be chosen.

    Attributes:
        hops: Steps of a proof,
            premises included.
        order: Order of the premises.
        words: Where names come from.
    """

    order: Literal["mixed", "given"] = "mixed"
    words: str | None = None


def generate(rows: int, split: str, seed: int, options: Options) -> Iterator[dict]:
    """Yield rows."""
    for number in range(rows):
        yield {"question": f"{split} {seed} {number}", "steps": [], "answer": json.dumps(asdict(options))}


GENERATED = {"Options": Options, "generate": generate}


def load(split: str = "train", *, hops: int = 5, source: str | Path | None = None) -> Iterator[dict]:
    """Yield published rows.

    Args:
        split: Which.
        hops: Steps of a proof.
        source: File of the rows.
    """
    for number in range(3):
        yield {"question": f"published {split} {number}", "steps": [], "answer": f"{hops} {source}"}


ABOUT = "Proofs in made-up worlds.\n\nMore on it."


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that runs the command of a task with some of these functions; returns its result and the rows."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, **functions):
        task = SimpleNamespace(__doc__=ABOUT, SPLITS=("train", "test"), CHECK="exact", **functions)
        monkeypatch.setattr(task_command, "open_task", lambda name: task)
        done = CliRunner().invoke(task_command.task_command("proofs"), arguments)
        out = Path("out.jsonl")
        rows = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else None
        return done, rows

    return run


OUT = ("--out", "out.jsonl")


def test_rows_are_generated_with_the_defaults_of_the_options(run):
    done, rows = run("--rows", "2", *OUT, **GENERATED)
    assert (done.exit_code, done.output) == (0, "wrote 2 rows to out.jsonl\n")
    assert [row["question"] for row in rows] == ["train 0 0", "train 0 1"]
    options = {"hops": 5, "rate": 0.5, "plain": False, "order": "mixed", "words": None}
    assert json.loads(rows[0]["answer"]) == options


def test_options_reach_the_task_with_their_types(run):
    options = ("--hops", "3", "--rate", "1", "--plain", "--order", "given", "--words", "w")
    done, rows = run("--rows", "1", "--split", "test", "--seed", "4", *options, *OUT, **GENERATED)
    assert done.exit_code == 0 and rows[0]["question"] == "test 4 0"
    assert json.loads(rows[0]["answer"]) == {"hops": 3, "rate": 1.0, "plain": True, "order": "given", "words": "w"}
    assert json.loads(run("--rows", "1", "--no-plain", *OUT, **GENERATED)[1][0]["answer"])["plain"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rows", "1", "--hops", "x"), "'x' is not a valid integer"),
        (("--rows", "1", "--order", "x"), "'x' is not one of 'mixed', 'given'"),
        (("--rows", "1", "--split", "valid"), "'valid' is not one of 'train', 'test'"),
        (("--rows", "0"), "0 is not in the range x>=1"),
        ((), "Missing option '--rows'"),
        (("--rows", "1", "--official"), "--official"),
        (("--rows", "1", "--source", "x"), "--source"),
    ],
)
def test_what_a_generated_task_does_not_take(run, arguments, message):
    done, rows = run(*arguments, *OUT, **GENERATED)
    assert done.exit_code == 2 and message in done.stderr and rows is None


def test_published_rows_are_all_or_the_first(run):
    done, rows = run(*OUT, load=load)
    assert done.exit_code == 0 and [row["question"] for row in rows] == [f"published train {n}" for n in range(3)]
    done, rows = run("--rows", "2", "--split", "test", "--source", "here.jsonl", *OUT, load=load)
    assert [row["question"] for row in rows] == ["published test 0", "published test 1"]
    assert rows[0]["answer"] == "5 here.jsonl"
    assert run("--seed", "1", *OUT, load=load)[0].exit_code == 2


def test_published_rows_are_not_written_over_nor_into_their_folder(run):
    Path("out.jsonl").write_text("{}")
    Path("set").mkdir()
    for options in (("--source", "out.jsonl", *OUT), ("--source", "set@test", "--out", "set/test-2.jsonl")):
        done, rows = run("--rows", "2", *options, load=load)
        assert done.exit_code == 1 and "give" in str(done.exception) + done.stderr and rows == [{}]
    assert not [*Path("set").iterdir()]


def test_a_task_with_both_generates_unless_told(run):
    both = GENERATED | {"load": load}
    _, rows = run("--rows", "1", "--hops", "2", *OUT, **both)
    assert rows[0]["question"] == "train 0 0" and json.loads(rows[0]["answer"])["hops"] == 2
    _, rows = run("--official", "--hops", "2", *OUT, **both)
    assert len(rows) == 3 and rows[0]["answer"] == "2 None"
    without = run(*OUT, **both)[0]
    assert without.exit_code == 2 and "Missing option '--rows': how many to generate" in without.stderr


def test_an_option_that_would_do_nothing_is_refused(run):
    both = GENERATED | {"load": load}
    Path("out.jsonl").write_text("{}")
    done, rows = run("--rows", "1", "--source", "x", *OUT, **both)
    assert done.exit_code == 2 and rows == [{}]
    assert "--source is for published rows; add --official, or leave it out" in done.stderr
    done, rows = run("--official", "--rate", "0.5", *OUT, **both)
    assert done.exit_code == 2 and rows == [{}]
    assert "--rate does nothing to published rows; leave it out" in done.stderr


def test_help_is_what_the_docstrings_say(run):
    text = " ".join(run("--help", **GENERATED, load=load)[0].output.split())
    assert "Proofs in made-up worlds. Rows are generated" in text and "More on it" not in text
    assert "--hops INTEGER Steps of a proof, premises included. [default: 5]" in text
    assert "--plain / --no-plain Leave distractors out. [default: no-plain]" in text
    assert "--order [mixed|given] Order of the premises. [default: mixed]" in text
    assert "--words TEXT Where names come from." in text and "--source PATH File of the rows." in text
    assert "--official" not in run("--help", load=load)[0].output


@pytest.mark.parametrize("name", TASKS)
def test_every_option_of_every_task_is_explained(name):
    command = task_command.task_command(name)
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert not [option.name for option in options if not option.help]
    for source in (getattr(open_task(name), kind, None) for kind in ("Options", "load")):
        assert task_command.own_parameters(source).keys() <= {option.name for option in options}
    assert command.get_short_help_str() and "\n" not in command.short_help


DOCUMENTED = """Do it.

    Args:
        size: How large,
            in cells: 3 to 5.
        name: What it is called.

    Returns:
        rest: No entry of this section.
    """


@pytest.mark.parametrize("documentation", [DOCUMENTED, cleandoc(DOCUMENTED)])  # Python 3.13 strips them itself
def test_entries_of_a_section(documentation):
    assert notes_of(documentation, "Args") == {"size": "How large, in cells: 3 to 5.", "name": "What it is called."}
    assert notes_of(documentation, "Raises") == notes_of(None, "Args") == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "d", "--model", "m", "--out", "o", "--method", "cot", "--stepz", "3"), "--stepz"),
        (
            ("train", "d", "--model", "m", "--out", "o", "--method", "cot", "--steps", "x"),
            "Invalid value for '--steps'",
        ),
        (("train", "d", "--model", "m", "--out", "o"), "Missing option '--method'"),
        (("data", "chain-arithmetic", "--rows", "0", "--out", "o"), "Invalid value for '--rows'"),
        (("data", "chain-arithmetic", "--rows", "5", "--hops", "3", "--out", "o"), "--hops"),
        (("evaluate", "r", "d", "e"), "Got unexpected extra argument"),
        (("evaluate", "r", "d", "--help"), "asks for no more than a text"),
    ],
)
def test_a_command_that_would_be_refused_is_found_without_running_it(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="^grid.yaml: a part: ") as error:
        check_command(Job("a part", arguments), Path("grid.yaml"))
    assert message in str(error.value)


def test_a_command_that_is_right_passes_and_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_command(Job("data", ("data", "chain-arithmetic", "--rows", "5", "--out", "o.jsonl")), Path("grid.yaml"))
    check_command(Job("evaluate", ("evaluate", "run", "data", "--out", "o.json")), Path("grid.yaml"))
    assert list(tmp_path.iterdir()) == []


def test_rows_name_the_check_of_their_task_unless_it_is_exact(run, monkeypatch):
    assert "check" not in run("--rows", "1", *OUT, **GENERATED)[1][0]
    task = SimpleNamespace(__doc__=ABOUT, SPLITS=("train",), CHECK="number", **GENERATED)
    monkeypatch.setattr(task_command, "open_task", lambda name: task)
    CliRunner().invoke(task_command.task_command("proofs"), ["--rows", "2", "--out", "sums.jsonl"])
    assert [json.loads(line)["check"] for line in Path("sums.jsonl").read_text().splitlines()] == ["number"] * 2
