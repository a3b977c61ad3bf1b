"""Coconut: continuous thoughts in place of reasoning steps, and its ablations (Hao et al. 2024).

Each class adds one thing to the one before it: the curriculum alone, pauses that fill its place, thoughts instead of
the pauses. What one adds can so be told from what the other gives.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from mixlm.data.tables import Row
from mixlm.methods.base import MOST_FILLERS, Method, Progress, Trainable, answer_sequence, require
from mixlm.methods.curriculum import MANY, Curriculum, draw_any, draw_earlier
from mixlm.model.special_tokens import BO_THOUGHT, EO_THOUGHT, PAUSE, THOUGHT


@dataclass
class CoconutNoThought(Method):
    """The curriculum alone: in stage s the first s reasoning steps are missing, in the last stage all of them.

    Attributes:
        stages: Stages between the first (all text) and the last (no steps), k.
        first_epochs: Epochs of the first stage; 0 where training starts from a model that has learned the whole text.
        epochs_per_stage: Epochs of each of the k stages.
        reset_optimizer: Start the optimizer anew: "stage": at every new stage (the paper); "epoch": in every epoch
            (the official code); "none": never.
        mixing: Stages of single samples: "none": all have the stage of the schedule; "uniform": with
            ``mixing_probability`` any number of the sample's own steps is missing (the paper's section 5);
            "weighted": in stage k, stage i <= k with a weight of i + 1 (Cui et al. 2026).
        mixing_probability: Of "uniform".
    """

    name: ClassVar[str] = "coconut-no-thought"
    source: ClassVar[str] = "Coconut, section 4 (w/o thought)"

    stages: int = 3
    first_epochs: float = 6.0
    epochs_per_stage: float = 3.0
    reset_optimizer: Literal["stage", "epoch", "none"] = "stage"
    mixing: Literal["none", "uniform", "weighted"] = "none"
    mixing_probability: float = 0.3

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        require(self.stages <= MOST_FILLERS, "stages", self.stages, f"0 to {MOST_FILLERS:,}")
        require(self.first_epochs < MANY, "first_epochs", self.first_epochs, f"0 or more, below {MANY:g}")
        each = self.epochs_per_stage
        require(each < MANY, "epochs_per_stage", each, f"0 or more, below {MANY:g}")
        require(self.mixing_probability <= 1, "mixing_probability", self.mixing_probability, "0 to 1")

    @property
    def curriculum(self) -> Curriculum:
        """The schedule of stages."""
        return Curriculum(self.stages, self.first_epochs, self.epochs_per_stage)

    def stage(self, progress: Progress) -> int:
        """Return the stage, from 0 to k + 1."""
        return self.curriculum.stage(progress)

    def optimizer_period(self, progress: Progress) -> int:
        """Return the stage, the epoch, or always 0, as ``reset_optimizer`` says."""
        return {"stage": self.stage(progress), "epoch": progress.epoch, "none": 0}[self.reset_optimizer]

    def schedule_end(self, steps_per_epoch: int) -> int:
        """Return the step at which the last stage begins."""
        return self.curriculum.end(steps_per_epoch)

    def fillers(self, stage: int, steps: int | None = None) -> list[int]:
        """Return the ids that stand in place of the missing steps.

        Args:
            stage: Stage of the sample.
            steps: Number of its reasoning steps; None: unknown, at inference.
        """
        return []

    def sequence(self, row: Row, progress: Progress, rng: np.random.Generator) -> Trainable:
        """Return P, the fillers, the steps that are left, S; loss on the last two."""
        lengths = row["step_lengths"]
        stage = self.stage(progress)
        if self.mixing == "uniform":
            stage = draw_any(rng, stage, len(lengths), self.mixing_probability)
        elif self.mixing == "weighted":
            stage = draw_earlier(rng, stage)
        removed = sum(lengths if stage > self.stages else lengths[:stage])
        prompt = [*row["prompt_ids"], *self.fillers(stage, len(lengths))]
        answer = [*row["trace_ids"][removed:], *row["solution_ids"]]
        return answer_sequence(prompt, answer, self.special.thought)

    def prompt(self, prompt_ids: Sequence[int], progress: Progress, thoughts: int | None = None) -> list[int]:
        """Return P and the fillers of the stage that training reached."""
        return [*super().prompt(prompt_ids, progress, thoughts), *self.fillers(self.stage(progress))]


@dataclass
class PauseAsThought(CoconutNoThought):
    """The curriculum with pause tokens in place of the missing steps: positions without content.

    Attributes:
        thoughts_per_step: Fillers for each missing step, c.
        pad_to_max: Every sample has c fillers for each stage, up to k, also where its trace has fewer steps; otherwise
            c for each of its own missing steps.
    """

    name: ClassVar[str] = "pause-as-thought"
    source: ClassVar[str] = "Coconut, section 4 (pause as thought)"

    thoughts_per_step: int = 2
    pad_to_max: bool = True

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        fillers = max(self.stages, 1) * self.thoughts_per_step
        most = f"0 or more, with {MOST_FILLERS:,} in all stages at most"
        require(fillers <= MOST_FILLERS, "thoughts_per_step", self.thoughts_per_step, most)

    def tokens(self, codebook_size: int) -> list[str]:
        """Return the delimiters and the filler."""
        return [BO_THOUGHT, EO_THOUGHT, PAUSE]

    @property
    def filler(self) -> int:
        """Id of one filler."""
        return self.special.pause

    def fillers(self, stage: int, steps: int | None = None) -> list[int]:
        """Return the delimiters with c fillers for each missing step between them; in stage 0 the delimiters alone."""
        count = min(stage, self.stages)
        if steps is not None and not self.pad_to_max:
            count = min(count, steps)
        return self.span(count * self.thoughts_per_step)

    def span(self, count: int) -> list[int]:
        """Return ``count`` fillers within their delimiters."""
        return [self.special.bo_thought, *[self.filler] * count, self.special.eo_thought]

    def prompt(self, prompt_ids: Sequence[int], progress: Progress, thoughts: int | None = None) -> list[int]:
        """Return P and the fillers of the stage that training reached, or as many as ``thoughts`` says."""
        if thoughts is not None:
            return [*prompt_ids, *self.span(thoughts)]
        return super().prompt(prompt_ids, progress)

    def extra_tokens(self, row: Row) -> int:
        """Return the fillers of the last stage and their delimiters."""
        return self.stages * self.thoughts_per_step + 2


@dataclass
class Coconut(PauseAsThought):
    """Chain of continuous thought: the last hidden state is the next input, c times for each missing step.

    Attributes:
        stop: What ends the thoughts at inference: "constant": as many as in the last stage; "learned": a binary
            classifier on the thoughts, trained to fire on the last one, and at most k c of them. A classifier can
            learn something only where samples differ in number: with ``pad_to_max=false``.
    """

    name: ClassVar[str] = "coconut"
    source: ClassVar[str] = "Coconut, section 3"
    uses_thoughts: ClassVar[bool] = True
    packable: ClassVar[bool] = False

    stop: Literal["constant", "learned"] = "constant"

    def tokens(self, codebook_size: int) -> list[str]:
        """Return the delimiters and the placeholder of a thought."""
        return [BO_THOUGHT, EO_THOUGHT, THOUGHT]

    @property
    def filler(self) -> int:
        """Id of the placeholder of one thought."""
        return self.special.thought

    def prompt(self, prompt_ids: Sequence[int], progress: Progress, thoughts: int | None = None) -> list[int]:
        """Return P and the thoughts; with a learned stop only the opening delimiter, the model adds the rest."""
        if thoughts is None and self.thoughts_to_add(progress):
            return [*prompt_ids, self.special.bo_thought]
        return super().prompt(prompt_ids, progress, thoughts)

    def thoughts_to_add(self, progress: Progress) -> int:
        """Return c for each stage reached, if the model stops by itself."""
        return min(self.stage(progress), self.stages) * self.thoughts_per_step if self.learns_stop else 0

    @property
    def learns_stop(self) -> bool:
        """Whether ``stop`` is "learned"."""
        return self.stop == "learned"


@dataclass
class CoconutNoCurriculum(Coconut):
    """Continuous thoughts without the curriculum: all of training is the last stage."""

    name: ClassVar[str] = "coconut-no-curriculum"
    source: ClassVar[str] = "Coconut, section 4 (w/o curriculum)"

    # What only a curriculum needs is no option here.
    first_epochs: ClassVar[float] = 0.0
    epochs_per_stage: ClassVar[float] = 0.0
    reset_optimizer: ClassVar[str] = "none"
    mixing: ClassVar[str] = "none"
    mixing_probability: ClassVar[float] = 0.0

    def stage(self, progress: Progress) -> int:
        """Return the last stage."""
        return self.stages + 1

    def schedule_end(self, steps_per_epoch: int) -> int:
        """Return 0: there is no schedule."""
        return 0
