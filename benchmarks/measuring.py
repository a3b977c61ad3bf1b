"""What every benchmark does: run two things in turns, and say how their ratio compares with its target."""

import operator
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


_COMPARED = {">=": operator.ge, "<=": operator.le}


@dataclass(frozen=True)
class Figure:
    """A ratio of two things that ran in turns.

    Attributes:
        name: What is compared with what.
        ratio: Median of the turns' ratios.
        target: What it should be, for example ">= 8".
        detail: The two sides, for a reader.
        turns: Repeats.
    """

    name: str
    ratio: float
    target: str
    detail: str
    turns: int

    @property
    def met(self) -> bool:
        """Whether the ratio is what it should be."""
        relation, bound = self.target.split()
        return _COMPARED[relation](self.ratio, float(bound))

    def to_dict(self) -> dict[str, Any]:
        """Return the figure as JSON values."""
        return {**vars(self), "met": self.met}


def wait() -> None:
    """Wait until the GPU has done what it was told, if there is one."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(work: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(turn: Callable[[], tuple[float, float]], turns: int, warm_ups: int = 3) -> tuple[float, float, float]:
    """Return the medians of both sides of the turns, and of their ratios; a busy machine slows both sides alike.

    Args:
        turn: Measures both sides once.
        turns: Repeats that count.
        warm_ups: Repeats before them that do not.
    """
    pairs = [turn() for _ in range(warm_ups + turns)][warm_ups:]
    first, second = (statistics.median(side) for side in zip(*pairs, strict=True))
    return first, second, statistics.median(one / other for one, other in pairs)


def processor() -> str:
    """Return the name of the CPU."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
