import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerState

from mixlm.data.template import Template
from mixlm.generation.engine import Engine
from mixlm.methods import build_method
from mixlm.model.special_tokens import SpecialIds
from mixlm.run import Run, load_run
from mixlm.training.options import TrainingOptions
from mixlm.training.rows.mixed_dataset import MeasuredDataset, MixedDataset
from mixlm.training.schedule import Schedule
from mixlm.training.train import train
from mixlm.training.trainer import MixedTrainer
from tests.interruption import Interrupted, interrupt_at
from tests.tiny_data import raw_rows, write_raw, write_scratch


# Twelve rows are two steps of an epoch; the stages begin at steps 1, 3, 5 and 7.
STAGES = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4]
CURRICULUM = {"stages": 3, "first_epochs": 0.5, "epochs_per_stage": 1.0}
OPTIONS = TrainingOptions(
    "coconut-no-thought", CURRICULUM, learning_rate=1e-3, steps=10, batch_size=6, scheduler="constant_with_warmup"
)


@pytest.fixture
def start(tmp_path: Path) -> tuple[str, str, Path]:
    """What ``train`` takes before its options."""
    return str(write_raw(tmp_path, 12)), str(write_scratch(tmp_path)), tmp_path / "run"


def optimizer_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that receives, after every step, how many steps the optimizer says it has taken."""
    steps, follow = [], Schedule.on_step_end

    def note(self: Schedule, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
        follow(self, args, state, control, **kwargs)
        counts = {int(held["step"]) for held in optimizer.state.values()}
        assert len(counts) == 1
        steps.append(counts.pop())

    monkeypatch.setattr(Schedule, "on_step_end", note)
    return steps


@pytest.mark.parametrize(
    ("method", "options", "steps"),
    [
        ("coconut-no-thought", CURRICULUM, [1, 1, 2, 1, 2, 1, 2, 1, 2, 3]),
        ("coconut", CURRICULUM, [1, 1, 2, 1, 2, 1, 2, 1, 2, 3]),
        ("coconut-no-thought", {**CURRICULUM, "reset_optimizer": "epoch"}, [1, 2, 1, 2, 1, 2, 1, 2, 1, 2]),
        ("coconut-no-thought", {**CURRICULUM, "reset_optimizer": "none"}, list(range(1, 11))),
        ("icot", {"per_epoch": 0.5, "remove_all_beyond": 2}, [1, 2, 3, 4, 1, 2, 3, 4, 1, 2]),
        ("icot", {"per_epoch": 0.5, "reset_optimizer": False}, list(range(1, 11))),
        ("cot", {}, list(range(1, 11))),
    ],
)
def test_the_optimizer_starts_anew_exactly_where_it_should(
    method: str, options: dict, steps: list[int], start: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adam counts its steps from 1 again in the first step of a period, so its moments are those of that step."""
    seen = optimizer_steps(monkeypatch)
    train(*start, replace(OPTIONS, method=method, method_options=options))
    assert seen == steps


@pytest.mark.parametrize("stop", [4, 5])
def test_a_resumed_optimizer_starts_anew_at_the_same_places(
    stop: int, start: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint lies within a stage (4 steps taken), or where one begins (5)."""
    options = replace(OPTIONS, save_every=1)
    with pytest.raises(Interrupted):
        train(*start, options, advance=interrupt_at(stop + 1))
    seen = optimizer_steps(monkeypatch)
    train(*start, options)
    assert seen == [1, 1, 2, 1, 2, 1, 2, 1, 2, 3][stop:]


def test_accumulated_batches_do_not_start_it_anew(start: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = optimizer_steps(monkeypatch)
    train(*start, replace(OPTIONS, micro_batch_size=2))
    assert seen == [1, 1, 2, 1, 2, 1, 2, 1, 2, 3]


def test_sequences_are_those_of_the_stage_at_every_step(start: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the trainer reads for step k was made at stage k, across epochs and after a resume."""
    made: list[int] = []
    build = MixedDataset.__getitem__

    def note(self: MixedDataset, index: int) -> dict:
        made.append(self.method.stage(self.progress(index)))
        return build(self, index)

    monkeypatch.setattr(MixedDataset, "__getitem__", note)
    options = replace(OPTIONS, save_every=1)
    with pytest.raises(Interrupted):
        train(*start, options, advance=interrupt_at(6))
    before, made[:] = list(made), []
    train(*start, options)
    wanted = [stage for stage in STAGES for _ in range(6)]
    assert before == wanted[: len(before)] and len(before) >= 36
    # Within an epoch the trainer may read what came before again, and leaves it out.
    assert made[-24:] == wanted[-24:]


def held_out(start: tuple) -> str:
    """Write other rows than those that are learned from."""
    path = Path(start[0]).with_name("held-out.jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in raw_rows(12, seed=1)))
    return str(path)


def measured_stages(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that receives the stage of the validation rows at every evaluation."""
    stages, evaluate = [], MixedTrainer.evaluate

    def note(self: MixedTrainer, *args: Any, **kwargs: Any) -> dict:
        valid = self.eval_dataset
        stages.append(valid.method.stage(valid.progress(0)))
        return evaluate(self, *args, **kwargs)

    monkeypatch.setattr(MixedTrainer, "evaluate", note)
    return stages


def test_validation_rows_are_measured_in_the_form_of_the_last_step(
    start: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = measured_stages(monkeypatch)
    train(*start, replace(OPTIONS, eval_every=1, valid=held_out(start)))
    assert stages == STAGES


def test_the_form_of_a_validation_row_depends_on_the_step_alone() -> None:
    method = build_method("coconut-no-thought", CURRICULUM).bind(SpecialIds(eos=0))
    row = {"prompt_ids": [1], "trace_ids": [11, 12, 13], "step_lengths": [1, 1, 1], "solution_ids": [0]}
    valid = MeasuredDataset([row], method, steps_per_epoch=2)
    forms = []
    for step in (0, 1, 3, 5, 7, 0):
        valid.hold(step)
        forms.append(valid[0]["input_ids"])
    assert forms == [[1, 11, 12, 13, 0], [1, 12, 13, 0], [1, 13, 0], [1, 0], [1, 0], [1, 11, 12, 13, 0]]


@pytest.mark.parametrize(("steps", "stage"), [(1, 0), (2, 1), (6, 3), (10, 4)])
def test_a_run_knows_the_last_step_that_trained_it(steps: int, stage: int, start: tuple) -> None:
    train(*start, replace(OPTIONS, steps=steps))
    run = load_run(start[2])
    assert (run.step, run.steps_per_epoch) == (steps - 1, 2) and run.method.stage(run.progress) == stage


def score_evaluations(monkeypatch: pytest.MonkeyPatch, *accuracies: float) -> None:
    """Let the evaluations of a training find the given accuracies."""
    left = iter(accuracies)
    monkeypatch.setattr("mixlm.training.train.accuracy", lambda *args: next(left))


def test_the_most_accurate_checkpoint_of_the_last_stage_brings_its_step(
    start: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evaluations after steps 2, 4, ..; the last stage is trained from the eighth step on. That after 10 is kept."""
    score_evaluations(monkeypatch, 0.9, 0.9, 0.95, 0.1, 0.8, 0.5, 0.3)
    monkeypatch.setattr("mixlm.training.folder.RunFolder.tidy", lambda folder: None)
    train(*start, replace(OPTIONS, method="coconut", eval_every=2, select="accuracy", steps=14, valid=held_out(start)))
    run, best = load_run(start[2]), start[2] / "checkpoints" / "checkpoint-10"
    assert run.step == 9 and run.method.stage(run.progress) == 4
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (start[2], best))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    ids = run.ids
    assert run.prompt([5]) == [5, ids.bo_thought, *[ids.thought] * 6, ids.eo_thought]


def test_a_training_without_a_last_stage_keeps_its_last_step(start: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    """No checkpoint is a candidate, so weights and stage are those of the end."""
    score_evaluations(monkeypatch, 0.9, 0.5, 0.1)
    train(*start, replace(OPTIONS, eval_every=2, select="accuracy", steps=6, valid=held_out(start)))
    run = load_run(start[2])
    assert run.step == 5 and run.method.stage(run.progress) == 3


def test_without_a_schedule_every_checkpoint_is_a_candidate(start: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    score_evaluations(monkeypatch, 0.1, 0.9, 0.5)
    options = replace(OPTIONS, method="cot", method_options={}, eval_every=2, select="accuracy", steps=6)
    train(*start, replace(options, valid=held_out(start)))
    assert load_run(start[2]).step == 3


def test_accuracy_is_measured_with_the_prompt_of_the_stage(start: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def answer(engine: Engine, *args: Any) -> float:
        seen.append(engine.run.method.stage(engine.run.progress))
        return 0.5

    monkeypatch.setattr("mixlm.training.train.accuracy", answer)
    train(*start, replace(OPTIONS, eval_every=1, select="accuracy", valid=held_out(start)))
    assert seen == STAGES


def test_the_stage_is_logged_where_there_is_a_schedule(start: tuple) -> None:
    for method, stages in (("coconut-no-thought", STAGES), ("cot", [None] * 10)):
        seen: list[Any] = []
        out = start[2].with_name(method)
        options = replace(OPTIONS, method=method, method_options=CURRICULUM if method != "cot" else {}, log_every=1)
        train(*start[:2], out, options, advance=lambda *now, seen=seen: seen.append(now[2].get("stage")))
        assert seen == [None, *stages[:-1]]  # figures are those of the step before


def test_a_schedule_follows_steps_not_calls() -> None:
    run = Run(Path("run"), "icot", Template(), SpecialIds(eos=0))
    method = build_method("icot", {"per_epoch": 1.0}).bind(SpecialIds(eos=0)).restore({"longest": 5})
    row = {"prompt_ids": [1], "trace_ids": [11] * 5, "solution_ids": [0]}
    run.method_options, run.method_state = method.options(), {"longest": 5}
    schedule = Schedule(MixedDataset([row] * 4, method, batch_size=2), None, run)
    assert run.steps_per_epoch == 2
    for steps, stage in ((0, 0), (1, 0), (2, 0), (3, 1), (5, 2), (5, 2), (100, 5), (3, 1)):
        schedule.follow(steps)
        assert schedule.stage == stage and run.step == max(steps - 1, 0)


@pytest.mark.parametrize(("steps", "epoch"), [(0, 0), (1, 0), (2, 1), (5, 2)])
def test_the_epoch_follows_from_the_steps_taken(steps: int, epoch: int) -> None:
    """Whatever the trainer takes the epoch for; a run resumed within one knows it too."""
    method = build_method("cot", {}).bind(SpecialIds(eos=0))
    data = MixedDataset([{}] * 4, method, batch_size=2)
    data.set_epoch(7)
    schedule = Schedule(data, None, Run(Path("run"), "cot", Template(), SpecialIds(eos=0)))
    schedule.on_epoch_begin(None, TrainerState(global_step=steps), None)
    assert data.epoch == epoch
