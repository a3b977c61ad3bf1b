"""Pause tokens: more positions to compute in, without content (Goyal et al. 2023)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixlm.data.tables import Row
from mixlm.methods.base import MOST_FILLERS, Method, Progress, Trainable, answer_sequence, require
from mixlm.model.special_tokens import PAUSE


@dataclass
class Pause(Method):
    """Prompt, n pause tokens that are never learned, then trace and solution (or the solution alone).

    The output at the last pause predicts the first token of the answer; those before it are ignored.

    Attributes:
        count: Number of pauses, in training and at inference.
        trace: Keep the trace as text after the pauses; Coconut's table has none.
    """

    name: ClassVar[str] = "pause"
    source: ClassVar[str] = "Goyal et al. 2023; Token Assorted, section 4; Coconut, section 4"

    count: int = 10
    trace: bool = True

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        require(self.count <= MOST_FILLERS, "count", self.count, f"0 to {MOST_FILLERS:,}")

    def tokens(self, codebook_size: int) -> list[str]:
        """Return the pause token."""
        return [PAUSE]

    def sequence(self, row: Row, progress: Progress, rng: np.random.Generator) -> Trainable:
        """Return P, the pauses, C if wanted, S; loss on C and S."""
        answer = [*(row["trace_ids"] if self.trace else ()), *row["solution_ids"]]
        return answer_sequence(self.prompt(row["prompt_ids"], progress), answer)

    def prompt(self, prompt_ids: Sequence[int], progress: Progress, thoughts: int | None = None) -> list[int]:
        """Return P and the pauses."""
        return [*super().prompt(prompt_ids, progress, thoughts), *[self.special.pause] * self.count]

    def extra_tokens(self, row: Row) -> int:
        """Return the number of pauses."""
        return self.count
