"""How many tokens an answer took: counted on ids, since a decoded text no longer shows latents."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from mixlm.errors import InputError
from mixlm.model.special_tokens import SpecialIds, text_only


TOKEN_KINDS = ("text", "latent", "delimiter", "pause", "thought")


@dataclass(frozen=True)
class TokenCounts:
    """Tokens after the prompt P, by kind; tokens that were forced count like any other.

    A server that sends text alone says how many there are, and not of which kind.

    Attributes:
        text: Ordinary tokens, the end-of-sequence token among them.
        latent: Latents, each one token (Token Assorted, tables 4.1 and 4.3).
        delimiter: ``<boLatent>``, ``<eoLatent>``, and the delimiters of thoughts.
        pause: Pause tokens, also those that the method put behind P before the model began.
        thought: Continuous thoughts.
        thought_delimiter: Of ``delimiter``, those of thoughts.
        unsorted: All of them, where their kinds are not known; None where they are.
    """

    text: int = 0
    latent: int = 0
    delimiter: int = 0
    pause: int = 0
    thought: int = 0
    thought_delimiter: int = 0
    unsorted: int | None = None

    @property
    def total(self) -> int:
        """Everything after P."""
        known = self.text + self.latent + self.delimiter + self.pause + self.thought
        return known if self.unsorted is None else self.unsorted

    @property
    def paper_tokens(self) -> int | None:
        """The number that the papers print: without pauses and without the delimiters of thoughts."""
        return None if self.unsorted is not None else self.total - self.pause - self.thought_delimiter

    def kinds(self) -> dict[str, int | None]:
        """Return the counts that sum to ``total``; None where they are not known."""
        known = self.unsorted is None
        return {name: getattr(self, name) if known else None for name in TOKEN_KINDS}

    def to_dict(self) -> dict[str, int | None]:
        """Return every kind and the two sums."""
        return {**self.kinds(), "total": self.total, "paper_tokens": self.paper_tokens}


def count_tokens(ids: Iterable[int], special: SpecialIds) -> TokenCounts:
    """Count the tokens ``ids`` that follow a prompt, up to and including end of sequence.

    >>> count_tokens([7, 9, 8, 3, 0], SpecialIds(eos=0, bo_latent=7, eo_latent=8, first_latent=9, codebook_size=4))
    TokenCounts(text=2, latent=1, delimiter=2, pause=0, thought=0, thought_delimiter=0, unsorted=None)
    """
    counts = dict.fromkeys((*TOKEN_KINDS, "thought_delimiter"), 0)
    for token in ids:
        if special.is_latent(token):
            counts["latent"] += 1
        elif token in (special.bo_latent, special.eo_latent):
            counts["delimiter"] += 1
        elif token == special.pause:
            counts["pause"] += 1
        elif token == special.thought:
            counts["thought"] += 1
        elif token in (special.bo_thought, special.eo_thought):
            counts["delimiter"] += 1
            counts["thought_delimiter"] += 1
        else:
            counts["text"] += 1
    return TokenCounts(**counts)


@dataclass(frozen=True)
class Answer:
    """One answer, decoded here or by a server.

    Attributes:
        text: The decoded text; latents and other special tokens are left out.
        counts: Its tokens.
        finished: Whether the model ended the answer; False if it was cut off.
        ids: Everything after the prompt P, up to and including end of sequence; None if a server sent text alone.
        codes: Codes of the latents in order; None as ``ids``.
        error: Why a server gave no answer; None if it did.
    """

    text: str
    counts: TokenCounts
    finished: bool
    ids: list[int] | None = None
    codes: list[int] | None = None
    error: str | None = None


def require_answers(answers: Sequence[Answer], names: Sequence[str]) -> None:
    """Find out whether a server has left out an answer.

    Args:
        answers: The answers.
        names: What messages call the question of each.

    Raises:
        InputError: If it has.
    """
    failed = [f"{name}: {answer.error}" for name, answer in zip(names, answers, strict=True) if answer.error]
    if failed:
        raise InputError(f"{len(failed)} of {len(answers)} answers are missing, the first for {failed[0]}")


def read_answer(
    ids: Sequence[int], tokenizer: PreTrainedTokenizerBase, special: SpecialIds, ends: Sequence[int] | None = None
) -> Answer:
    """Read an answer out of the ids after P, dropping what follows end of sequence.

    Args:
        ids: Token ids, padded or not.
        tokenizer: The run's tokenizer.
        special: Ids of the run's tokens.
        ends: Ids that end an answer; by default the run's end of sequence alone.
    """
    ends = ends or [special.eos]
    last = next((place for place, token in enumerate(ids) if token in ends), None)
    ids = list(ids if last is None else ids[: last + 1])
    text = tokenizer.decode(text_only(ids, special), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    codes = [special.code(token) for token in ids if special.is_latent(token)]
    return Answer(text, count_tokens(ids, special), last is not None, ids, codes)


def opening_of(ids: Sequence[int], special: SpecialIds) -> list[int]:
    """Return the span of latents or thoughts that an answer begins with; empty if it begins with text."""
    closing = {special.bo_latent: special.eo_latent, special.bo_thought: special.eo_thought}
    closing.pop(None, None)
    end = closing.get(ids[0]) if len(ids) else None
    return list(ids[: list(ids).index(end) + 1]) if end is not None and end in ids else []


def is_cut_off(ids: Sequence[int], special: SpecialIds) -> bool:
    """Tell whether an answer begins with a span of latents or thoughts and ends within it."""
    return len(ids) > 0 and ids[0] in (special.bo_latent, special.bo_thought) and not opening_of(ids, special)
