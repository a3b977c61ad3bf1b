"""The interface that every method of reasoning implements, and the sequence that it builds."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from mixlm.tokens import SpecialIds


IGNORED = -100  # the label that torch's cross-entropy leaves out
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Progress:
    """How far training is.

    Attributes:
        step: Optimizer steps taken before the batch at hand.
        steps_per_epoch: Optimizer steps of one pass over the training rows.
    """

    step: int
    steps_per_epoch: int

    @property
    def epoch(self) -> int:
        """The pass over the training rows, from 0."""
        return self.step // self.steps_per_epoch


@dataclass(frozen=True)
class Grammar:
    """Where a method's answers may hold latents.

    Attributes:
        spans: "prefix": one delimited span, at the very start of the answer; "none": nowhere.
    """

    spans: Literal["none", "prefix"]


class Trainable(NamedTuple):
    """One training sequence of ``n`` tokens.

    Attributes:
        ids: Token ids, length ``n``.
        labels: The ids that are learned, ``IGNORED`` elsewhere; length ``n``, not shifted.
        thoughts: True where the input is a continuous thought instead of a token's embedding; length ``n``.
    """

    ids: list[int]
    labels: list[int]
    thoughts: list[bool]


@dataclass
class Method:
    """A way of reasoning: which tokens it needs and which sequence it makes of a sample.

    The fields of a subclass are its options. An object is made with its options alone; ``bind`` then gives it the ids
    of its tokens, and ``fit`` whatever it learns from the training rows.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    needs_codes: ClassVar[bool] = False
    codes_mean_chunks: ClassVar[bool] = False  # whether stage 1 can read the method's latents back
    packable: ClassVar[bool] = True

    def tokens(self, codebook_size: int) -> list[str]:
        """Return the tokens that the method adds to a vocabulary, given a codebook of ``codebook_size``."""
        return []

    def bind(self, special: SpecialIds, compression_rate: int = 0) -> "Method":
        """Give the method the ids of its tokens and the number of trace tokens a code stands for; returns itself."""
        self.special, self.compression_rate = special, compression_rate
        return self

    def fit(self, rows: Sequence[Row], seed: int) -> dict[str, Any]:
        """Learn from the training rows what the method needs; returns JSON values that ``restore`` takes."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> "Method":
        """Take back the state that ``fit`` returned in an earlier process; returns itself."""
        return self

    def sequence(self, row: Row, progress: Progress, rng: np.random.Generator) -> Trainable:
        """Build the training sequence of a tokenized row.

        Args:
            row: Holds ``prompt_ids``, ``trace_ids``, ``solution_ids``, ``step_lengths`` and, where needed, ``codes``.
            progress: Place in the schedule.
            rng: Source of every random choice, the same for the same seed, epoch and row.
        """
        raise NotImplementedError

    def prompt(self, prompt_ids: Sequence[int]) -> list[int]:
        """Return what the language model is given at inference for ``prompt_ids``."""
        return list(prompt_ids)

    def grammar(self) -> Grammar:
        """Return where answers may hold latents."""
        return Grammar("none")

    def options(self) -> dict[str, Any]:
        """Return the method's options as plain values."""
        return asdict(self)


def answer_sequence(prompt: Sequence[int], answer: Sequence[int]) -> Trainable:
    """Join a prompt, which is not learned, and an answer, which is.

    >>> answer_sequence([5, 6], [7, 8])
    Trainable(ids=[5, 6, 7, 8], labels=[-100, -100, 7, 8], thoughts=[False, False, False, False])
    """
    ids = [*prompt, *answer]
    labels = [*[IGNORED] * len(prompt), *answer]
    return Trainable(ids, labels, [False] * len(ids))
