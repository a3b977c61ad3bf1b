"""The schedule of a method in the course of training: epochs, stages, a fresh optimizer where one is due."""

from typing import Any

from torch.optim import Optimizer
from transformers import TrainerCallback, TrainerState, TrainingArguments

from mixlm.methods.base import Progress
from mixlm.run import Run
from mixlm.training.rows.mixed_dataset import MeasuredDataset, MixedDataset


class Schedule(TrainerCallback):
    """Keeps training set, validation set and run at the place in the schedule that the trainer has reached.

    Everything follows from the number of steps taken, so a resumed run does the same as an uninterrupted one.

    Args:
        data: Training set; neither the trainer nor accelerate tells it reliably which epoch begins.
        valid: Validation set, if any.
        run: Notes the last step, which decides what the model is given at inference.
    """

    def __init__(self, data: MixedDataset, valid: MeasuredDataset | None, run: Run) -> None:
        self.data, self.valid, self.run, self.method = data, valid, run, data.method
        self.run.steps_per_epoch = data.steps_per_epoch

    @property
    def end(self) -> int:
        """The step at which the last stage begins; 0 for a method without a schedule."""
        return self.method.schedule_end(self.data.steps_per_epoch)

    @property
    def stage(self) -> int | None:
        """The stage of the last step; None for a method without a schedule."""
        return self.method.stage(self.run.progress) if self.end else None

    def follow(self, steps: int) -> None:
        """Take notice that ``steps`` steps have been taken."""
        self.run.step = max(steps - 1, 0)
        if self.valid is not None:
            self.valid.hold(self.run.step)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *rest: Any, **more: Any) -> None:
        """Take up a resumed run where it stopped."""
        self.follow(state.global_step)

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, *rest: Any, **more: Any) -> None:
        """Set the epoch by the steps taken, which a resumed run knows exactly."""
        self.data.set_epoch(state.global_step // self.data.steps_per_epoch)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, *rest: Any, optimizer: Optimizer | None = None, **more: Any
    ) -> None:
        """Start the optimizer anew if the method wants it: without state it is as new; its rates go on."""
        before, now = (
            Progress(step, self.data.steps_per_epoch) for step in (state.global_step - 1, state.global_step)
        )
        if before.step >= 0 and self.method.optimizer_period(before) != self.method.optimizer_period(now):
            getattr(optimizer, "optimizer", optimizer).state.clear()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, *rest: Any, **more: Any) -> None:
        """Take notice of the step."""
        self.follow(state.global_step)
