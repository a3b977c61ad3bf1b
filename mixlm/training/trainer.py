"""The trainer of stage 2: transformers' own, with our order, our loss and a rate for new rows."""

import os
from collections.abc import Callable
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import TrainingArguments
from transformers.trainer_utils import EvalLoopOutput

from mixlm.model.abilities import bare
from mixlm.model.forward import scored_batch, scored_places
from mixlm.model.special_tokens import IGNORED
from mixlm.model.thoughts.stop import STOP
from mixlm.processes import Processes
from mixlm.training.loss import MixedLoss, exact_type
from mixlm.training.new_rows import NewRows, learn_apart
from mixlm.training.options import TrainingOptions
from mixlm.training.rows.mixed_dataset import EpochSampler, MixedDataset
from mixlm.training.schedule import Schedule
from vqvae.options import SaveEvery
from vqvae.training.trainer_base import QuietTrainer, base_arguments


if TYPE_CHECKING:
    from transformers import PreTrainedModel


Outputs = dict[str, torch.Tensor]  # of ``scored_batch``
STOP_RATE = 1e-2  # least rate of the classifier: nothing but itself depends on it, and it starts from nothing


def trainer_arguments(path: Path, steps_per_epoch: int, options: TrainingOptions) -> TrainingArguments:
    """Translate our options into those of transformers' trainer."""
    if options.report_to == "tensorboard":
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(path / "logs")
    steps = options.total_steps(steps_per_epoch)
    return base_arguments(
        path,
        steps,
        options.batch_size,
        options.micro_batch_size,
        SaveEvery.read(options.save_every).steps or (options.eval_every if options.select != "last" else 0),
        learning_rate=options.learning_rate,
        lr_scheduler_type=options.scheduler,
        lr_scheduler_kwargs=_decay(steps, options),
        warmup_steps=options.warmup_steps,
        weight_decay=options.weight_decay,
        adam_beta2=options.adam_beta2,
        max_grad_norm=options.max_grad_norm,
        bf16=options.bf16,
        seed=options.seed,
        dataloader_num_workers=options.workers,
        ddp_find_unused_parameters=False,  # all is used; a search would not find a classifier of thoughts to be
        logging_steps=options.log_every,
        eval_strategy="steps" if options.eval_every else "no",
        eval_steps=options.eval_every or None,
        load_best_model_at_end=options.select != "last",
        metric_for_best_model=None if options.select == "last" else f"eval_{options.select}",
        greater_is_better=options.select == "accuracy" if options.select != "last" else None,
        report_to=options.report_to,
        label_names=["labels"],
        prediction_loss_only=True,
    )


def _decay(steps: int, options: TrainingOptions) -> dict[str, int] | None:
    """Return over how many of the last steps a rate falls that stays until then: a fifth, none of warming up."""
    if options.scheduler != "warmup_stable_decay":
        return None
    return {"num_decay_steps": max(min(steps // 5, steps - options.warmup_steps), 1)}


class MixedTrainer(QuietTrainer):
    """Trains a causal LM on a ``MixedDataset``.

    Args:
        schedule: The method's schedule, with the training set, the validation set if there is one, and the run.
        new_rows: The rows of tokens that are new to the model.
        measure: Called at every evaluation with the model, and the processes that hold a whole one each and so can
            share the work; its figures join the evaluation's.
        settings: Further arguments of ``QuietTrainer``: ``model``, a causal LM that has the method's tokens, plain or
            wrapped by PEFT; ``args``; ``data_collator``; ``pace``; ``advance``;
            ``say``.
    """

    def __init__(
        self,
        schedule: Schedule,
        new_rows: NewRows,
        measure: Callable[["PreTrainedModel", Processes], dict[str, float]] | None = None,
        **settings: Any,
    ) -> None:
        self.schedule, self.new_rows, self.measure = schedule, new_rows, measure
        self.mixed_loss = MixedLoss(schedule.run.ids)
        self.stop_losses = 0.0  # of the classifier, in an evaluation
        super().__init__(
            train_dataset=schedule.data,
            eval_dataset=schedule.valid,
            compute_loss_func=self._loss_of,
            callbacks=[schedule],
            **settings,
        )
        # The loss is divided by the labels of the whole step, whatever the model's own forward accepts.
        self.model_accepts_loss_kwargs = False
        if schedule.valid is not None and self.args.world_size > 1:
            schedule.valid.fill_up(self.args.per_device_eval_batch_size * self.args.world_size)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor | tuple[torch.Tensor, Outputs]:
        """Compute the loss of a batch, in several passes where it holds continuous thoughts."""
        head, places = getattr(bare(model), STOP, None), scored_places(inputs["labels"])
        return super().compute_loss(partial(scored_batch, model, places, head), inputs, *args, **kwargs)

    def _loss_of(
        self, outputs: Outputs, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        training = self.model.training
        count = num_items_in_batch if training else None
        loss = self.mixed_loss(outputs["logits"], labels, training, count)
        if "stop_loss" in outputs:  # one more decision for each thought, on the scale of the labels
            labelled = (labels != IGNORED).sum().clamp(min=1) if count is None else count
            loss = loss + outputs["stop_loss"] / labelled
            if not training:
                self.stop_losses += outputs["stop_loss"].detach()
        return loss

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Evaluate; the loss is the mean over all labels, however rows fall into batches and to processes."""
        output = super().evaluation_loop(*args, **kwargs)
        loss, parts = self.mixed_loss.sums[False].mean_and_parts(self.args.device, self.stop_losses, self.accelerator)
        self.stop_losses = 0.0
        loss = loss if isfinite(output.metrics["eval_loss"]) else output.metrics["eval_loss"]
        output.metrics.update({"eval_loss": loss, **{f"eval_{name}": value for name, value in parts.items()}})
        return output

    def _get_train_sampler(self, train_dataset: MixedDataset | None = None) -> EpochSampler:
        return EpochSampler(self.train_dataset)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Make the optimizer, with a rate of their own for the new rows."""
        optimizer = super().create_optimizer() if model is None else super().create_optimizer(model)
        classifier = [value for name, value in self.model.named_parameters() if name.startswith(f"{STOP}.")]
        learn_apart(optimizer, classifier, max(self.new_rows.rate, STOP_RATE))
        self.new_rows.give_own_rate(optimizer)
        return optimizer

    def remedies(self) -> list[str]:
        """Return what to train with if numbers have ended."""
        rates = "--learning-rate or --new-token-lr" if self.new_rows.ids else "--learning-rate"
        bounded = 0 < self.args.max_grad_norm <= 1
        return [f"a lower {rates}", "more --warmup-steps", *["--max-grad-norm 1"] * (not bounded)]

    def rates(self) -> set[float]:
        """Return the learning rates of the step, that of the new rows among them."""
        rates = super().rates()
        if not self.new_rows.ids:
            return rates
        group = self.optimizer.param_groups[0]
        return rates | {self.new_rows.rate * group["lr"] / group["initial_lr"]}

    def sums_so_far(self) -> torch.Tensor:
        """Return the sums of the losses of latents and text, too."""
        return torch.cat([super().sums_so_far(), self.mixed_loss.sums[True].so_far(self.args.device)])

    def take_sums(self, sums: torch.Tensor) -> None:
        """Go on with such sums."""
        super().take_sums(sums)
        self.mixed_loss.sums[True].values = sums[1:].to(self.args.device, exact_type(self.args.device))

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add to a log line the losses of latents and text, and how far the new rows have come."""
        training = "loss" in logs
        if training:
            logs |= self.mixed_loss.sums[True].figures(self.accelerator)
        if training and self.new_rows.ids:
            logs["new_row_distance"] = self.new_rows.distance()
        if training and self.schedule.stage is not None:
            logs["stage"] = float(self.schedule.stage)
        super().log(logs, *args, **kwargs)

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Choose among checkpoints of the last stage alone: an earlier one that still writes text is no candidate.

        Nor is one that an interruption or the clock has asked for: without it another model would have been chosen.
        """
        step, last = self.state.global_step, self.state.max_steps
        if step <= self.schedule.end or (step % self.args.save_steps and step < last):
            return False
        return super()._determine_best_metric(metrics, trial)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate, with the figures of ``measure`` beside the loss."""
        metrics = super().evaluate(*args, **kwargs)
        if self.measure is not None:
            whole = Processes() if self.is_fsdp_enabled else Processes.current()
            figures = {f"eval_{name}": value for name, value in self.measure(self.model, whole).items()}
            self.log(dict(figures))
            metrics |= figures
        return metrics
