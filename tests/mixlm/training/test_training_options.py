from dataclasses import replace
from typing import Any

import pytest

from mixlm.data.template import Template
from mixlm.errors import InputError
from mixlm.training.options import TrainingOptions


PLAIN = TrainingOptions("cot")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("save_dtype", "float12", "--save-dtype 'float12': give float32 or bfloat16 or float16"),
        ("check", "fuzzy", "--check 'fuzzy': give exact or number or math or maze"),
        ("select", "best", "--select 'best': give last or loss or accuracy"),
        ("new_token_start", "zero", "--new-token-start 'zero': give mean or text or codes"),
        ("report_to", "paper", "--report-to 'paper': give none or tensorboard or trackio or wandb"),
        ("lora_rank", -1, "--lora-rank -1: give a whole number from 0 to below 4294967296"),
        ("batch_size", 0, "--batch-size 0: give a number from 1 up"),
        ("log_every", 0, "--log-every 0: give a number from 1 up"),
        ("seed", -1, "--seed -1: give a whole number from 0 to below 4294967296"),
        ("learning_rate", 0.0, "--learning-rate 0.0: give a rate above 0 and below 1e30"),
        ("new_token_lr", -1e-3, "--new-token-lr -0.001: give a number from 0 to below 1e+30"),
        ("learning_rate", float("inf"), "--learning-rate inf: give a number from 0 to below 1e+30"),
        ("seed", 2**32, "--seed 4294967296: give a whole number from 0 to below 4294967296"),
        ("adam_beta2", 1.5, "--adam-beta2 1.5: give a number from 0 to below 1"),
        ("max_grad_norm", float("nan"), "--max-grad-norm nan: give a number from 0 to below 1e+30"),
        ("max_grad_norm", -1.0, "--max-grad-norm -1.0: give a number from 0 to below 1e+30"),
        ("weight_decay", -1.0, "--weight-decay -1.0: give a number from 0 to below 1e+30"),
        (
            "scheduler",
            "bogus",
            "--scheduler 'bogus': give cosine or linear or constant_with_warmup or warmup_stable_decay",
        ),
        ("batch_size", 2.5, "--batch-size 2.5: give a whole number from 0 to below 4294967296"),
        ("batch_size", "5", "--batch-size '5': give a whole number from 0 to below 4294967296"),
        ("learning_rate", "1", "--learning-rate '1': give a number from 0 to below 1e+30"),
        ("template", None, "--template None: give a Template"),
        ("method_options", [], "--method-options []: give names with values"),
        ("epochs", float("nan"), "--epochs nan: give a number from 0 to below 1e+30"),
    ],
)
def test_a_wrong_value_is_refused_when_it_is_given(name: str, value: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        replace(PLAIN, **{name: value})
    assert str(error.value) == message


def test_a_whole_number_is_a_rate_too() -> None:
    assert replace(PLAIN, learning_rate=1, new_token_lr=2).new_token_lr == 2


@pytest.mark.parametrize(("eval_every", "save_every"), [(20, 30), (20, 10)])
def test_checkpoints_to_choose_among_are_evaluated(eval_every: int, save_every: int) -> None:
    message = f"--save-every {save_every} is no multiple of --eval-every {eval_every}, and --select loss chooses among"
    with pytest.raises(InputError, match=message):
        replace(PLAIN, select="loss", eval_every=eval_every, save_every=save_every)
    assert replace(PLAIN, eval_every=eval_every, save_every=save_every).select == "last"  # which needs none
    assert replace(PLAIN, select="loss", eval_every=20, save_every=40).save_every == 40


def test_a_check_that_is_not_installed_is_refused_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise InputError("no math-verify")

    monkeypatch.setattr("mixlm.evaluation.checks.require_math_verify", refuse)
    with pytest.raises(InputError, match="no math-verify"):
        replace(PLAIN, select="accuracy", eval_every=1, check="math")
    assert replace(PLAIN, check="math").check == "math"  # nothing is checked by it


def test_arguments_of_a_run_are_plain_values_beside_its_template() -> None:
    written = TrainingOptions("cot", {"a": 1}, Template(chat=True), valid="valid.jsonl").to_dict()
    assert "template" not in written
    assert {name: written[name] for name in ("method", "method_options", "valid", "seed")} == {
        "method": "cot",
        "method_options": {"a": 1},
        "valid": "valid.jsonl",
        "seed": 0,
    }


STARTS = [  # model, method, what is told, where latents start
    ("m.yaml", "assorted", None, "mean"),
    ("m", "assorted", None, "text"),
    ("m.gguf", "random-codes", None, "text"),
    ("m", "drop-prefix", None, "mean"),
    ("m", "cot", None, "mean"),
    ("m", "assorted", "mean", "mean"),
    ("m.yaml", "assorted", "codes", "codes"),
]


@pytest.mark.parametrize(("model", "method", "told", "wanted"), STARTS)
def test_latents_start_at_their_text_where_rows_mean_something(
    model: str, method: str, told: str, wanted: str
) -> None:
    options = TrainingOptions(method, new_token_start=told)
    assert options.for_model(model).new_token_start == wanted


@pytest.mark.parametrize(
    ("model", "lora_rank", "rate"), [("m.yaml", 0, 1e-3), ("m.yml", 4, 1e-3), ("m", 4, 1e-4), ("m", 0, 1e-5)]
)
def test_a_rate_that_nobody_gave_is_the_models(model: str, lora_rank: int, rate: float) -> None:
    options = TrainingOptions("cot", lora_rank=lora_rank)
    assert options.for_model(model) == replace(options, learning_rate=rate, new_token_start="mean")
    given = replace(options, learning_rate=0.5, new_token_start="mean")
    assert given.for_model(model) == given


def test_new_rows_learn_at_least_at_a_thousandth() -> None:
    rates = [replace(PLAIN, learning_rate=rate).row_rate for rate in (None, 1e-5, 1e-2)]
    assert rates == [1e-3, 1e-3, 1e-2] and replace(PLAIN, new_token_lr=0.5).row_rate == 0.5
