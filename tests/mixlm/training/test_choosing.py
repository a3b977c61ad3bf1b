"""Choosing among checkpoints: which are candidates, what an interruption leaves, and what measuring leaves alone."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from mixlm.errors import InputError
from mixlm.training.options import TrainingOptions
from mixlm.training.train import train
from tests.mixlm.training.test_train import (
    OPTIONS,
    assert_same_weights,
    base_model,
    checkpoints_stay,
    encoded,
    scratch,
)
from tests.tiny_data import write_raw
from vqvae.stopping import Stopped
from vqvae.training.checkpoints import last_checkpoint
from vqvae.training.curve import CURVE, read_curve


__all__ = ["checkpoints_stay", "encoded", "scratch"]
CHOOSING = replace(OPTIONS, steps=8, eval_every=2, select="loss", learning_rate=0.5)  # such a rate makes things worse


@pytest.mark.usefixtures("checkpoints_stay")
def test_only_what_is_kept_can_be_chosen(
    encoded: Path, scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([4.0, 2.0, 1.0, 3.0])  # after 2, 4, 6, 8 steps, of which 4 and 8 have checkpoints
    monkeypatch.setattr("mixlm.training.loss.Sums.mean_and_parts", lambda *given: (next(losses), {}))
    run = tmp_path / "run"
    train(encoded, scratch, run, replace(CHOOSING, save_every=4))
    assert next(losses, None) is None
    assert sorted(path.name for path in run.glob("checkpoints/checkpoint-*")) == ["checkpoint-4", "checkpoint-8"]
    assert_same_weights(run, run / "checkpoints" / "checkpoint-4")


def test_an_interruption_keeps_its_step_beside_the_best(encoded: Path, scratch: Path, tmp_path: Path) -> None:
    def ask(now: int, *rest: object) -> None:
        if now == 5:
            os.kill(os.getpid(), signal.SIGINT)

    train(encoded, scratch, tmp_path / "whole", CHOOSING)
    with pytest.raises(Stopped, match="interrupted after step 5 of 8, which is kept"):
        train(encoded, scratch, tmp_path / "parts", CHOOSING, advance=ask)
    assert last_checkpoint(tmp_path / "parts" / "checkpoints").endswith("checkpoint-5")
    steps: list[int] = []
    train(encoded, scratch, tmp_path / "parts", CHOOSING, advance=lambda now, *rest: steps.append(now))
    assert steps == [6, 7, 8]
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


def losses_of(monkeypatch: pytest.MonkeyPatch, *losses: float) -> None:
    """Let evaluations find these losses, one after the other."""
    given = iter(losses)
    monkeypatch.setattr("mixlm.training.loss.Sums.mean_and_parts", lambda *rest: (next(given), {}))


def at_step(step: int, do):
    return lambda now, *rest: do() if now == step else None


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.usefixtures("checkpoints_stay")
def test_an_interruption_makes_no_step_a_candidate(encoded: Path, scratch: Path, tmp_path: Path, monkeypatch) -> None:
    losses_of(monkeypatch, 1.0, 2.0, 1.5, 3.0)  # after 2, 4, 6, 8 steps, of which 4 and 8 are to have checkpoints
    options, run = replace(CHOOSING, save_every=4), tmp_path / "run"
    with pytest.raises(Stopped, match="interrupted after step 2 of 8, which is kept"):
        train(encoded, scratch, run, options, advance=at_step(2, interrupt))
    train(encoded, scratch, run, options)
    assert_same_weights(run, run / "checkpoints" / "checkpoint-4")


@pytest.mark.usefixtures("checkpoints_stay")
@pytest.mark.parametrize("lost", [True, False])
def test_a_best_checkpoint_that_is_damaged_or_gone_is_told_and_not_taken(
    encoded: Path, scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    losses_of(monkeypatch, 1.0, 2.0, 4.0, 3.0)
    run, said = tmp_path / "run", []
    best = run / "checkpoints" / "checkpoint-2"
    with pytest.raises(Stopped, match="interrupted after step 5"):
        train(encoded, scratch, run, CHOOSING, advance=at_step(5, interrupt))
    damage(best, lost)
    train(encoded, scratch, run, CHOOSING, say=said.append)
    assert (
        f"warning: {best}, the best so far, is damaged or gone; the best of the evaluations to come is chosen" in said
    )
    assert_same_weights(run, run / "checkpoints" / "checkpoint-8")


def damage(checkpoint: Path, whole: bool = False) -> None:
    """Flip a bit of the weights, or remove a checkpoint altogether."""
    if whole:
        shutil.rmtree(checkpoint)
        return
    content = bytearray((checkpoint / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (checkpoint / "model.safetensors").write_bytes(content)


def test_a_best_checkpoint_that_is_damaged_meanwhile_is_not_taken_for_the_model(
    encoded: Path, scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses_of(monkeypatch, 1.0, 2.0, 4.0, 3.0)
    best = tmp_path / "run" / "checkpoints" / "checkpoint-2"
    with pytest.raises(InputError, match=r"checkpoint-2/model.safetensors: is damaged, and is of the best"):
        train(encoded, scratch, tmp_path / "run", CHOOSING, advance=at_step(7, lambda: damage(best)))
    assert not (tmp_path / "run" / "mixlm.json").exists()


def test_an_adapters_run_ends_as_the_model_does_though_accuracy_was_measured(encoded: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    base = base_model(tmp_path, encoded)
    options = replace(OPTIONS, lora_rank=2, steps=2)
    for name, select in (("plain", "last"), ("measured", "accuracy")):
        train(encoded, base, tmp_path / name, replace(options, eval_every=1, select=select))
    plain, measured = (
        json.loads((tmp_path / name / "generation_config.json").read_text()) for name in ("plain", "measured")
    )
    assert plain["eos_token_id"] is not None and measured == plain


def test_the_loss_on_held_out_rows_is_the_mean_over_labels_however_they_are_batched(
    scratch: Path, tmp_path: Path
) -> None:
    rows = [
        {"question": f"{a} ?", "steps": [f"{a} and 1", "so"] * (1 + 3 * (a % 3)), "answer": str(a)} for a in range(7)
    ]
    valid = tmp_path / "valid.jsonl"
    valid.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = TrainingOptions("cot", learning_rate=1e-3, steps=1, batch_size=8, eval_every=1, valid=str(valid))
    losses = []
    for size in (1, 2, 8):
        train(write_raw(tmp_path), scratch, tmp_path / str(size), replace(options, micro_batch_size=size))
        (line,) = (line for line in read_curve(tmp_path / str(size) / CURVE) if "eval_loss" in line)
        assert line["eval_loss"] == line["eval_text_loss"]
        losses.append(line["eval_loss"])
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)
