"""A trial: some steps of long work, to tell what all of it takes."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from vqvae.advance import Advance


STEPS, SECONDS = 5, 30.0


class TrialOver(Exception):
    """Ends the work once enough of it has been seen."""


class Trial:
    """An ``Advance`` that measures steps and ends the work by a ``TrialOver``.

    The first step, which sets up much that others find, is made and not measured, unless it is the only one.

    Args:
        steps: Steps to measure.
        seconds: After so many seconds fewer do, but one.
        clock: Tells the seconds.
        advance: Told how many of the steps that are measured were made; None: nothing is.

    Attributes:
        total: Steps that the whole work has; 0: it did not begin.
    """

    def __init__(
        self,
        steps: int = STEPS,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
        advance: Advance | None = None,
    ) -> None:
        self.steps, self.seconds, self.clock, self.advance = steps, seconds, clock, advance
        self.begin()

    def begin(self) -> None:
        """Measure anew."""
        self.ends: list[float] = []
        self.done: list[int] = []
        self.total = 0

    def __call__(self, done: int, total: int, figures: Mapping[str, float] = {}, /) -> None:
        """Take note of a step; raise a ``TrialOver`` if that was the last one to be seen."""
        self.ends.append(self.clock())
        self.done.append(done)
        self.total = total
        measured, took = len(self.ends) - 1, self.ends[-1] - self.ends[0]
        over = done >= total or measured >= self.steps or (measured and took >= self.seconds)
        if self.advance:
            steps = min(self.steps + 1, total)
            self.advance(steps if over else len(self.ends), steps)
        if over:
            raise TrialOver

    @property
    def each(self) -> float | None:
        """Seconds of a step; None: not even two were made."""
        steps = self.done[-1] - self.done[0] if self.done else 0
        return (self.ends[-1] - self.ends[0]) / steps if steps else None


def peak_memory(torch: Any) -> int:
    """Return the bytes that this process has held at most: of its GPU, if it has one, else of the machine.

    Args:
        torch: The module; who asks has imported it.
    """
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
