from pathlib import Path

import pytest

from mixlm.errors import InputError
from pipelines.grid.commands import as_typed, check_command, known_options
from pipelines.grid.grid import ENTRY_COMMANDS
from pipelines.grid.parse import _ELSEWHERE
from pipelines.shared.jobs import Job
from pipelines.shared.options import TEMPLATE_OPTIONS


TRAIN = ("train", "x", "--model", "m", "--method", "cot", "--out", "o")


def test_options_are_those_of_the_command():
    assert {"steps", "method_option", "separator"} <= known_options("train").keys()
    assert "config" not in known_options("train")
    assert {"operations", "rows", "split", "seed"} <= known_options("data chain-arithmetic").keys()
    assert "seed" not in known_options("data gsm8k")


def test_options_as_a_user_types_them():
    given = {"batch_size": 8, "separator": "", "bf16": True, "pack": False, "chat": False, "lengths": [1, 2.5, True]}
    assert as_typed("train", given, {"learning-rate": 1e-05}) == (
        *("--batch-size", "8", "--separator", "", "--bf16", "--no-pack", "--lengths", "1,2.5,true"),
        *("--learning-rate", "1e-05"),
    )
    assert as_typed("train", {"seed": 1}, {"seed": 2}) == ("--seed", "2")


def test_a_flag_without_an_opposite_is_left_out_where_it_is_false():
    assert as_typed("encode", {"skip-bad-rows": False, "bf16": False}) == ("--no-bf16",)
    assert as_typed("data prontoqa", {"official": False}) == ()
    assert as_typed("data prontoqa", {"official": True}) == ("--official",)


@pytest.mark.parametrize("command", ENTRY_COMMANDS)
def test_what_is_written_elsewhere_is_an_option_of_a_command_of_the_grid(command):
    known = known_options(command).keys() | {"config", "help"}
    shared = known_options("encode").keys() | known_options("train").keys() | known
    assert {name.replace("-", "_") for name in _ELSEWHERE[command]} <= shared


def test_options_of_the_template_are_those_of_the_commands_that_read_rows():
    for command in ("encode", "train"):
        assert {name.replace("-", "_") for name in TEMPLATE_OPTIONS} <= known_options(command).keys()


def test_a_command_that_would_be_understood_is_not_run():
    check_command(Job("encode a", ("encode", "nowhere.jsonl", "--model", "m", "--out", "o")), Path("grid.yaml"))
    check_command(Job("train a", (*TRAIN, "--select", "loss", "--eval-every", "5")), Path("grid.yaml"))
    latents = ("--latents", "free,exact:0%", "--samples", "3", "--temperature", "1")
    check_command(Job("evaluate a", ("evaluate", "r", "x", *latents)), Path("grid.yaml"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("encode", "x", "--out", "o"), "Missing option '--model'"),
        (("data", "gsm8k", "--out", "o", "--rows", "no"), "'no' is not a valid integer"),
        ((*TRAIN, "--select", "loss"), "--select loss needs --eval-every"),
        ((*TRAIN, "--adam-beta2", "1.5"), "--adam-beta2 1.5: give a number from 0 to below 1"),
        (("evaluate", "r", "x", "--samples", "3"), "--samples: greedy decoding gives the same answer every time"),
        (("train", "x", "--help"), "an option asks for no more than a text"),
    ],
)
def test_a_command_that_would_not_be_understood_is_named_with_its_file(arguments, message):
    with pytest.raises(InputError, match=f"^grid.yaml: part: .*{message}"):
        check_command(Job("part", arguments), Path("grid.yaml"))
