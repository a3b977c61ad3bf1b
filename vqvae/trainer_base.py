"""Passing on how far a training of transformers' trainer is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainingArguments


LAST_FILE = "trainer_state.json"  # transformers' trainer writes it after all others


def last_checkpoint(folder: str | Path) -> str | None:
    """Return the latest checkpoint in ``folder`` that was written to its end, or None.

    A training that was interrupted while it saved leaves a checkpoint that cannot be loaded; the one before it is
    still there.
    """
    whole = [path.parent for path in Path(folder).glob(f"checkpoint-*/{LAST_FILE}")]
    return str(max(whole, key=lambda path: int(path.name.removeprefix("checkpoint-")))) if whole else None


ReportProgress = Callable[[int, int, dict[str, float]], None]


class ProgressCallback(TrainerCallback):
    """Calls a function with (step, total steps, latest figures) after every step, in the main process.

    Args:
        report: The function; None: nothing is called.
    """

    def __init__(self, report: ReportProgress | None) -> None:
        self.report, self.figures = report, {}

    def on_log(
        self, args: TrainingArguments, state: Any, control: Any, logs: dict | None = None, **kwargs: Any
    ) -> None:
        """Keep the latest figures."""
        self.figures = {name: value for name, value in (logs or {}).items() if isinstance(value, float)}

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        """Report one step."""
        if self.report is not None and state.is_world_process_zero:
            self.report(state.global_step, state.max_steps, self.figures)
