import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerState

from tests.interruption import Interrupted, interrupt_at
from tests.vqvae_rows import random_rows, tiny_config
from vqvae import VQVAETrainingOptions
from vqvae.errors import InputError
from vqvae.options import SaveEvery
from vqvae.stopping import Stop, Stopped
from vqvae.training.checkpoints import CheckpointCallback, last_checkpoint
from vqvae.training.curve import read_curve


OPTIONS = VQVAETrainingOptions(steps=6, batch_size=4, learning_rate=1e-2, save_every=2)


def trained(out: Path, options: VQVAETrainingOptions = OPTIONS, advance=None, say=lambda line: None) -> dict:
    from vqvae import Stage1Training

    return Stage1Training(random_rows(20), tiny_config(), out, options).train(advance, say=say).state_dict()


def same(one: dict, other: dict) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(
    ("value", "meant"),
    [(5, SaveEvery(steps=5)), ("500", SaveEvery(steps=500)), ("2m", SaveEvery(seconds=120.0))]
    + [("0.5m", SaveEvery(seconds=30.0)), ("none", SaveEvery()), (0, SaveEvery()), ("0", SaveEvery())],
)
def test_how_often_is_told_in_steps_or_minutes(value: int | str, meant: SaveEvery) -> None:
    assert SaveEvery.read(value) == meant and meant.any is (meant != SaveEvery())


@pytest.mark.parametrize("value", [-1, "-1", "often", "2 m", "1e3", "0m", "nanm", "infm", "2h", True, 1.5, "", "٣"])
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="--save-every .*give a number of steps, minutes as in 2m, or none"):
        SaveEvery.read(value)


class Told:
    """A training that only tells the time: a step a second, but for what writing takes."""

    def __init__(self, pace: SaveEvery, writing: float, steps: int = 1000, seconds: float = 1.0) -> None:
        self.now = 0.0
        keeping = CheckpointCallback(pace, lambda: self.now)
        args = SimpleNamespace(device="cpu", load_best_model_at_end=False, output_dir=".")
        vars(args).update(save_steps=500, logging_steps=500, eval_steps=None)
        state, self.kept = TrainerState(max_steps=steps), []
        keeping.on_train_begin(args, state)
        for state.global_step in range(1, steps + 1):
            self.now += seconds
            control = SimpleNamespace(should_save=False, should_training_stop=False)
            keeping.on_step_end(args, state, control)
            if control.should_save:
                self.kept.append(self.now)
                self.now += writing
                keeping.writing = writing
                keeping.on_save()
        self.lost = [after - before for before, after in zip([0.0, *self.kept], [*self.kept, self.now], strict=True)]


@pytest.mark.parametrize(
    ("writing", "seconds", "most"),
    [(0.0, 1.0, 120), (5.0, 1.0, 120), (30.0, 1.0, 300), (1.0, 500.0, 501), (60.0, 100.0, 600)],
)
def test_a_kill_costs_two_minutes_or_a_step_or_ten_times_the_writing(
    writing: float, seconds: float, most: float
) -> None:
    """It costs the steps since the last whole checkpoint, and the writing of one that was not whole yet."""
    told = Told(SaveEvery.read("2m"), writing, 2000, seconds)
    assert max(told.lost[1:]) <= most + 1e-9 and told.lost[0] <= max(120, seconds)
    assert len(told.lost) >= 4
    if seconds <= 60:  # else a step alone is longer than the pace
        assert min(told.lost[1:-1]) >= 0.5 * max(120, 10 * writing)


def test_without_a_pace_nothing_is_kept_and_an_end_is_an_end() -> None:
    assert Told(SaveEvery(), 1.0).kept == []
    keeping, control = CheckpointCallback(SaveEvery()), SimpleNamespace(should_save=False, should_training_stop=False)
    keeping.stop = Stop()
    keeping.stop.signum = signal.SIGINT
    state = SimpleNamespace(global_step=1, max_steps=2)
    keeping.on_step_end(SimpleNamespace(device="cpu"), state, control)
    assert (control.should_save, control.should_training_stop, keeping.ended) == (False, True, True)


@pytest.mark.usefixtures("hangups_end")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_training_that_is_asked_to_end_keeps_its_step_and_goes_on_from_there(tmp_path: Path, signum: int) -> None:
    def ask(now: int, *rest: object) -> None:
        if now == 3:
            os.kill(os.getpid(), signum)

    options, none = (replace(OPTIONS, save_every=often) for often in ("2m", "none"))
    whole = trained(tmp_path / "whole", none)
    with pytest.raises(Stopped, match="interrupted after step 3 of 6, which is kept; the same command") as ended:
        trained(tmp_path / "out", options, ask)
    assert ended.value.status == 128 + signum
    assert last_checkpoint(tmp_path / "out" / "checkpoints").endswith("checkpoint-3")
    steps: list[int] = []
    assert same(whole, trained(tmp_path / "out", options, lambda now, *rest: steps.append(now)))
    assert steps == [4, 5, 6]


def test_a_disk_that_is_full_has_no_half_checkpoint_left_on_it(tmp_path: Path, monkeypatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr("vqvae.training.trainer_base.seal_checkpoint", full)
        with pytest.raises(InputError, match="No space left on device"):
            trained(tmp_path / "out")
    assert [*(tmp_path / "out" / "checkpoints").iterdir()] == []
    assert same(trained(tmp_path / "whole"), trained(tmp_path / "out"))


def test_a_training_that_goes_on_has_checkpoints_and_figures_as_often_as_is_asked_now(tmp_path: Path) -> None:
    state = TrainerState(max_steps=9, save_steps=500, logging_steps=100, eval_steps=7)
    now = SimpleNamespace(output_dir=str(tmp_path), save_steps=50, logging_steps=10, eval_steps=None)
    CheckpointCallback(SaveEvery()).on_train_begin(now, state)
    assert (state.save_steps, state.logging_steps, state.eval_steps) == (50, 10, 7)


def test_a_training_that_was_killed_after_its_last_step_takes_no_other(tmp_path: Path) -> None:
    """The last step has a checkpoint of its own where an evaluation chooses, or an earlier version trained."""
    whole = trained(tmp_path / "whole")
    with pytest.raises(Interrupted):
        trained(tmp_path / "out", replace(OPTIONS, steps=7, save_every=1), interrupt_at(7))
    kept = tmp_path / "out" / "checkpoints" / "checkpoint-6"
    state = json.loads((kept / "trainer_state.json").read_text())
    (kept / "trainer_state.json").write_text(json.dumps({**state, "max_steps": 6}))
    (kept / "checksums.json").unlink()
    before = torch.load(kept / "optimizer.pt", weights_only=True)["state"][0]["step"]
    weights = load_file(kept / "model.safetensors")
    steps: list[int] = []
    after = trained(tmp_path / "out", OPTIONS, lambda now, *rest: steps.append(now))
    assert steps == [] and before == 6 and after.keys() == whole.keys()
    assert all(torch.equal(after[name], value) for name, value in weights.items())


@pytest.mark.parametrize("change", ["flipped", "cut", "missing", "state"])
def test_a_damaged_checkpoint_is_told_and_passed_over(tmp_path: Path, change: str) -> None:
    whole = trained(tmp_path / "whole")
    with pytest.raises(Interrupted):
        trained(tmp_path / "out", advance=interrupt_at(6))
    folder, said = tmp_path / "out" / "checkpoints", []
    damaged = folder / "checkpoint-4" / ("trainer_state.json" if change == "state" else "optimizer.pt")
    content = damaged.read_bytes()
    flipped = content[:99] + bytes([content[99] ^ 1]) + content[100:]
    damaged.unlink()
    if change != "missing":
        damaged.write_bytes(flipped if change == "flipped" else content[:100])
    assert last_checkpoint(folder, said.append) is None
    assert said == [f"warning: {damaged} is damaged, so checkpoint-4 is passed over"]
    with pytest.raises(Interrupted):
        trained(tmp_path / "out", advance=interrupt_at(3))
    assert [path.name for path in folder.glob("checkpoint-*")] == ["checkpoint-2"]  # not the damaged one in its place
    assert last_checkpoint(folder) == str(folder / "checkpoint-2")
    assert same(whole, trained(tmp_path / "out", say=said.append))


def test_the_size_of_a_checkpoint_is_told_before_the_first(tmp_path: Path) -> None:
    said: list[str] = []
    trained(tmp_path / "out", say=said.append)
    assert len(said) == 1 and said[0].startswith("checkpoints: about ") and "every 2 steps, at most two" in said[0]
    trained(tmp_path / "other", replace(OPTIONS, save_every="2m"), say=said.append)
    assert len(said) == 1  # it needed none


@pytest.mark.parametrize(("often", "kept"), [(2, ["checkpoint-6"]), (9, [])])
def test_a_training_that_was_kept_before_keeps_its_last_step_for_what_follows(tmp_path, often, kept) -> None:
    """Also where it was kept before an interruption alone."""
    options = replace(OPTIONS, save_every=often)
    if kept:
        with pytest.raises(Interrupted):
            trained(tmp_path / "out", options, interrupt_at(3))
        options = replace(options, save_every="2m")
    trained(tmp_path / "out", options)
    assert [path.name for path in (tmp_path / "out" / "checkpoints").glob("checkpoint-*")] == kept


def test_the_curve_goes_on_across_interruptions(tmp_path: Path) -> None:
    options = replace(OPTIONS, steps=120, save_every=40)
    with pytest.raises(Interrupted):
        trained(tmp_path / "out", options, interrupt_at(110))
    cut = read_curve(tmp_path / "out" / "curve.jsonl")
    with (tmp_path / "out" / "curve.jsonl").open("a") as file:
        file.write('{"step": 105, "loss": 1.0}\n\0\0\0\n[1]\n{"step": 1')
    trained(tmp_path / "out", options)
    curve = read_curve(tmp_path / "out" / "curve.jsonl")
    assert [line["step"] for line in cut] == [50, 100] and [line["step"] for line in curve] == [50, 100]
    assert curve[0] == cut[0] and curve[1]["seconds"] > curve[0]["seconds"] > 0
    assert {"loss", "learning_rate", "tokens_per_second", "reconstruction"} <= curve[1].keys()
    assert curve[1]["loss"] == cut[1]["loss"]  # of the 50 steps, of which 20 were made again
