"""The curve of a training, as lines of JSON that outlive interruptions."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerState, TrainingArguments

from vqvae.atomic_files import whole_file


CURVE = "curve.jsonl"  # in the folder of the model


def read_curve(path: Path) -> list[dict[str, Any]]:
    """Read a curve; a last line that a killed process has not finished is left out."""
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []
    return [json.loads(line) for line in lines]


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
        line = {"step": state.global_step, "seconds": round(self.clock() - self.start, 3), **logs}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=float) + "\n")
