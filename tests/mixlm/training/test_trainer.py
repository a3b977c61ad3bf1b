"""What we override of transformers' trainer, and what it is told."""

import inspect
import os
from pathlib import Path

import pytest
import torch
from transformers import Trainer

from mixlm.data.template import Template
from mixlm.errors import InputError
from mixlm.methods import build_method
from mixlm.model.collator import Collator
from mixlm.model.special_tokens import SpecialIds
from mixlm.run import Run
from mixlm.training.new_rows import NewRows
from mixlm.training.options import TrainingOptions
from mixlm.training.preflight import compiling
from mixlm.training.rows.mixed_dataset import EpochSampler, MixedDataset
from mixlm.training.schedule import Schedule
from mixlm.training.trainer import MixedTrainer, trainer_arguments
from tests.tiny_thoughts import random_lm


PLAIN = TrainingOptions("cot", batch_size=4)


def trainer(folder: Path, options: TrainingOptions = PLAIN) -> MixedTrainer:
    """A trainer on text: of each row one token is the prompt and one the solution."""
    special, model = SpecialIds(eos=0), random_lm("llama")
    method = build_method("cot", {}).bind(special)
    listed = [{"prompt_ids": [1 + row], "trace_ids": [], "solution_ids": [0]} for row in range(10)]
    data = MixedDataset(listed, method, options.batch_size)
    return MixedTrainer(
        Schedule(data, None, Run(folder, "cot", Template(), special)),
        NewRows(model, [], 1e-3),
        model=model,
        args=trainer_arguments(folder, data.steps_per_epoch, options),
        data_collator=Collator(),
        advance=None,
    )


def test_batches_come_in_the_order_of_the_data(tmp_path: Path) -> None:
    """The trainer asks ``_get_train_sampler`` for it, which is no public interface."""
    ours = trainer(tmp_path)
    read = [ids[0] - 1 for batch in ours.get_train_dataloader() for ids in batch["input_ids"].tolist()]
    assert read == list(EpochSampler(ours.train_dataset)) and len(read) == 8


def test_the_best_checkpoint_is_asked_for_by_the_name_that_we_override() -> None:
    """What comes of it is tested with the schedule of stages; this is no public interface either."""
    ours, theirs = MixedTrainer._determine_best_metric, Trainer._determine_best_metric
    assert (
        ours is not theirs and inspect.signature(ours).parameters.keys() == inspect.signature(theirs).parameters.keys()
    )
    assert "self._determine_best_metric(" in inspect.getsource(Trainer)


def test_a_failing_compiler_is_told_in_one_line() -> None:
    """torch has no public name for the error."""

    def compiler(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> None:
        raise RuntimeError("none found\nin any folder")

    told = r"^--compile: RuntimeError: none found; install a C\+\+ compiler, or leave it out$"
    with pytest.raises(InputError, match=told), compiling():
        torch.compile(torch.neg, backend=compiler)(torch.ones(1))


@pytest.mark.parametrize("tracker", ["none", "wandb"])
def test_the_folder_of_tensorboard_is_set_for_tensorboard_alone(
    tracker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    monkeypatch.setattr("mixlm.training.options.find_spec", lambda name: name)
    trainer_arguments(tmp_path, 2, TrainingOptions("cot", report_to=tracker))
    assert "TENSORBOARD_LOGGING_DIR" not in os.environ
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "elsewhere")
    trainer_arguments(tmp_path, 2, TrainingOptions("cot", report_to="tensorboard"))
    assert os.environ["TENSORBOARD_LOGGING_DIR"] == str(tmp_path / "logs")


@pytest.mark.parametrize(
    ("warmup", "expected"),
    [
        (2, [0, 0.5, 1, 1, 1, 1, 1, 1, 1, 0.5]),
        (9, [*(step / 9 for step in range(9)), 1]),  # a warm-up that leaves less than a fifth is not cut short
    ],
)
def test_a_rate_that_stays_falls_over_the_last_fifth(warmup: int, expected: list[float], tmp_path: Path) -> None:
    options = TrainingOptions(
        "cot", learning_rate=1.0, batch_size=4, steps=10, warmup_steps=warmup, scheduler="warmup_stable_decay"
    )
    ours = trainer(tmp_path, options=options)
    schedule = ours.create_scheduler(10, torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0))
    rates = []
    for _ in range(10):
        rates += schedule.get_last_lr()
        schedule.optimizer.step()
        schedule.step()
    assert rates == pytest.approx(expected)
