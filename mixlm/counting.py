"""How many tokens an answer took: counted on ids, since a decoded text no longer shows latents."""

from collections.abc import Iterable
from dataclasses import dataclass

from mixlm.tokens import SpecialIds


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
