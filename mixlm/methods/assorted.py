"""Token Assorted: latents in place of the first m tokens of the trace, m drawn at random."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any, ClassVar, Literal

import numpy as np

from mixlm.data.tables import Row, in_turn, replaced_tokens
from mixlm.methods.base import Method, Progress, Spans, Trainable, answer_sequence, require
from mixlm.methods.curriculum import MANY, Curriculum
from mixlm.methods.mixing import (
    PAPER_LENGTHS,
    draw_two_level,
    draw_uniform,
    draw_weighted,
    fitting_lengths,
    mixed_answer,
)
from mixlm.model.special_tokens import latent_span


MOST_MEASURED = 10_000  # traces, to find lengths


@dataclass
class Assorted(Method):
    """The paper's method: P, <boLatent>, z_1 .. z_(m/r), <eoLatent>, the rest of C, S, with m drawn anew every epoch.

    Where chunks end with steps, the latents are those whose steps end within the first m tokens of C.

    Attributes:
        mix: "weighted": no code, all codes, or a number in between, by ``weights``; "paper": the two-level rule over
            the set ``lengths``; "uniform": any number of the trace's own codes.
        lengths: The set M of the two-level rule, in trace tokens. None given: the paper's, 0, 72, 128 to 256, scaled
            so that nine of ten traces that are learned are no longer than the last.
        weights: Of no code, of all codes, and of a number in between, where each is as likely as any other. A trace
            of one code goes by the first two alone.
    """

    name: ClassVar[str] = "assorted"
    source: ClassVar[str] = "Token Assorted, section 3"
    needs_codes: ClassVar[bool] = True
    codes_mean_chunks: ClassVar[bool] = True
    spans: ClassVar[Spans] = "prefix"

    mix: Literal["paper", "uniform", "weighted"] = "weighted"
    lengths: tuple[int, ...] = ()
    weights: tuple[float, float, float] = (1.0, 2.0, 1.0)

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        require(sum(self.weights) > 0, "weights", str(self.weights), "three numbers from 0 up, not all of them 0")
        if self.lengths and self.mix != "paper":
            require(False, "lengths", str(self.lengths), "them with mix=paper alone, or none: -o lengths=")
        if self.weights != type(self).weights and self.mix != "weighted":
            require(False, "weights", str(self.weights), "them with mix=weighted alone")
        self.drawn_lengths = self.lengths or PAPER_LENGTHS

    def fit(self, rows: Sequence[Row], seed: int) -> dict[str, Any]:
        """Find lengths for the two-level rule, if it needs some and none were given."""
        if self.mix != "paper" or self.lengths:
            return {}
        traces = [len(row["trace_ids"]) for row in islice(in_turn(rows, ["trace_ids"]), MOST_MEASURED)]
        self.drawn_lengths = fitting_lengths(traces, self.cutting.grain)
        return {"lengths": list(self.drawn_lengths)}

    def restore(self, state: Mapping[str, Any]) -> "Assorted":
        """Take such lengths."""
        self.drawn_lengths = tuple(state.get("lengths", self.drawn_lengths))
        return self

    def tokens(self, codebook_size: int) -> list[str]:
        """Return both delimiters and one token for each code."""
        return latent_span(codebook_size)

    def sequence(self, row: Row, progress: Progress, rng: np.random.Generator) -> Trainable:
        """Return the mixed sequence; loss on latents, delimiters, the rest of the trace and the solution."""
        return self.sequence_with(row, self.draw(row, rng))

    def draw(self, row: Row, rng: np.random.Generator) -> int:
        """Draw how many leading codes replace their text."""
        count = len(row["codes"])
        if self.mix == "uniform":
            return draw_uniform(rng, count)
        if self.mix == "weighted":
            return draw_weighted(rng, count, self.weights)
        return draw_two_level(rng, row["code_ends"], self.cutting.grain, self.drawn_lengths)

    def sequence_with(self, row: Row, replaced: int) -> Trainable:
        """Return the sequence in which exactly the first ``replaced`` codes stand for their text."""
        return answer_sequence(row["prompt_ids"], mixed_answer(row, replaced, self.special))

    def extra_tokens(self, row: Row) -> int:
        """Return the most that two delimiters add to some number of codes in place of their text."""
        return max([0, *(codes + 2 - end for codes, end in enumerate(row.get("code_ends", ()), 1))])


@dataclass
class AssortedAll(Assorted):
    """Every whole chunk of every trace is latent from the first step on; m is not drawn."""

    name: ClassVar[str] = "assorted-all"
    source: ClassVar[str] = "Token Assorted, table 4.4 (All-Replace)"

    mix: ClassVar[str] = "all"  # no options: there is nothing to draw
    lengths: ClassVar[tuple[int, ...]] = ()
    weights: ClassVar[tuple[float, float, float]] = (0.0, 1.0, 0.0)

    def draw(self, row: Row, rng: np.random.Generator) -> int:
        """Return the number of all codes."""
        return len(row["codes"])


@dataclass
class AssortedCurriculum(AssortedAll):
    """The latent share of every trace grows stage by stage from nothing to all; m is not drawn.

    The paper does not state the schedule. Here stage s of n replaces the first s / n of a trace's codes, rounded down.

    Attributes:
        stages: Stages until everything is latent, n.
        epochs_per_stage: Epochs of each, the first, all text, among them.
    """

    name: ClassVar[str] = "assorted-curriculum"
    source: ClassVar[str] = "Token Assorted, table 4.4 (Curriculum-Replace)"

    stages: int = 8
    epochs_per_stage: float = 0.1

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        require(self.stages > 0, "stages", self.stages, "at least 1")
        each = self.epochs_per_stage
        require(0 < each < MANY, "epochs_per_stage", each, f"a number above 0, below {MANY:g}")

    @property
    def curriculum(self) -> Curriculum:
        """The schedule; its last stage is ours of all latents."""
        return Curriculum(self.stages - 1, self.epochs_per_stage, self.epochs_per_stage)

    def stage(self, progress: Progress) -> int:
        """Return the stage, from 0 to n."""
        return self.curriculum.stage(progress)

    def schedule_end(self, steps_per_epoch: int) -> int:
        """Return the step from which on everything is latent."""
        return self.curriculum.end(steps_per_epoch)

    def sequence(self, row: Row, progress: Progress, rng: np.random.Generator) -> Trainable:
        """Return the mixed sequence of the stage."""
        return self.sequence_with(row, len(row["codes"]) * self.stage(progress) // self.stages)


@dataclass
class AssortedPoisson(AssortedAll):
    """Every chunk is latent or text by a coin of its own; each run of adjacent latent chunks has its delimiters.

    Attributes:
        probability: That a chunk becomes latent.
    """

    name: ClassVar[str] = "assorted-poisson"
    source: ClassVar[str] = "Token Assorted, table 4.4 (Poisson-Replace)"
    spans: ClassVar[Spans] = "anywhere"

    probability: float = 0.5

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        require(0 <= self.probability <= 1, "probability", self.probability, "a number from 0 to 1")

    def sequence(self, row: Row, progress: Progress, rng: np.random.Generator) -> Trainable:
        """Return a sequence in which a random part of the chunks is latent; loss on everything after P."""
        chunks = len(row["codes"]) // self.cutting.codes_per_chunk
        return self.sequence_of(row, (rng.random(chunks) < self.probability).tolist())

    def sequence_of(self, row: Row, latent: Sequence[bool]) -> Trainable:
        """Return the sequence in which exactly the chunks are latent for which ``latent`` says so."""
        trace, answer, start = row["trace_ids"], [], 0
        for is_latent, run in groupby(latent):
            end = start + len(list(run)) * self.cutting.codes_per_chunk
            if is_latent:
                codes = map(self.special.latent, row["codes"][start:end])
                answer += [self.special.bo_latent, *codes, self.special.eo_latent]
            else:
                answer += trace[replaced_tokens(row, start) : replaced_tokens(row, end)]
            start = end
        tail = trace[replaced_tokens(row, start) :]
        return answer_sequence(row["prompt_ids"], [*answer, *tail, *row["solution_ids"]])

    def extra_tokens(self, row: Row) -> int:
        """Return the most that is added: by every other chunk, if its delimiters take more room than it saves."""
        codes = self.cutting.codes_per_chunk
        sizes = np.diff(row.get("code_ends", ())[codes - 1 :: codes], prepend=0)
        gains = np.sort(np.maximum(codes + 2 - sizes, 0))
        return int(gains[len(gains) // 2 :].sum())
