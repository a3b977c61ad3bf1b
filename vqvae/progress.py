"""Passing on how far a training of transformers' trainer is."""

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainingArguments


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
