"""A training whose loss, gradients or weights are no numbers ends, and nothing is called finished."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from mixlm.errors import InputError
from mixlm.training.loss import MixedLoss
from mixlm.training.options import TrainingOptions
from mixlm.training.train import train
from tests.launching import launch
from tests.tiny_data import write_raw, write_scratch


OPTIONS = TrainingOptions("pause", learning_rate=1e-3, new_token_lr=1e-2, steps=4, batch_size=8, save_every=1)
OPTIONS = replace(OPTIONS, scheduler="constant_with_warmup")


@pytest.fixture
def refused(tmp_path: Path):
    """A function that trains and returns the line by which training ends."""

    def refuse(options: TrainingOptions = OPTIONS) -> str:
        with pytest.raises(InputError) as caught:
            train(write_raw(tmp_path), write_scratch(tmp_path), tmp_path / "run", options)
        assert {path.name for path in (tmp_path / "run").iterdir()} == {"checkpoints", "curve.jsonl"}
        return str(caught.value)

    return refuse


def spoil(monkeypatch: pytest.MonkeyPatch, call: int, value: float = math.nan, training: bool = True) -> None:
    """Let the loss of a batch, counted from one, be ``value`` in place of itself."""
    real, calls = MixedLoss.__call__, []

    def spoiled(loss, logits, labels, trains, *rest):
        calls.extend([None] * (trains is training))
        result = real(loss, logits, labels, trains, *rest)
        return result * value if trains is training and len(calls) == call else result

    monkeypatch.setattr(MixedLoss, "__call__", spoiled)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_run_before_the_step(refused, monkeypatch, tmp_path: Path, value: float):
    spoil(monkeypatch, 3, value)
    line = refused()
    assert line == (
        f"step 3: the loss is {value}, at learning rates 0.001 and 0.01. The training ends unfinished; start it anew, "
        "in another --out, with a lower --learning-rate or --new-token-lr, more --warmup-steps; "
        "the same command would go on from checkpoint-2 and end here again"
    )


def test_a_run_goes_on_from_the_checkpoint_before_where_the_loss_is_a_number_again(refused, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        spoil(patch, 3)
        refused()
    raw, scratch = tmp_path / "raw.jsonl", tmp_path / "model.yaml"
    train(raw, scratch, tmp_path / "run", OPTIONS)
    train(raw, scratch, tmp_path / "straight", OPTIONS)
    ends = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("run", "straight")]
    assert ends[0] == ends[1]


def test_one_of_the_batches_of_a_step_is_enough(refused, monkeypatch) -> None:
    spoil(monkeypatch, 3)
    assert refused(replace(OPTIONS, micro_batch_size=4)).startswith("step 2: the loss is nan")


def test_rates_that_overflow_weights_are_found_before_anything_is_saved(refused, tmp_path: Path) -> None:
    line = refused(replace(OPTIONS, learning_rate=1e29, weight_decay=1e29, steps=1, bf16=True, max_grad_norm=0.0))
    assert line.startswith("step 1: model.embed_tokens.weight holds NaN or infinity, at learning rates")
    assert line.endswith("more --warmup-steps, --max-grad-norm 1, or without --bf16")
    assert not list((tmp_path / "run" / "checkpoints").glob("checkpoint-*"))


def test_a_held_out_loss_that_is_no_number_ends_the_run(refused, monkeypatch, tmp_path: Path) -> None:
    spoil(monkeypatch, 1, training=False)
    valid = tmp_path / "valid.jsonl"
    valid.write_text(write_raw(tmp_path, 8).read_text())
    assert refused(replace(OPTIONS, valid=str(valid), eval_every=2)).startswith("step 2: the eval_loss is nan")


TWO = """
import os, sys
from pathlib import Path
import pytest
from mixlm.errors import InputError
from mixlm.training.train import train
from tests.mixlm.training.test_no_number import OPTIONS, spoil

if os.environ["RANK"] == "1":
    spoil(pytest.MonkeyPatch(), 3)
try:
    train(sys.argv[1], sys.argv[2], sys.argv[3], OPTIONS)
except InputError as error:
    Path(sys.argv[3], "rank-" + os.environ["RANK"]).write_text(str(error))
"""


def test_all_processes_end_where_the_loss_of_one_is_no_number(tmp_path: Path, warm: str) -> None:
    out = tmp_path / "run"
    launch(warm, tmp_path, TWO, [str(write_raw(tmp_path)), str(write_scratch(tmp_path)), str(out)])
    first, second = (Path(out, f"rank-{rank}").read_text() for rank in (0, 1))
    assert first.startswith("step 3: the norm of gradients is nan") and second.startswith("step 3: the loss is nan")
