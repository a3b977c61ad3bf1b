"""Stepwise internalisation, iCoT: the trace disappears token by token, from the left (Deng et al. 2024)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from mixlm.data.tables import Row, in_turn
from mixlm.methods.base import Method, Progress, Trainable, answer_sequence, require
from vqvae.option_types import INFINITE


@dataclass
class StepwiseInternalisation(Method):
    """The first s trace tokens are removed, s growing through training, until the model answers without any trace.

    Attributes:
        per_epoch: Tokens that one epoch removes, Delta; s grows by 1 every round(steps per epoch / Delta) steps, and
            at most by 1 a step: an epoch of fewer steps removes no more than it has.
        smoothing: Lambda: a sample removes s + o tokens, with P(o) proportional to exp(-lambda o); inf: o = 0.
        remove_all_beyond: Once s has reached this, the whole trace is removed; 0: never at once.
        reset_optimizer: Start the optimizer anew at every increment of s, while some trace remains.
    """

    name: ClassVar[str] = "icot"
    source: ClassVar[str] = "Deng et al. 2024; Token Assorted, section 4; Coconut, section 4"

    per_epoch: float = 8.0
    smoothing: float = field(default=4.0, metadata=INFINITE)
    remove_all_beyond: int = 0
    reset_optimizer: bool = True

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        require(self.per_epoch > 0, "per_epoch", self.per_epoch, "a number above 0")
        require(self.smoothing > 0, "smoothing", self.smoothing, "a number above 0, or inf")

    def fit(self, rows: Sequence[Row], seed: int) -> dict[str, Any]:
        """Find the longest trace: with it all traces are gone."""
        state = {"longest": max(len(row["trace_ids"]) for row in in_turn(rows, ["trace_ids"]))}
        self.restore(state)
        return state

    def restore(self, state: Mapping[str, Any]) -> "StepwiseInternalisation":
        """Take the length of the longest trace."""
        self.longest = state["longest"]
        return self

    @property
    def last_stage(self) -> int:
        """Value of s from which on nothing is left to remove."""
        return min(self.remove_all_beyond or self.longest, self.longest)

    def _interval(self, steps_per_epoch: int) -> int:
        return max(round(steps_per_epoch / self.per_epoch), 1)

    def stage(self, progress: Progress) -> int:
        """Return s, the tokens that are scheduled to be removed."""
        return min(progress.step // self._interval(progress.steps_per_epoch), self.last_stage)

    def optimizer_period(self, progress: Progress) -> int:
        """Return s, if its growth starts the optimizer anew."""
        return self.stage(progress) if self.reset_optimizer else 0

    def schedule_end(self, steps_per_epoch: int) -> int:
        """Return the step from which on every trace is removed whole."""
        return self.last_stage * self._interval(steps_per_epoch)

    def sequence(self, row: Row, progress: Progress, rng: np.random.Generator) -> Trainable:
        """Return P, what is left of C, S; loss on the two."""
        removed = self.stage(progress)
        if removed == self.last_stage:
            removed = len(row["trace_ids"])
        elif np.isfinite(self.smoothing):
            removed += int(rng.geometric(-np.expm1(-self.smoothing))) - 1  # numpy counts trials, from 1
        return answer_sequence(row["prompt_ids"], [*row["trace_ids"][removed:], *row["solution_ids"]])
