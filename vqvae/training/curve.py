"""How far a training is: its curve, as lines of JSON that outlive interruptions, and what is told of every step."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback, TrainerState, TrainingArguments

from vqvae.advance import Advance
from vqvae.atomic_files import to_disk, whole_file


if TYPE_CHECKING:
    from vqvae.training.trainer_base import QuietTrainer


CURVE = "curve.jsonl"  # in the folder of the model
LINE = "line.json"  # in a checkpoint


def read_curve(path: Path) -> list[dict[str, Any]]:
    """Read a curve; lines that a killed process has not finished, or a power cut not left, are passed over."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    return [line for line in map(_read, lines) if line is not None]


def _read(line: bytes) -> dict[str, Any] | None:
    try:
        point = json.loads(line)
        return point if isinstance(point, dict) and "step" in point and "seconds" in point else None
    except ValueError:
        return None


class Curve(TrainerCallback):
    """Keeps every line of figures that a training logs: ``step``, ``seconds`` that it has trained, and the figures.

    A training that goes on from a checkpoint goes on with the curve as it was there.

    Args:
        path: The file.
        clock: Tells the seconds.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self.clock = path, clock
        self.start = clock()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *rest: Any, **more: Any) -> None:
        """Leave out what a killed process has logged of steps that are to be made again."""
        if not state.is_world_process_zero:
            return
        kept = [line for line in read_curve(self.path) if line["step"] <= state.global_step]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as file:
            file.writelines(json.dumps(line) + "\n" for line in kept)
        self.start = self.clock() - (kept[-1]["seconds"] if kept else 0.0)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, *rest: Any, logs: dict[str, Any] | None = None, **more: Any
    ) -> None:
        """Add a line; the summary that transformers logs in the end is no point of a curve."""
        if not state.is_world_process_zero or not logs or "train_runtime" in logs:
            return
        line = {"step": state.global_step, "seconds": round(self.seconds(), 3), **logs}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=float) + "\n")

    def seconds(self) -> float:
        """Return how many seconds it has trained, interruptions apart."""
        return self.clock() - self.start

    def keep(self) -> None:
        """Wait until what was logged is on disk."""
        to_disk(self.path)


class OpenLine(TrainerCallback):
    """Keeps in checkpoints what is summed up for the next line of figures: transformers would begin it anew.

    Args:
        trainer: Who sums up.
    """

    def __init__(self, trainer: "QuietTrainer") -> None:
        self.trainer = trainer

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *rest: Any, **more: Any) -> None:
        """Go on with the line in which the checkpoint was written."""
        path = Path(args.output_dir) / f"checkpoint-{state.global_step}" / LINE
        if state.global_step and path.is_file():
            line = json.loads(path.read_text(encoding="utf-8"))
            self.trainer._globalstep_last_logged = line["begun"]
            self.trainer.take_sums(torch.tensor(line["sums"], dtype=torch.float64))

    def keep(self, checkpoint: Path, sums: torch.Tensor) -> None:
        """Write down what each process goes on with."""
        line = {"begun": self.trainer._globalstep_last_logged, "sums": sums.tolist()}
        (checkpoint / LINE).write_text(json.dumps(line) + "\n", encoding="utf-8")


class AdvanceCallback(TrainerCallback):
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
