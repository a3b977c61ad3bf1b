import os
import warnings
from dataclasses import fields

import click
import pytest
from click.testing import CliRunner

from mixlm.data.template import Template
from mixlm.errors import InputError
from mixlm.training.options import TrainingOptions
from pipelines.cli import main as mixlm
from pipelines.shared.command import Failure, command, one_line_errors
from pipelines.shared.options import template_of, template_options


@command("work")
@click.argument("data")
@click.option("--learning-rate", type=float, default=0.5)
@click.option("--steps", type=click.IntRange(min=1), default=1)
@click.option("--mode", type=click.Choice(["a", "b"]), default="a")
@click.option("--bf16/--no-bf16", default=False)
@click.option("-o", "--method-option", multiple=True)
@click.option("--out", required=True)
@template_options
def work(**values):
    """Print what arrives."""
    template = template_of(values)
    click.echo(repr((values, template)))


@pytest.mark.parametrize(
    "line", ["report run", "analyze run rows --out found", "check .", "data maze --rows 2 --out rows.jsonl"]
)
def test_several_processes_are_refused_where_each_would_do_all(line, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = CliRunner().invoke(mixlm, line.split())
    assert result.exit_code == 1 and not [*tmp_path.iterdir()]
    assert "2 processes (WORLD_SIZE) would each do all of it; start it without a launcher" in result.stderr


def test_those_that_share_their_work_are_known():
    commands = {name: mixlm.get_command(click.Context(mixlm), name) for name in mixlm.list_commands(None)}
    sharing = {name for name, made in commands.items() if getattr(made, "shares", False)}
    assert sharing == {"encode", "train", "generate", "evaluate"}


def test_several_processes_measure_into_a_file(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = CliRunner().invoke(mixlm, ["evaluate", "run", "rows"])
    assert "would each do all of it; give --out FILE.json, for which they share the work" in result.stderr


@pytest.fixture
def run(tmp_path):
    """A function that runs the command with the text of a YAML file and further arguments."""

    def invoke(yaml: str, *arguments: str):
        path = tmp_path / "my.yaml"
        path.write_text(yaml)
        return CliRunner().invoke(work, ["file.jsonl", "--config", str(path), *arguments])

    return invoke


DEFAULTS = {"learning_rate": 0.5, "steps": 1, "mode": "a", "bf16": False, "method_option": (), "data": "file.jsonl"}


def arrived(result) -> tuple[dict, Template]:
    assert result.exit_code == 0, result.output
    return eval(result.output, {"Template": Template})


def error_line(result) -> str:
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    return result.stderr.splitlines()[-1]


def test_values_of_the_file_arrive_as_if_typed(run):
    text = "learning-rate: 1e-3\nsteps: 4\nbf16: true\nmethod_option: [mix=uniform, a=1]\nout: 'no'\nmode: b\n"
    values, _ = arrived(run(text))
    assert values == {
        **DEFAULTS,
        "learning_rate": 1e-3,
        "steps": 4,
        "bf16": True,
        "method_option": ("mix=uniform", "a=1"),
        "out": "no",
        "mode": "b",
    }


def test_command_line_goes_before_the_file_which_goes_before_defaults(run):
    values, _ = arrived(run("steps: 4\nout: a\nbf16: on", "--steps", "7", "--no-bf16"))
    assert (values["steps"], values["out"], values["bf16"], values["learning_rate"]) == (7, "a", False, 0.5)


def test_one_value_will_do_for_a_list(run):
    assert arrived(run("method-option: a=1\nout: x"))[0]["method_option"] == ("a=1",)


def test_empty_file_changes_nothing(run):
    assert arrived(run("", "--out", "x"))[0] == {**DEFAULTS, "out": "x"}


def test_template_options_become_a_template(run):
    _, template = arrived(
        run('out: x\nseparator: ""\nsolution-template: "\\n#### {answer}"', "--prompt-template", r"Q: {question}\n")
    )
    assert template == Template(prompt="Q: {question}\n", separator="", solution="\n#### {answer}")
    assert arrived(run("out: x"))[1] == Template()
    assert arrived(run("out: x\nchat: true"))[1] == Template(chat=True)


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("lerning_rate: 1", "unknown option 'lerning_rate'; did you mean learning-rate"),
        ("colour: red", "unknown option 'colour'; the options are bf16, chat, json, learning-rate, method-option"),
        ("data: other.jsonl", "unknown option 'data'"),
        ("config: other.yaml", "unknown option 'config'"),
        ("3: x", "unknown option '3'"),
        ("steps: 1.5", "'1.5' is not a valid integer"),
        ("steps: 0", "0 is not in the range x>=1"),
        ("mode: c", "'c' is not one of 'a', 'b'"),
        ("bf16: maybe", "'maybe' is not a valid boolean"),
        ("steps: [1, 2]", "'steps' must be one value"),
        ("steps: {a: 1}", "'steps' must be one value"),
        ("method-option: [[1]]", "'method-option' must be a list of values"),
        ("learning-rate: 1\nlearning_rate: 2", "'learning_rate' is given twice"),
        ("- steps", "holds no mapping"),
        ("steps: 1: 2", "line 1: not valid YAML"),
        ("\x00", "not valid YAML"),
        ('mode: "\\ud83d"', "line 1: 'mode' holds half of a character"),
        ('method-option: ["a=\\ud83d"]', "'method-option' holds half of a character"),
        ("steps: " + "[" * 3000, "line 1: nested too deep"),
    ],
)
def test_wrong_file_is_a_usage_error_that_names_file_and_key(run, yaml, message):
    line = error_line(run(yaml, "--out", "x"))
    assert message in line
    assert "my.yaml" in line


@pytest.mark.parametrize("arguments", [("x\udcff",), ("x", "-o", "a\udcff"), ("x", "--out", "a\udcff")])
def test_bytes_that_are_no_text_are_named_with_their_argument(arguments):
    given = (*arguments, *(() if "--out" in arguments else ("--out", "y")))
    line = error_line(CliRunner().invoke(work, given))
    name = {"x\udcff": "DATA", "-o": "-o"}.get(given[0] if given[0] != "x" else given[1], "--out")
    assert name in line and r"\udcff' holds what is no UTF-8 text" in line


def test_wrong_value_on_the_command_line_is_not_blamed_on_the_file(run):
    line = error_line(run("mode: b", "--out", "x", "--steps", "0"))
    assert "0 is not in the range" in line
    assert "my.yaml" not in line


def test_missing_file_and_missing_required_option():
    line = error_line(CliRunner().invoke(work, ["d", "--config", "nowhere.yaml"]))
    assert "nowhere.yaml" in line
    assert "Missing option '--out'" in error_line(CliRunner().invoke(work, ["d"]))


class OutOfMemoryError(RuntimeError):
    """Like torch's, which is not imported here."""


def failing(error: BaseException):
    @command("fail")
    def fail():
        raise error

    return CliRunner().invoke(fail, [])


ROOM = "make room there, and give the command again"


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("a.jsonl:3: wrong; do this\ninstead"), 1, "Error: a.jsonl:3: wrong; do this instead"),
        (
            RuntimeError("inline_container.cc:672] . unexpected pos"),
            1,
            f"Error: the system refuses a file (perhaps its disk is full); {ROOM}",
        ),
        (OSError(28, "No space left on device", "out/x"), 1, f"Error: out/x: No space left on device; {ROOM}"),
        (
            Exception("Error while serializing: I/O error: File too large (os error 27)"),
            1,
            f"Error: the system refuses a file (File too large); {ROOM}",
        ),
        (OSError("no model there\nand more"), 1, "Error: no model there and more"),
        (KeyboardInterrupt(), 130, "Error: interrupted"),
        (MemoryError(), 1, "Error: out of memory; close other programs, or use a machine with more"),
        (OutOfMemoryError("CUDA"), 1, "Error: out of memory; close other programs, or use a machine with more"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            1,
            "Error: out of memory; close other programs, or use a machine with more",
        ),
    ],
)
def test_what_user_or_system_did_wrong_is_one_line_on_stderr(error, status, line):
    result = failing(error)
    assert result.exit_code == status
    assert isinstance(result.exception, SystemExit)
    assert (result.stdout, result.stderr) == ("", f"{line}\n")


@pytest.mark.parametrize(
    ("options", "advised"),
    [(["input", "batch_size"], "--batch-size"), ([own.name for own in fields(TrainingOptions)], "--micro-batch-size")],
)
def test_for_lack_of_memory_an_option_of_the_command_is_advised(options, advised):
    with pytest.raises(Failure, match=f"out of memory; give a smaller {advised}"), one_line_errors(options):
        raise MemoryError


@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("shapes"), ValueError("y")])
def test_a_bug_keeps_its_traceback(error):
    assert failing(error).exception is error


@pytest.mark.parametrize(("asked", "heard"), [([], []), (["default"], ["noise"])])
def test_warnings_of_libraries_are_shown_only_where_python_was_asked_for_them(monkeypatch, asked, heard):
    @command("warn")
    def warn():
        warnings.warn("noise", stacklevel=1)

    monkeypatch.setattr("sys.warnoptions", asked)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert CliRunner().invoke(warn, []).exit_code == 0
    assert [str(warning.message) for warning in caught] == heard


def test_log_levels_are_set_where_the_user_has_not(monkeypatch):
    @command("levels")
    def levels():
        click.echo(f"{os.environ['TRANSFORMERS_VERBOSITY']} {os.environ['DATASETS_VERBOSITY']}")

    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "info")
    monkeypatch.setenv("DATASETS_VERBOSITY", "")  # so that it is removed again afterwards
    monkeypatch.delenv("DATASETS_VERBOSITY")
    assert CliRunner().invoke(levels, []).output == "info error\n"


def test_an_empty_path_is_no_path(tmp_path):
    @command("given")
    @click.argument("data", type=click.Path())
    @click.option("--more", type=click.Path(), multiple=True)
    @click.option("--name", default="x")
    def given(data, more, name):
        click.echo(f"{data} {more} {name}")

    assert CliRunner().invoke(given, ["a", "--name", ""]).output == "a () \n"
    for arguments in ([""], ["a", "--more", ""], ["a", "--more", "b", "--more", ""]):
        result = CliRunner().invoke(given, arguments)
        assert result.exit_code == 2 and "is empty; give a path, or leave it out" in result.stderr
