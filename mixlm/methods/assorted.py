"""Token Assorted: latents in place of the first m tokens of the trace, m drawn at random."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from mixlm.methods.base import Grammar, Method, Progress, Row, Trainable, answer_sequence, require
from mixlm.mixing import PAPER_LENGTHS, draw_two_level, draw_uniform, mixed_answer
from mixlm.tokens import latent_span


@dataclass
class Assorted(Method):
    """The paper's method: P, <boLatent>, z_1 .. z_(m/r), <eoLatent>, the rest of C, S, with m drawn anew every epoch.

    Attributes:
        mix: "paper": the two-level rule over the set ``lengths``; "uniform": any number of the trace's own codes.
        lengths: The set M of the two-level rule, in trace tokens.
    """

    name: ClassVar[str] = "assorted"
    source: ClassVar[str] = "Token Assorted, section 3"
    needs_codes: ClassVar[bool] = True
    codes_mean_chunks: ClassVar[bool] = True

    mix: Literal["paper", "uniform"] = "paper"
    lengths: tuple[int, ...] = PAPER_LENGTHS

    def __post_init__(self) -> None:
        """Check the options."""
        require(all(length >= 0 for length in self.lengths), "lengths", str(self.lengths), "numbers from 0 up")

    def tokens(self, codebook_size: int) -> list[str]:
        """Return both delimiters and one token for each code."""
        return latent_span(codebook_size)

    def sequence(self, row: Row, progress: Progress, rng: np.random.Generator) -> Trainable:
        """Return the mixed sequence; loss on latents, delimiters, the rest of the trace and the solution."""
        return self.sequence_with(row, self.draw(row, rng))

    def draw(self, row: Row, rng: np.random.Generator) -> int:
        """Draw how many leading codes replace their text, m / r."""
        count = len(row["codes"])
        if self.mix == "uniform":
            return draw_uniform(rng, count)
        return draw_two_level(rng, count, self.compression_rate, self.lengths)

    def sequence_with(self, row: Row, replaced: int) -> Trainable:
        """Return the sequence in which exactly the first ``replaced`` codes stand for their text."""
        codes = list(row["codes"][:replaced])
        answer = mixed_answer(row["trace_ids"], row["solution_ids"], codes, self.compression_rate, self.special)
        return answer_sequence(row["prompt_ids"], answer)

    def grammar(self) -> Grammar:
        """Allow one span of latents at the start of an answer."""
        return Grammar("prefix")

    def extra_tokens(self) -> int:
        """Return the most that delimiters can add: one code in place of its r tokens takes three."""
        return max(3 - self.compression_rate, 0)
