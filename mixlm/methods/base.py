"""The interface that every method of reasoning implements, and the sequence that it builds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from mixlm.data.tables import Row, in_turn, replaced_chunks, with_column
from mixlm.errors import InputError
from mixlm.model.special_tokens import IGNORED, SpecialIds
from vqvae.option_types import misfit


if TYPE_CHECKING:
    from vqvae import Cutting

MOST_FILLERS = 10_000  # pauses or thoughts of a sample, more than any context holds beside it
Spans = Literal["none", "prefix", "anywhere", "mixed"]


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

    Attributes:
        name: As users type it.
        source: Paper and section.
        needs_codes: Whether its rows must come from ``mixlm-encode``.
        codes_mean_chunks: Whether stage 1 can read the method's latents back.
        spans: Where answers may hold latents. "none": nowhere; "prefix": one delimited span of latents alone, at the
            very start; "anywhere": any number of such spans, before, between and after text; "mixed": one span, at the
            very start, which holds text beside latents.
        uses_thoughts: Whether inputs may be hidden states in place of tokens (``mixlm.model.thoughts``).
        packable: Whether several sequences may share a row.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    needs_codes: ClassVar[bool] = False
    codes_mean_chunks: ClassVar[bool] = False
    spans: ClassVar[Spans] = "none"
    uses_thoughts: ClassVar[bool] = False
    packable: ClassVar[bool] = True

    @classmethod
    def writes_latents(cls) -> bool:
        """Tell whether its answers hold latents."""
        return cls.spans != "none"

    @classmethod
    def has_pure_spans(cls) -> bool:
        """Tell whether its spans hold latents alone, so that others can be put in their place."""
        return cls.spans not in ("none", "mixed")

    @classmethod
    def has_text(cls) -> bool:
        """Tell whether its latents stand for text of the rows."""
        return cls.needs_codes and cls.writes_latents()

    def __post_init__(self) -> None:
        """Raise an ``InputError`` if an option is not of its type."""
        if found := misfit(self):
            name, value, wanted = found
            raise InputError(f"method option '{name}': {value} does not fit; give {wanted}")

    def tokens(self, codebook_size: int) -> list[str]:
        """Return the tokens that the method adds to a vocabulary, given a codebook of ``codebook_size``."""
        return []

    def bind(self, special: SpecialIds, cutting: "Cutting | None" = None) -> "Method":
        """Give the method what it takes to build sequences; returns itself.

        Args:
            special: Ids of its tokens.
            cutting: Tells where traces were cut into chunks; None for a method without codes.
        """
        self.special, self.cutting = special, cutting
        return self

    def fit(self, rows: Sequence[Row], seed: int) -> dict[str, Any]:
        """Learn from the training rows what the method needs; returns JSON values that ``restore`` takes."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> "Method":
        """Take back the state that ``fit`` returned in an earlier process; returns itself."""
        return self

    def recode(self, rows: Iterable[Row]) -> Iterable[Sequence[int]] | None:
        """Return other codes for each of ``rows`` in turn; None: they keep their own. Only controls give any."""
        return None

    def chunks(self, row: Row) -> list[tuple[int, Sequence[int]]]:
        """Return each code of a row, other codes if it was given any, with the trace tokens that it stands for."""
        return replaced_chunks(row)

    def stage(self, progress: Progress) -> int:
        """Return the stage of the method's schedule, from 0; always 0 without a schedule."""
        return 0

    def optimizer_period(self, progress: Progress) -> int:
        """Return a number that changes between two steps exactly if the optimizer starts anew between them."""
        return 0

    def schedule_end(self, steps_per_epoch: int) -> int:
        """Return the optimizer step at which the last stage begins; 0 without a schedule."""
        return 0

    def sequence(self, row: Row, progress: Progress, rng: np.random.Generator) -> Trainable:
        """Build the training sequence of a tokenized row.

        Args:
            row: Holds ``prompt_ids``, ``trace_ids``, ``solution_ids``, ``step_lengths`` and, where needed, ``codes``
                with ``code_ends``.
            progress: Place in the schedule.
            rng: Source of every random choice, the same for the same seed, epoch and row.
        """
        raise NotImplementedError

    def prompt(self, prompt_ids: Sequence[int], progress: Progress, thoughts: int | None = None) -> list[int]:
        """Return what the language model is given at inference.

        Args:
            prompt_ids: The prompt P.
            progress: Place in the schedule that training reached.
            thoughts: Number of thoughts in place of the method's own.

        Raises:
            InputError: If ``thoughts`` is given and the method has none.
        """
        if thoughts is not None:
            raise InputError(f"--thoughts {thoughts}: method '{self.name}' has no thoughts; leave it out")
        return list(prompt_ids)

    def thoughts_to_add(self, progress: Progress) -> int:
        """Return the most thoughts that the model adds to the prompt until it stops by itself; 0: it adds none."""
        return 0

    @property
    def learns_stop(self) -> bool:
        """Whether a classifier is trained that ends the thoughts."""
        return False

    def extra_tokens(self, row: Row) -> int:
        """Return how many tokens longer than P, C and S together a sequence of a row can be at most."""
        return 0

    def latents_of(self, row: Row) -> int:
        """Return how many latents stand for the whole trace of a row with codes."""
        return len(row["codes"])

    def options(self) -> dict[str, Any]:
        """Return the method's options as plain values."""
        return asdict(self)


def answer_sequence(prompt: Sequence[int], answer: Sequence[int], thought: int | None = None) -> Trainable:
    """Join a prompt, which is not learned, and an answer, which is.

    Args:
        prompt: Token ids that are given, fillers and thoughts among them.
        answer: Token ids that are learned.
        thought: Id of the placeholder of a continuous thought, if there can be any.

    >>> answer_sequence([5, 6], [7, 8], thought=6)
    Trainable(ids=[5, 6, 7, 8], labels=[-100, -100, 7, 8], thoughts=[False, True, False, False])
    """
    ids = [*prompt, *answer]
    labels = [*[IGNORED] * len(prompt), *answer]
    return Trainable(ids, labels, [thought is not None and token == thought for token in ids])


def require(holds: bool, name: str, value: Any, wanted: str) -> None:
    """Raise an ``InputError`` unless the value of a method's option holds what is ``wanted``."""
    if not holds:
        raise InputError(f"method option '{name}': {value} does not fit; give {wanted}")


def recoded(rows: Any, method: Method) -> Any:
    """Return ``rows``, a ``datasets.Dataset`` or a list of rows, with the codes that ``method`` gives them.

    Rows whose codes the method leaves alone, or that have none, come back as they are.
    """
    if not len(rows) or "codes" not in rows[0]:
        return rows
    codes = method.recode(in_turn(rows, ["row", "trace_ids", "codes", "code_ends"]))
    if codes is None:
        return rows
    if isinstance(rows, list):
        return [{**row, "codes": own} for row, own in zip(rows, codes, strict=True)]
    return with_column(rows.remove_columns("codes"), "codes", codes)
