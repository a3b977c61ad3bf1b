"""Checkpoints: when they are written, that they are whole, and which of them a training goes on from."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from torch import distributed
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from vqvae.atomic_files import remove, write_sealed
from vqvae.checksums import SUMS, changes, sums_of, unsealed
from vqvae.errors import InputError
from vqvae.options import SaveEvery
from vqvae.stopping import Stop


CHECKPOINTS = "checkpoints"  # folder, below that of the model
LAST_FILE = "trainer_state.json"  # transformers' trainer writes it after all others
SUMS_FILE = "checksums.json"
SHARE = 10  # of the time from one checkpoint to the next, writing takes at most one part in so many
MOST_KEPT = {False: "two", True: "three"}  # checkpoints at a time, without and with a best one: one is being written


def last_checkpoint(folder: str | Path, say: Callable[[str], None] = lambda line: None) -> str | None:
    """Return the latest checkpoint in ``folder`` that is whole, or None.

    A checkpoint that is damaged is passed over, and told; the one before it may be there.
    """
    for path in sorted(Path(folder).glob("checkpoint-*"), key=step_of, reverse=True):
        if not (fault := fault_in(path)):
            return str(path)
        say(f"warning: {path / fault} is damaged, so {path.name} is passed over")
    return None


def step_of(checkpoint: str | Path) -> int:
    """Return the number of optimizer steps after which a checkpoint was written."""
    number = re.fullmatch(r"checkpoint-(\d+)", Path(checkpoint).name)
    return int(number[1]) if number else -1


def steps_made(folder: str | Path, say: Callable[[str], None] = lambda line: None) -> int:
    """Return after how many steps the ``last_checkpoint`` in a folder was written; 0: there is none."""
    return max(step_of(last_checkpoint(folder, say) or ""), 0)


def fault_in(path: Path) -> str | None:
    """Return the name of a file that is not as it was written, if any."""
    read: dict[str, dict[str, Any]] = {}
    for name in (LAST_FILE, SUMS_FILE):
        try:
            read[name] = unsealed((path / name).read_bytes()) if name == LAST_FILE or (path / name).is_file() else {}
        except (OSError, ValueError):
            return name
    return next((name for name, _ in changes(path, read[SUMS_FILE].get(SUMS, {}))), None)


def seal_checkpoint(path: Path) -> None:
    """Write down what a checkpoint that is complete consists of."""
    files = [file for file in path.rglob("*") if file.is_file() and file.name != SUMS_FILE]
    write_sealed(path / SUMS_FILE, {SUMS: sums_of(path, files)})


def name_best(state: TrainerState, folder: Path) -> None:
    """Name the best checkpoint by where it is now, whatever its folder was called when it was written."""
    best = folder / f"checkpoint-{state.best_global_step}"
    state.best_model_checkpoint = str(best) if state.best_global_step and best.is_dir() else None


def keep_only(folder: Path, *kept: str | None) -> None:
    """Remove all checkpoints of a folder but those that are named, also such as are damaged."""
    for path in folder.glob("checkpoint-*"):
        if str(path) not in kept:
            remove(path)


def forget_lost_best(state: TrainerState, folder: Path, say: Callable[[str], None]) -> None:
    """Name the best checkpoint; if it is damaged or gone, none is the best so far, and that is told."""
    if not state.best_global_step:
        return
    name_best(state, folder)
    if state.best_model_checkpoint is None or fault_in(Path(state.best_model_checkpoint)):
        path = folder / f"checkpoint-{state.best_global_step}"
        say(f"warning: {path}, the best so far, is damaged or gone; the best of the evaluations to come is chosen")
        state.best_metric, state.best_global_step, state.best_model_checkpoint = None, 0, None


class CheckpointCallback(TrainerCallback):
    """Asks the trainer for a checkpoint when one is due, and to end once an end was asked for and one is written.

    By time, a checkpoint is due before the next step would bring what a kill costs over the longest of so many
    seconds, one step, and ten times what it takes to write one. Several processes do what the first one's clock says.

    Args:
        pace: How often checkpoints are written.
        clock: Tells the seconds.
        say: Told what the user should know.

    Attributes:
        last: Whether, of a training that took so long that there is a checkpoint, the last step is kept, too, for work
            that is to follow on the model.
        stop: Tells whether an end was asked for.
        ended: Whether training has ended for that.
        writing: Seconds that the last checkpoint took to write.
    """

    def __init__(
        self,
        pace: SaveEvery,
        clock: Callable[[], float] = time.monotonic,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.pace, self.clock, self.say = pace, clock, say
        self.stop, self.ended, self.writing = Stop(), False, 0.0
        self.last = self.begun = False
        self.kept = self.before = clock()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *rest: object, **more: object) -> None:
        """Start the clock; a training that goes on knows its best checkpoint, and how often figures are wanted now."""
        forget_lost_best(state, Path(args.output_dir), self.say)
        state.compute_steps(args, state.max_steps)  # those of the checkpoint are what it was begun with
        self.kept, self.before, self.begun = self.clock(), self.clock(), state.global_step > 0

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: object
    ) -> None:
        """Look at the clock, and whether an end was asked for; a last step mostly needs no checkpoint."""
        now = self.clock()
        step, self.before = now - self.before, now
        if state.global_step >= state.max_steps:
            control.should_save = (control.should_save and args.load_best_model_at_end) or (self.last and self.begun)
            return
        asked = _greatest(2 * self.stop.asked + due(self.pace, now + step - self.kept, self.writing), args.device)
        self.ended = asked >= 2
        control.should_save = control.should_save or (asked > 0 and self.pace.any)
        control.should_training_stop = control.should_training_stop or self.ended

    def on_save(self, *rest: object, **more: object) -> None:
        """Start the clock anew."""
        self.begun = True
        self.kept = self.before = self.clock()


def due(pace: SaveEvery, lost: float, writing: float) -> bool:
    """Tell whether it is time to write a checkpoint.

    Args:
        pace: How often checkpoints are written.
        lost: Seconds that would be lost after one more step without.
        writing: Seconds that the last one took to write.
    """
    return bool(pace.seconds) and lost + writing >= max(pace.seconds, SHARE * writing)


def _greatest(number: int, device: torch.device) -> int:
    """Return the greatest of a number in all processes, so that they do the same."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return number
    numbers = torch.tensor(number, device=device)
    distributed.all_reduce(numbers, distributed.ReduceOp.MAX)
    return int(numbers)


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Raise an ``InputError``, in one line, if what is written to ``path`` finds no room or no right."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "PytorchStreamWriter" not in str(error):
            raise
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(
            f"{path}: cannot be written ({reason}); make room for it, and give the same command again"
        ) from None


@contextmanager
def only_numbers(checkpoint: str | None) -> Iterator[None]:
    """Raise an ``InputError`` if a checkpoint holds objects of Python, of which none of ours does; none is made."""
    try:
        yield
    except UnpicklingError:
        raise InputError(
            f"{checkpoint}: holds more than numbers, so it was not written by this program; do not trust this folder"
        ) from None


def readable_size(size: float) -> str:
    """Return a number of bytes in the unit that fits."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
