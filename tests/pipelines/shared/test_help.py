"""Help in groups, the first options and all; names that other programs have for options."""

import click
import pytest
from click.testing import CliRunner

from pipelines.cli import COMMANDS, main
from pipelines.shared.help import ELSEWHERE, GROUPS, renamed


FIRST = [name for name in COMMANDS if getattr(main.get_command(None, name), "first", ())]


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments, terminal_width=200)
    assert result.exit_code == 0, result.output
    return result.output


def options(command: click.Command) -> list[click.Option]:
    return [param for param in command.params if isinstance(param, click.Option)]


def test_the_long_commands_have_a_short_help() -> None:
    assert {"encode", "train", "generate", "evaluate", "analyze"} <= set(FIRST)


@pytest.mark.parametrize("name", FIRST)
def test_help_shows_the_first_options_and_help_all_every_one(name: str) -> None:
    command = main.get_command(None, name)
    short, full = shown(name, "--help"), shown(name, "--help-all")
    for option in options(command):
        flag = f" {option.opts[-1]} "
        assert flag in full and (flag in short) == (option.name in command.first or flag == " --help-all "), (
            option.name
        )
    assert set(command.first) <= {option.name for option in options(command)} and len(command.first) <= 14
    others = len(options(command)) - len(command.first) - 1
    assert short.endswith(f"\n  --help-all shows {others} more options.\n") and "--help-all shows" not in full


@pytest.mark.parametrize("name", FIRST)
def test_what_a_command_must_be_given_is_among_the_first(name: str) -> None:
    command = main.get_command(None, name)
    assert {option.name for option in options(command) if option.required} <= set(command.first)


@pytest.mark.parametrize("name", FIRST)
def test_groups_come_in_one_order_and_each_once(name: str) -> None:
    titles = [part.title for part in GROUPS]
    found = [line[:-1] for line in shown(name, "--help-all").splitlines() if line[:-1] in titles]
    assert found == [title for title in titles if title in found] and {"Data", "Output"} <= set(found)


def test_options_without_groups_are_in_one_list() -> None:
    assert "\nOptions:\n" in shown("data", "split", "--help") and "more options" not in shown(
        "data", "split", "--help"
    )


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("--per-device-train-batch-size", "--micro-batch-size"),
        ("--per_device_train_batch_size=8", "--micro-batch-size"),
        ("--gradient-accumulation-steps", "--batch-size / --micro-batch-size"),
        ("--num-train-epochs", "--epochs"),
        ("--output-dir", "--out"),
        ("--model_name_or_path", "--model"),
        ("--max-steps", "--steps"),
        ("--lr-scheduler-type", "--scheduler"),
        ("--gradient-checkpointing", "--activation-checkpointing"),
        ("--lora-r", "--lora-rank"),
        ("--use-peft", "--lora-rank RANK"),
        ("--dataset-name", "the first argument, DATA"),
    ],
)
def test_names_of_trl_and_transformers_are_answered_in_one_line(typed: str, answer: str) -> None:
    result = CliRunner().invoke(main, ["train", "data", "--method", "cot", typed, "1"])
    assert result.exit_code == 2
    assert f"Error: {typed.partition('=')[0]}: here that is {answer}" in result.stderr.splitlines()[-1]


def test_underscores_in_place_of_dashes_are_answered() -> None:
    result = CliRunner().invoke(main, ["train", "data", "--learning_rate", "1e-4"])
    assert result.stderr.splitlines()[-1] == "Error: --learning_rate: it is written --learning-rate here"


def test_in_a_file_too(tmp_path) -> None:
    (tmp_path / "options.yaml").write_text("num_train_epochs: 3\n")
    result = CliRunner().invoke(main, ["train", "data", "--config", str(tmp_path / "options.yaml")])
    assert result.stderr.splitlines()[-1].endswith("options.yaml: num_train_epochs: here that is --epochs")


def test_what_nobody_knows_and_what_a_command_lacks_has_no_other_name() -> None:
    train, generate = main.get_command(None, "train"), main.get_command(None, "generate")
    assert renamed("--frobnicate", train) is None
    assert renamed("--num-train-epochs", generate) is None  # it has no --epochs


def test_every_name_that_is_given_for_another_is_an_option_of_some_command() -> None:
    known = {flag for name in COMMANDS for option in options(main.get_command(None, name)) for flag in option.opts}
    named = {word.rstrip(",;:") for here in ELSEWHERE.values() for word in here.split() if word.startswith("--")}
    assert named <= known and not {
        f"--{name}" for name in ELSEWHERE if name not in ("dtype", "max-length")
    } & known - {"-n"}
