"""The curriculum of Coconut: stage by stage, reasoning steps leave the text."""

from dataclasses import dataclass

import numpy as np

from mixlm.methods.base import Progress


MANY = 1e6  # more epochs than anyone trains


@dataclass(frozen=True)
class Curriculum:
    """Stage 0, then ``stages`` stages of equal length, then one last stage until the end of training.

    Attributes:
        stages: Number of stages between the first and the last, k.
        first_epochs: Epochs of stage 0; 0 where training starts from a model that has learned the whole text.
        epochs_per_stage: Epochs of each of the ``stages``.
    """

    stages: int
    first_epochs: float
    epochs_per_stage: float

    def stage(self, progress: Progress) -> int:
        """Return the stage, from 0 to ``stages`` + 1."""
        first, each = self._lengths(progress.steps_per_epoch)
        return 0 if progress.step < first else min(1 + (progress.step - first) // each, self.stages + 1)

    def end(self, steps_per_epoch: int) -> int:
        """Return the step at which the last stage begins."""
        first, each = self._lengths(steps_per_epoch)
        return first + self.stages * each

    def _lengths(self, steps_per_epoch: int) -> tuple[int, int]:
        first = max(round(self.first_epochs * steps_per_epoch), int(self.first_epochs > 0))  # a stage has a step
        return first, max(round(self.epochs_per_stage * steps_per_epoch), 1)


def draw_any(rng: np.random.Generator, stage: int, steps: int, probability: float) -> int:
    """Return ``stage``, or with ``probability`` one drawn uniformly from 0 to the number of ``steps`` of the trace.

    Source: Coconut, section 5 (p = 0.3).
    """
    return int(rng.integers(steps + 1)) if rng.random() < probability else stage


def draw_earlier(rng: np.random.Generator, stage: int) -> int:
    """Draw a stage i from 0 to ``stage`` with a probability proportional to i + 1 (Cui et al. 2026)."""
    weights = np.arange(1, stage + 2)
    return int(rng.choice(stage + 1, p=weights / weights.sum()))
