"""The two baselines in plain text: with the whole trace, and without any of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixlm.data.tables import Row
from mixlm.methods.base import Method, Progress, Trainable, answer_sequence


@dataclass
class ChainOfThought(Method):
    """Prompt, trace, solution, all as text (both papers' CoT)."""

    name: ClassVar[str] = "cot"
    source: ClassVar[str] = "Token Assorted, section 4; Coconut, section 4"

    def sequence(self, row: Row, progress: Progress, rng: np.random.Generator) -> Trainable:
        """Return P, C, S; loss on C and S."""
        return answer_sequence(row["prompt_ids"], [*row["trace_ids"], *row["solution_ids"]])


@dataclass
class SolutionOnly(Method):
    """Prompt and solution without a trace (Token Assorted's Sol-Only, Coconut's No-CoT)."""

    name: ClassVar[str] = "sol-only"
    source: ClassVar[str] = "Token Assorted, section 4; Coconut, section 4"

    def sequence(self, row: Row, progress: Progress, rng: np.random.Generator) -> Trainable:
        """Return P, S; loss on S."""
        solution: Sequence[int] = row["solution_ids"]
        return answer_sequence(row["prompt_ids"], solution)
