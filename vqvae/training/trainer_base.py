"""What the trainers of both stages share."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from vqvae.advance import Advance
from vqvae.errors import InputError


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
    """transformers' trainer, which prints nothing and says by a function how far it is.

    Args:
        advance: Called with (step, total steps, latest figures) after every step, in the main process; None: nothing
            is called.
        callbacks: Others, called before it.
        settings: Arguments of transformers' trainer.
    """

    def __init__(self, *, advance: Advance | None, callbacks: Sequence[TrainerCallback] = (), **settings: Any) -> None:
        super().__init__(callbacks=[*callbacks, _AdvanceCallback(advance)], **settings)
        self.remove_callback(PrinterCallback)


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
