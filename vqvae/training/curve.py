"""The curve of a training, as lines of JSON that outlive interruptions."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerState, TrainingArguments

from vqvae.atomic_files import to_disk, whole_file


CURVE = "curve.jsonl"  # in the folder of the model


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
        line = {"step": state.global_step, "seconds": round(self.clock() - self.start, 3), **logs}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=float) + "\n")

    def keep(self) -> None:
        """Wait until what was logged is on disk."""
        to_disk(self.path)
