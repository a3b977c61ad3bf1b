"""What the trainers of both stages share."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from vqvae.advance import Advance
from vqvae.atomic_files import draft_of, remove, settle
from vqvae.errors import InputError, launched
from vqvae.finite import not_a_number
from vqvae.options import SaveEvery
from vqvae.stopping import stop_when_asked
from vqvae.training.checkpoints import (
    CHECKPOINTS,
    MOST_KEPT,
    CheckpointCallback,
    fault_in,
    keep_only,
    last_checkpoint,
    name_best,
    only_numbers,
    readable_size,
    seal_checkpoint,
    written,
)
from vqvae.training.curve import CURVE, AdvanceCallback, Curve, OpenLine
from vqvae.training.exact_checkpoints import ExactCheckpoints
from vqvae.training.workers import undisturbed


def base_arguments(
    out: Path, steps: int, batch_size: int, micro_batch_size: int = 0, save_steps: int = 0, **own: Any
) -> TrainingArguments:
    """Return the arguments of transformers' trainer, of which ``batch_size`` samples make up a step, always.

    Args:
        out: Folder of the model; checkpoints go below it.
        steps: Optimizer steps.
        batch_size: Samples of one of them, over all processes.
        micro_batch_size: Samples of one forward pass in one process; 0: all that fall to it.
        save_steps: Steps between checkpoints; 0: there are none, or time tells.
        own: What a stage adds, by transformers' names.

    Raises:
        InputError: If the processes cannot share a batch.
    """
    world = launched("WORLD_SIZE", 1, least=1)
    together = world * (micro_batch_size or 1)
    if batch_size % together:
        near = [str(count * together) for count in (batch_size // together, batch_size // together + 1) if count]
        shared = f"{world} processes" + (f" x {micro_batch_size} samples" if micro_batch_size else "")
        raise InputError(f"--batch-size {batch_size} is no multiple of {shared}; give {' or '.join(near)}")
    micro = micro_batch_size or batch_size // world
    arguments = TrainingArguments(
        output_dir=str(out / CHECKPOINTS),
        max_steps=steps,
        per_device_train_batch_size=micro,
        per_device_eval_batch_size=micro,
        gradient_accumulation_steps=batch_size // (micro * world),
        dataloader_pin_memory=torch.cuda.is_available(),
        use_cpu=not torch.accelerator.is_available(),  # several processes without it would not find each other
        save_strategy="steps" if save_steps else "no",
        save_steps=save_steps or 500,
        remove_unused_columns=False,
        disable_tqdm=True,
        logging_nan_inf_filter=False,  # it puts the mean of earlier losses in place of one that is no number
        **own,
    )
    # In one process with many GPUs the trainer would take that many batches for a step, and split each by rows.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


NO_CHECKPOINTS = SaveEvery()


class QuietTrainer(ExactCheckpoints):
    """transformers' trainer, which prints nothing, keeps its work, and ends where numbers end.

    It says by a function how far it is, and keeps its curve in a file beside its checkpoints' folder. Checkpoints are
    there once they are whole and on disk. Asked to end (Ctrl-C, SIGTERM, SIGHUP), it writes one more after the step.

    A loss, a norm of gradients or a weight that is NaN or infinite raises an ``InputError``: before the step that
    would spread it to the weights, and before a checkpoint or a model is written that holds it. The norm is the same
    in all processes, so all of them end.

    Args:
        pace: How often checkpoints are written.
        advance: Called with (step, total steps, latest figures) after every step, in the main process; None: nothing
            is called.
        say: Called with a line whenever the user should know something, in the main process.
        callbacks: Others, called before it.
        settings: Arguments of transformers' trainer.
    """

    def __init__(
        self,
        *,
        pace: SaveEvery = NO_CHECKPOINTS,
        advance: Advance | None,
        say: Callable[[str], None] = lambda line: None,
        callbacks: Sequence[TrainerCallback] = (),
        **settings: Any,
    ) -> None:
        self.keeping, self.say = CheckpointCallback(pace, say=say), say
        self.folder = Path(settings["args"].output_dir)
        self.curve, self.line = Curve(self.folder.parent / CURVE), OpenLine(self)
        own = [AdvanceCallback(advance), self.curve, self.line, self.keeping]
        super().__init__(callbacks=[*callbacks, *own], **settings)
        self.remove_callback(PrinterCallback)
        self.losses: list[torch.Tensor] = []  # of the step that is being made
        self.tokens, self.logged, self.drafted, self.told = 0, time.monotonic(), False, False

    def run(self, checkpoint: str | None) -> None:
        """Train to the end, from a checkpoint if there is one.

        Raises:
            Stopped: If an end was asked for; what was trained is kept.
            InputError: If numbers end, a checkpoint cannot be written, or holds more than numbers.
        """
        with stop_when_asked() as self.keeping.stop, only_numbers(checkpoint):
            self.train(resume_from_checkpoint=checkpoint)
        if self.keeping.ended:
            step, steps = self.state.global_step, self.state.max_steps
            kept = f"after step {step} of {steps}, which is kept" if self.keeping.pace.any else "and nothing was kept"
            raise self.keeping.stop.error(f"interrupted {kept}; the same command goes on from what is there")

    def _tell_checkpoints(self) -> None:
        """Say, before the first one, how large checkpoints are."""
        if not self.told and self.is_world_process_zero():
            pace, size = self.keeping.pace, readable_size(self.checkpoint_size())
            often = f"{pace.seconds / 60:g} minutes or so" if pace.seconds else f"{self.args.save_steps} steps"
            most = MOST_KEPT[self.args.load_best_model_at_end]
            self.say(f"checkpoints: about {size} each, every {often}, at most {most} at a time, until the end")
        self.told = True

    def checkpoint_size(self) -> int:
        """Return about how many bytes a checkpoint has: weights, and two moments of those that learn."""
        model = self.accelerator.unwrap_model(self.model)
        sizes = [(weight.numel() * weight.element_size(), weight.requires_grad) for weight in model.parameters()]
        learned = sum(size for size, learns in sizes if learns)
        return 2 * learned + (learned if hasattr(model, "peft_config") else sum(size for size, _ in sizes))

    def get_train_dataloader(self) -> DataLoader:
        """Return the batches to learn from."""
        return undisturbed(super().get_train_dataloader())

    def get_eval_dataloader(self, *args: Any, **kwargs: Any) -> DataLoader:
        """Return the batches to measure on."""
        return undisturbed(super().get_eval_dataloader(*args, **kwargs))

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list, torch.Tensor | int | None]:
        """Return the next batches; none after the last step, which a killed training may have kept."""
        return (
            super().get_batch_samples(*args, **kwargs) if self.state.global_step < self.state.max_steps else ([], None)
        )

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Keep the loss until the step is made: to look at it here would wait for the device more often."""
        self.tokens += self.count_tokens(args[1] if len(args) > 1 else kwargs["inputs"])
        loss = super().training_step(*args, **kwargs)
        self.losses.append(loss)
        return loss

    def count_tokens(self, inputs: dict[str, Any]) -> int:
        """Return how many tokens a batch has; padding that no mask tells counts."""
        mask = inputs.get("attention_mask")
        return inputs["input_ids"].numel() if mask is None else int(mask.sum())

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add to the line of a training step how many tokens there are a second, to the last one how many seconds."""
        if "loss" in logs:
            now = time.monotonic()
            seconds = max(now - self.logged, 1e-9)
            logs["tokens_per_second"] = self.tokens * self.args.world_size / seconds
            self.tokens, self.logged = 0, now
        if "train_runtime" in logs:
            logs["train_runtime"] = self.curve.seconds()  # transformers knows those of this call alone
        super().log(logs, *args, **kwargs)

    def sums_so_far(self) -> torch.Tensor:
        """Return what this process sums up for the next line of figures, (sums,); a stage has more of them."""
        return self._tr_loss.detach()[None]

    def take_sums(self, sums: torch.Tensor) -> None:
        """Go on with such sums."""
        self._tr_loss = sums[0].to(self._tr_loss)

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
        """Save what training would go on from, if it can go on; it has its name once it is whole and on disk."""
        self.require_weights()
        self._tell_checkpoints()
        started = time.monotonic()
        path = self.folder / f"checkpoint-{self.state.global_step}"
        draft = draft_of(self.folder / "checkpoint")
        with self._drafted(draft), written(path):
            super()._save_checkpoint(*args, **kwargs)
            sums = self.accelerator.reduce(self.sums_so_far(), "mean")
            self.accelerator.wait_for_everyone()
            if self.is_world_process_zero():
                self.line.keep(draft / path.name, sums)
                self.curve.keep()  # a checkpoint that is there has the curve that led to it
                seal_checkpoint(draft / path.name)
                settle(draft / path.name, path)
        name_best(self.state, self.folder)
        if self.is_world_process_zero():
            keep_only(self.folder, str(path), self.state.best_model_checkpoint)
        self.keeping.writing = time.monotonic() - started

    def _load_best_model(self) -> None:
        """Load the best checkpoint, if it is whole."""
        best = Path(self.state.best_model_checkpoint)
        if fault := fault_in(best):
            raise InputError(
                f"{best / fault}: is damaged, and is of the best checkpoint; train anew, in another --out, or give "
                "the same command again for the model of the last step"
            )
        super()._load_best_model()

    @contextmanager
    def _drafted(self, draft: Path) -> Iterator[None]:
        """Let what is saved go to a draft, of which nothing is left if it cannot be finished: the disk may be full."""
        first = self.is_world_process_zero()
        if first:
            remove(draft)
        self.accelerator.wait_for_everyone()
        self.drafted = True
        try:
            yield
        finally:
            self.drafted = False
            if first:
                with suppress(OSError):
                    remove(draft)

    def _get_output_dir(self, *args: Any, **kwargs: Any) -> str:
        """Return the folder in which a checkpoint is written."""
        return str(draft_of(self.folder / "checkpoint")) if self.drafted else super()._get_output_dir(*args, **kwargs)

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
