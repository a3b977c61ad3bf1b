"""The trainer of stage 2: transformers' own, with our order, our loss and a rate for new rows."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from transformers import TrainingArguments

from mixlm.model.collator import Collator
from mixlm.model.forward import scored_batch, scored_places
from mixlm.model.lora import adapter_rows
from mixlm.model.special_tokens import IGNORED
from mixlm.model.stop import STOP
from mixlm.model.thoughts import bare
from mixlm.model.vocabulary import matrices
from mixlm.training.loss import MixedLoss
from mixlm.training.mixed_dataset import EpochSampler, MixedDataset
from mixlm.training.new_rows import NewRows, give_own_rate
from mixlm.training.schedule import Schedule
from vqvae.trainer_base import QuietTrainer, ReportProgress


STOP_RATE = 1e-2  # least rate of the classifier: nothing but itself depends on it, and it starts from nothing


class MixedTrainer(QuietTrainer):
    """Trains a causal LM on a ``MixedDataset``.

    Args:
        model: A causal LM that has the method's tokens, plain or wrapped by PEFT.
        args: Arguments of transformers' trainer.
        data: Training set.
        schedule: The method's schedule, with the validation set if there is one.
        collator: Lays batches out.
        loss: Loss of a batch.
        new_ids: Ids of the tokens that are new to the model.
        new_token_lr: Learning rate of their rows.
        measure: Called at every evaluation with the model; its figures join the evaluation's.
        progress: Called with (step, total steps, figures) after every step.
    """

    def __init__(
        self,
        model: Any,
        args: TrainingArguments,
        data: MixedDataset,
        schedule: Schedule,
        collator: Collator,
        loss: MixedLoss,
        new_ids: list[int],
        new_token_lr: float,
        measure: Callable[[Any], dict[str, float]] | None = None,
        progress: ReportProgress | None = None,
    ) -> None:
        self.mixed_loss, self.new_ids, self.new_token_lr, self.measure = loss, new_ids, new_token_lr, measure
        self.new_rows, self.schedule = NewRows(model, new_ids), schedule
        super().__init__(
            model=model,
            args=args,
            train_dataset=data,
            eval_dataset=schedule.valid,
            data_collator=collator,
            compute_loss_func=self._loss_of,
            callbacks=[schedule],
            progress=progress,
        )
        # The loss is divided by the labels of the whole step, whatever the model's own forward accepts.
        self.model_accepts_loss_kwargs = False

    def compute_loss(self, model: Any, inputs: dict[str, torch.Tensor], *args: Any, **kwargs: Any) -> Any:
        """Compute the loss of a batch, in several passes where it holds continuous thoughts."""
        head, places = getattr(bare(model), STOP, None), scored_places(inputs["labels"])
        return super().compute_loss(partial(scored_batch, model, places, head), inputs, *args, **kwargs)

    def _loss_of(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        training = self.model.training
        count = num_items_in_batch if training else None
        loss = self.mixed_loss(outputs["logits"], labels, training, count)
        if "stop_loss" in outputs:  # one more decision for each thought, on the scale of the labels
            labelled = (labels != IGNORED).sum().clamp(min=1) if count is None else count
            loss = loss + outputs["stop_loss"] / labelled
        return loss

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:
        return EpochSampler(self.train_dataset)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Make the optimizer, with a rate of their own for the new rows."""
        optimizer = super().create_optimizer() if model is None else super().create_optimizer(model)
        named = self.model.named_parameters()
        classifier = [value for name, value in named if name.startswith(f"{STOP}.")]
        self._give_group(optimizer, classifier, max(self.new_token_lr, STOP_RATE))
        apart = adapter_rows(self.model)
        self._give_group(optimizer, apart, self.new_token_lr)
        if self.new_ids and not apart:
            ratio = self.new_token_lr / self.args.learning_rate
            give_own_rate(optimizer, lambda: matrices(self.model), self.new_ids, ratio)
        return optimizer

    def _give_group(self, optimizer: torch.optim.Optimizer, parameters: list[torch.Tensor], rate: float) -> None:
        """Move what is new and a parameter of its own into a group with a rate of its own."""
        if not parameters:
            return
        held = {id(parameter) for parameter in parameters}
        for group in optimizer.param_groups:
            group["params"] = [parameter for parameter in group["params"] if id(parameter) not in held]
        optimizer.add_param_group({"params": parameters, "lr": rate, "weight_decay": 0.0})

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add to a log line the losses of latents and text, and how far the new rows have come."""
        training = "loss" in logs
        if training or "eval_loss" in logs:
            parts = self.mixed_loss.sums[training].report(self.accelerator)
            logs |= {name if training else f"eval_{name}": value for name, value in parts.items()}
        if training and self.new_ids:
            logs["new_row_distance"] = self.new_rows.distance()
        if training and self.schedule.stage is not None:
            logs["stage"] = float(self.schedule.stage)
        super().log(logs, *args, **kwargs)

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Choose among checkpoints of the last stage alone: an earlier one that still writes text is no candidate."""
        if self.state.global_step <= self.schedule.end:
            return False
        return super()._determine_best_metric(metrics, trial)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate, with the figures of ``measure`` beside the loss."""
        metrics = super().evaluate(*args, **kwargs)
        if self.measure is not None:
            figures = {f"eval_{name}": value for name, value in self.measure(self.model).items()}
            self.log(dict(figures))
            metrics |= figures
        return metrics
