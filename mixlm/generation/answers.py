"""How many tokens an answer took: counted on ids, since a decoded text no longer shows latents."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mixlm.model.special_tokens import SpecialIds, text_only
from mixlm.run import Run


@dataclass(frozen=True)
class TokenCounts:
    """Tokens after the prompt P, by kind; tokens that were forced count like any other.

    Attributes:
        text: Ordinary tokens, the end-of-sequence token among them.
        latent: Latents, each one token (Token Assorted, tables 4.1 and 4.3).
        delimiter: ``<boLatent>``, ``<eoLatent>``, and the delimiters of thoughts.
        pause: Pause tokens, also those that the method put behind P before the model began.
        thought: Continuous thoughts.
        thought_delimiter: Of ``delimiter``, those of thoughts.
    """

    text: int = 0
    latent: int = 0
    delimiter: int = 0
    pause: int = 0
    thought: int = 0
    thought_delimiter: int = 0

    @property
    def total(self) -> int:
        """Everything after P."""
        return self.text + self.latent + self.delimiter + self.pause + self.thought

    @property
    def paper_tokens(self) -> int:
        """The number that the papers print: without pauses and without the delimiters of thoughts."""
        return self.total - self.pause - self.thought_delimiter

    def kinds(self) -> dict[str, int]:
        """Return the counts that sum to ``total``."""
        return {name: getattr(self, name) for name in ("text", "latent", "delimiter", "pause", "thought")}

    def to_dict(self) -> dict[str, int]:
        """Return every kind and the two sums."""
        return {**self.kinds(), "total": self.total, "paper_tokens": self.paper_tokens}


def count_tokens(ids: Iterable[int], special: SpecialIds) -> TokenCounts:
    """Count the tokens ``ids`` that follow a prompt, up to and including end of sequence.

    >>> count_tokens([7, 9, 8, 3, 0], SpecialIds(eos=0, bo_latent=7, eo_latent=8, first_latent=9, codebook_size=4))
    TokenCounts(text=2, latent=1, delimiter=2, pause=0, thought=0, thought_delimiter=0)
    """
    counts = dict.fromkeys(("text", "latent", "delimiter", "pause", "thought", "thought_delimiter"), 0)
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
    """One decoded answer.

    Attributes:
        ids: Everything after the prompt P, up to and including end of sequence.
        text: The decoded text; latents and other special tokens are left out.
        codes: Codes of the latents in order.
        counts: Tokens by kind.
        finished: Whether the model ended the answer; False if it was cut off.
    """

    ids: list[int]
    text: str
    codes: list[int]
    counts: TokenCounts
    finished: bool


def read_answer(ids: Sequence[int], tokenizer: Any, run: Run, ends: Sequence[int] | None = None) -> Answer:
    """Read an answer out of the ids after P, dropping what follows end of sequence.

    Args:
        ids: Token ids, padded or not.
        tokenizer: The run's tokenizer.
        run: The run.
        ends: Ids that end an answer; by default the run's end of sequence alone.
    """
    ends = ends or [run.ids.eos]
    last = next((place for place, token in enumerate(ids) if token in ends), None)
    ids = list(ids if last is None else ids[: last + 1])
    text = tokenizer.decode(text_only(ids, run.ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    codes = [run.ids.code(token) for token in ids if run.ids.is_latent(token)]
    return Answer(ids, text, codes, count_tokens(ids, run.ids), finished=last is not None)
