"""What the trainers of both stages share."""

import os
from collections.abc import Iterable, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from vqvae.advance import Advance
from vqvae.errors import InputError
from vqvae.finite import not_a_number


CHECKPOINTS = "checkpoints"  # folder, below that of the model
LAST_FILE = "trainer_state.json"  # transformers' trainer writes it after all others


def base_arguments(
    out: Path, steps: int, batch_size: int, micro_batch_size: int = 0, save_every: int = 0, **own: Any
) -> TrainingArguments:
    """Return the arguments of transformers' trainer, of which ``batch_size`` samples make up a step, always.

    Args:
        out: Folder of the model; checkpoints go below it.
        steps: Optimizer steps.
        batch_size: Samples of one of them, over all processes.
        micro_batch_size: Samples of one forward pass in one process; 0: all that fall to it.
        save_every: Steps between checkpoints; 0: none.
        own: What a stage adds, by transformers' names.

    Raises:
        InputError: If the processes cannot share a batch.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    micro = micro_batch_size or max(batch_size // world, 1)
    if batch_size % (micro * world):
        raise InputError(f"--batch-size {batch_size} is no multiple of {world} processes x {micro} samples")
    arguments = TrainingArguments(
        output_dir=str(out / CHECKPOINTS),
        max_steps=steps,
        per_device_train_batch_size=micro,
        per_device_eval_batch_size=micro,
        gradient_accumulation_steps=batch_size // (micro * world),
        dataloader_pin_memory=torch.cuda.is_available(),
        use_cpu=not torch.accelerator.is_available(),  # several processes without it would not find each other
        save_strategy="steps" if save_every else "no",
        save_steps=save_every or 500,
        remove_unused_columns=False,
        disable_tqdm=True,
        logging_nan_inf_filter=False,  # it puts the mean of earlier losses in place of one that is no number
        **own,
    )
    # In one process with many GPUs the trainer would take that many batches for a step, and split each by rows.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def last_checkpoint(folder: str | Path) -> str | None:
    """Return the latest checkpoint in ``folder`` that was written to its end, or None.

    A training that was interrupted while it saved leaves a checkpoint that cannot be loaded; the one before it is
    still there.
    """
    whole = [path.parent for path in Path(folder).glob(f"checkpoint-*/{LAST_FILE}")]
    return str(max(whole, key=lambda path: int(path.name.removeprefix("checkpoint-")))) if whole else None


class QuietTrainer(Trainer):
    """transformers' trainer, which prints nothing, says by a function how far it is, and ends where numbers end.

    A loss, a norm of gradients or a weight that is NaN or infinite raises an ``InputError``: before the step that
    would spread it to the weights, and before a checkpoint or a model is written that holds it. The norm is the same
    in all processes, so all of them end.

    Args:
        advance: Called with (step, total steps, latest figures) after every step, in the main process; None: nothing
            is called.
        callbacks: Others, called before it.
        settings: Arguments of transformers' trainer.
    """

    def __init__(self, *, advance: Advance | None, callbacks: Sequence[TrainerCallback] = (), **settings: Any) -> None:
        super().__init__(callbacks=[*callbacks, _AdvanceCallback(advance)], **settings)
        self.remove_callback(PrinterCallback)
        self.losses: list[torch.Tensor] = []  # of the step that is being made

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Keep the loss until the step is made: to look at it here would wait for the device more often."""
        loss = super().training_step(*args, **kwargs)
        self.losses.append(loss)
        return loss

    def _get_grad_norm(self, model: nn.Module, grad_norm: torch.Tensor | float | None = None) -> torch.Tensor | float:
        """Look at the norm of a step's gradients, and at its losses, before the optimizer does."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        loss, self.losses = float(torch.stack(self.losses).sum()), []
        scaled = self.accelerator.scaler is not None  # which leaves out a step whose gradients overflow
        self._require_number("loss", loss, self.state.global_step + 1)
        if not scaled:
            self._require_number("norm of gradients", float(norm), self.state.global_step + 1)
        return norm

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate; a loss on held-out rows that is no number is an error, too."""
        metrics = super().evaluate(*args, **kwargs)
        for name, value in metrics.items():
            if name.endswith("loss"):
                self._require_number(name, value, self.state.global_step)
        return metrics

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Save what training would go on from, if it can go on."""
        self.require_weights()
        super()._save_checkpoint(*args, **kwargs)

    def require_weights(self) -> None:
        """Raise an ``InputError`` if a weight of the model is no number."""
        broken = not_a_number(self.named_weights())
        if broken:
            self.end_at(self.state.global_step, f"{broken} holds NaN or infinity")

    def named_weights(self) -> Iterable[tuple[str, torch.Tensor]]:
        """Return what must be numbers for a model to be one."""
        return self.accelerator.unwrap_model(self.model).named_parameters()

    def _require_number(self, what: str, value: float, step: int) -> None:
        """Raise an ``InputError`` if a figure of a step is NaN or infinite."""
        if not isfinite(value):
            self.end_at(step, f"the {what} is {value}")

    def end_at(self, step: int, what: str) -> None:
        """Raise an ``InputError`` that says what happened at a step, and what to do."""
        remedies = ["with " + ", ".join(self.remedies()), *["without --bf16"] * self.args.bf16]
        folder = Path(self.args.output_dir)
        before = last_checkpoint(folder)
        again = f"; the same command would go on from {Path(before).name} and end here again" if before else ""
        rates = [f"{rate:.3g}" for rate in sorted(self.rates())]
        raise InputError(
            f"step {step}: {what}, at learning rate{'s' * (len(rates) > 1)} {' and '.join(rates)}. "
            f"The training ends unfinished; start it anew, in another --out, {', or '.join(remedies)}{again}"
        )

    def remedies(self) -> list[str]:
        """Return what to train with if numbers have ended."""
        return ["a lower --learning-rate"]

    def rates(self) -> set[float]:
        """Return the learning rates of the step."""
        return {group["lr"] for group in self.optimizer.param_groups}


class _AdvanceCallback(TrainerCallback):
    """Calls a function after every step."""

    def __init__(self, advance: Advance | None) -> None:
        self.advance, self.figures = advance, {}

    def on_log(self, *rest: Any, logs: dict[str, Any] | None = None, **more: Any) -> None:
        """Keep the latest figures."""
        self.figures = {name: value for name, value in (logs or {}).items() if isinstance(value, float)}

    def on_step_end(self, args: TrainingArguments, state: TrainerState, *rest: Any, **more: Any) -> None:
        """Tell of one step."""
        if self.advance is not None and state.is_world_process_zero:
            self.advance(state.global_step, state.max_steps, self.figures)
