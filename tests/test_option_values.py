"""Every field of every kind of options refuses what is no value of it, before anything runs.

Fields come from the dataclasses themselves, wrong values from their types, command lines from the commands, so that no
new one is forgotten.
"""

import dataclasses
import math
from types import NoneType
from typing import Literal, get_args, get_origin, get_type_hints

import click
import pytest
from click.testing import CliRunner

from mixlm.data.template import Template
from mixlm.encoding.options import EncodingOptions
from mixlm.errors import InputError
from mixlm.generation.options import GenerationOptions
from mixlm.methods import METHODS
from mixlm.tasks import TASKS, open_task
from mixlm.training.options import TrainingOptions
from pipelines.cli import COMMANDS, main
from vqvae import ChunkVQVAEConfig, VQVAETrainingOptions
from vqvae.options import VQVAEModelOptions


LARGE = 10**30
WRONG = {
    bool: ("yes", 1, 0.0, None, []),
    int: (True, "7", 1.5, math.nan, math.inf, -1, LARGE, None, [1]),
    float: (True, "0.5", math.nan, -math.inf, -1.0, 1e308, LARGE, None, [1.0]),
    str: (7, b"x", "\ud800", None, ["x"]),
    dict: (7, "x", [("a", 1)], None),
    tuple: (7, "x", [1], (True,), ("x",), (math.nan,), (-1,), (LARGE,), None),
}
KINDS = {
    "template": Template,
    "encoding": EncodingOptions,
    "training": lambda **given: TrainingOptions(**{"method": "cot", **given}),
    "stage 1": VQVAETrainingOptions,
    "generation": GenerationOptions,
    "shape": ChunkVQVAEConfig,
    "shape in encoding": lambda **given: EncodingOptions(shape=given) and ChunkVQVAEConfig(**given),
    **{f"method {name}": method for name, method in METHODS.items()},
    **{f"task {name}": open_task(name).Options for name in TASKS if hasattr(open_task(name), "Options")},
}
CLASSES = {"training": TrainingOptions, "shape": VQVAEModelOptions, "shape in encoding": VQVAEModelOptions}


def wrong_values(kind):
    """Yield the name of every field of a kind of options, with values that are none of it."""
    of = CLASSES.get(kind, KINDS[kind])
    hints = get_type_hints(of)
    for field in dataclasses.fields(of):
        for value in wrong_for(hints[field.name], field):
            yield field.name, value


def wrong_for(hint, field):
    """Return what is of none of the types of a field."""
    hints = get_args(hint) if get_origin(hint) not in (Literal, dict, tuple, None) else (hint,)
    types = {get_origin(one) or one for one in hints}
    if Literal in types:
        return ("nothing", 7, True, "", "\ud800")
    if not types & WRONG.keys():  # a class of ours, such as a template
        return (7, "nothing", None) if field.name != "latents" else (7, "nothing", "exact:-1", "max:" + "9" * 5000)
    values = set.intersection(*({repr(value) for value in WRONG[one]} for one in types & WRONG.keys()))
    known = [value for one in types & WRONG.keys() for value in WRONG[one]]
    chosen = {repr(value): value for value in known if repr(value) in values}
    chosen = {name: value for name, value in chosen.items() if value is not None or NoneType not in types}
    if field.metadata.get("infinite"):
        chosen.pop("inf", None)
    return tuple(chosen.values())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_value_of_a_field_is_refused_in_one_line_that_names_it(kind):
    for name, value in wrong_values(kind):
        try:
            KINDS[kind](**{name: value})
        except InputError as error:
            message = str(error)
            assert "\n" not in message and message.encode() and len(message) < 400
            assert name in message.replace("-", "_").replace(" ", "_"), message
        else:
            pytest.fail(f"{name} = {str(value)[:40]!a} is taken")


def test_what_is_right_is_taken_as_it_is():
    assert METHODS["icot"](smoothing=math.inf).smoothing == math.inf
    assert GenerationOptions(temperature=1, top_p=1).top_p == 1
    assert TrainingOptions("cot", learning_rate=1, epochs=2).epochs == 2
    for make in KINDS.values():
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EncodingOptions(shape={"codebok_size": 4}), "shape 'codebok_size': a VQ-VAE has no such part"),
        (lambda: EncodingOptions(dtype="float16"), "--dtype 'float16': give float32 or bfloat16"),
        (lambda: EncodingOptions(valid_fraction=0.9), "--valid-fraction 0.9: give a share from 0 to 0.5"),
        (lambda: TrainingOptions("cot", save_dtype="float8"), "--save-dtype 'float8': give float32"),
        (lambda: TrainingOptions("cot", seed=2**32), "--seed 4294967296"),
        (lambda: GenerationOptions(seed=2**32), "--seed 4294967296"),
        (lambda: GenerationOptions(thoughts=10**9), "--thoughts 1000000000"),
        (lambda: GenerationOptions(temperature=1e-40), "--temperature 1e-40: give 0, that is greedy, or 1e-06"),
        (lambda: GenerationOptions(samples=10**8, temperature=1.0), "--samples 100000000"),
        (lambda: TrainingOptions("cot", workers=10**5), "--workers 100000: give a number from 0 to below 257"),
        (lambda: EncodingOptions(workers=10**5), "--workers 100000"),
        (lambda: VQVAETrainingOptions(workers=10**5), "--workers 100000"),
        (lambda: TrainingOptions("cot", lora_rank=10**6), "--lora-rank 1000000"),
        (lambda: TrainingOptions("cot", epochs=0.0), "--epochs 0.0"),
        (lambda: METHODS["pause"](count=10**9), "method option 'count': 1000000000 does not fit"),
        (lambda: METHODS["coconut"](stages=200, thoughts_per_step=100), "method option 'thoughts_per_step': 100"),
        (lambda: METHODS["assorted"](mix="paper", lengths=(-1,)), "method option 'lengths': (-1,) does not fit"),
        (lambda: ChunkVQVAEConfig(hidden_size=10**9), "--hidden-size 1000000000: give a number from 1 to below 65536"),
    ],
)
def test_a_value_of_its_type_that_nothing_can_be_done_with_is_refused(make, message):
    with pytest.raises(InputError) as caught:
        make()
    assert str(caught.value).startswith(message)


def commands():
    """Yield the words that call each command, and its options."""
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        if not isinstance(command, click.Group):
            yield (name,), command
            continue
        for inner in command.list_commands(click.Context(command)):
            yield (name, inner), command.get_command(click.Context(command), inner)


def calls(words, command):
    """Yield every option of a command that takes a number, with what is no number of it and a call with that."""
    given = [param for param in command.params if isinstance(param, click.Argument) and param.required]
    options = [param for param in command.params if isinstance(param, click.Option)]
    for option in options:
        if not isinstance(option.type, click.types.IntParamType | click.types.FloatParamType):
            continue
        call = [*words, *("nothing" for _ in given)]
        for other in options:
            if other is not option and (other.required or "--rows" in other.opts):
                call += [other.opts[0], "1" if isinstance(other.type, click.types.IntParamType) else "new"]
        for value in ("nan", "inf", "-1", "1e400", "9" * 40, "9" * 5000, "x", "", "\ud800"):
            yield option.opts[0], [*call, f"{option.opts[0]}={value}"]


@pytest.mark.parametrize(("words", "command"), [pytest.param(*found, id=" ".join(found[0])) for found in commands()])
def test_no_command_begins_with_a_number_that_is_none(tmp_path, monkeypatch, words, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nothing").write_text("")
    for option, call in calls(words, command):
        result = CliRunner().invoke(main, call)
        assert result.exit_code in (1, 2) and isinstance(result.exception, SystemExit), (call, result.exception)
        last = result.stderr.strip().splitlines()[-1]
        assert last.startswith("Error: ") and option in last, last[:300]
    assert [path.name for path in tmp_path.iterdir()] == ["nothing"]
