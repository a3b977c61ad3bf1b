"""The names and ids of the tokens that reasoning methods add to a vocabulary.

A base model may have tokens of these names itself. Which are ours is therefore no matter of names: a tokenizer that we
added tokens to carries their ids among its settings, and with them into every copy of its folder.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mixlm.errors import InputError


if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


MARK = "mixlm_tokens"  # the setting, in tokenizer_config.json
IGNORED = -100  # the label that torch's cross-entropy leaves out
BO_LATENT, EO_LATENT = "<boLatent>", "<eoLatent>"
PAUSE = "<pause>"
BO_THOUGHT, THOUGHT, EO_THOUGHT = "<boThought>", "<thought>", "<eoThought>"

_LATENT = re.compile(r"<latent_(\d+)>")
_OTHERS = {
    BO_LATENT: "bo_latent",
    EO_LATENT: "eo_latent",
    PAUSE: "pause",
    BO_THOUGHT: "bo_thought",
    THOUGHT: "thought",
    EO_THOUGHT: "eo_thought",
}


def latent_name(code: int) -> str:
    """Return the token of ``code``: a latent is the index of a codebook vector (Token Assorted, section 3.2)."""
    return f"<latent_{code}>"


def latent_span(codebook_size: int) -> list[str]:
    """Return the tokens that a span of latents needs: both delimiters, then ``codebook_size`` latents in order."""
    return [BO_LATENT, EO_LATENT, *map(latent_name, range(codebook_size))]


def is_project_name(name: str) -> bool:
    """Tell whether ``name`` is the name of one of this project's tokens, of any method, whosever the token is."""
    return name in _OTHERS or _LATENT.fullmatch(name) is not None


@dataclass(frozen=True)
class SpecialIds:
    """Ids of the tokens that a run's vocabulary holds; None (or a codebook of 0) where it has no such token.

    Attributes:
        eos: End of the answer.
        bo_latent: Opens a span of latents.
        eo_latent: Closes a span of latents.
        first_latent: Id of the latent of code 0; code ``i`` has id ``first_latent + i``.
        codebook_size: Number of latents, K.
        pause: Filler of the pause-token method.
        bo_thought: Opens a span of continuous thoughts.
        thought: Placeholder of one continuous thought.
        eo_thought: Closes a span of continuous thoughts.
    """

    eos: int
    bo_latent: int | None = None
    eo_latent: int | None = None
    first_latent: int | None = None
    codebook_size: int = 0
    pause: int | None = None
    bo_thought: int | None = None
    thought: int | None = None
    eo_thought: int | None = None

    @classmethod
    def from_names(cls, eos: int, ids: Mapping[str, int]) -> "SpecialIds":
        """Collect the ids of this project's tokens out of ``ids``, a map of token to id.

        Raises:
            ValueError: If the latents' ids are not consecutive and in the order of their codes.
        """
        latents = {int(found[1]): ids[name] for name in ids if (found := _LATENT.fullmatch(name))}
        first = min(latents.values(), default=None)
        if latents != {code: first + code for code in range(len(latents))}:
            raise ValueError("the latent tokens of this vocabulary are not consecutive")
        fields = {field: ids[name] for name, field in _OTHERS.items() if name in ids}
        return cls(eos, first_latent=first, codebook_size=len(latents), **fields)

    def names(self) -> dict[str, int]:
        """Return the ids by the names of their tokens, those that the vocabulary holds: what ``from_names`` takes."""
        others = {name: getattr(self, field) for name, field in _OTHERS.items()}
        latents = {latent_name(code): token for code, token in enumerate(self.latent_ids)}
        return {name: token for name, token in others.items() if token is not None} | latents

    @property
    def latent_ids(self) -> range:
        """Ids of the latents in the order of their codes; empty without latents."""
        first = self.first_latent or 0
        return range(first, first + self.codebook_size)

    def latent(self, code: int) -> int:
        """Return the token id of ``code``."""
        return self.latent_ids[code]

    def code(self, token_id: int) -> int:
        """Return the code of latent ``token_id``; a ``ValueError`` if it is no latent's."""
        return self.latent_ids.index(token_id)

    def is_latent(self, token_id: int) -> bool:
        """Tell whether ``token_id`` is a latent."""
        return token_id in self.latent_ids

    def latents_in(self, ids: "torch.Tensor") -> "torch.Tensor":
        """Return where ``ids`` are latents, booleans in their shape."""
        return (ids >= self.latent_ids.start) & (ids < self.latent_ids.stop)

    def present(self) -> list[int]:
        """Return every id of this project's tokens in the vocabulary, ascending."""
        others = (self.bo_latent, self.eo_latent, self.pause, self.bo_thought, self.thought, self.eo_thought)
        return sorted([*(token for token in others if token is not None), *self.latent_ids])

    def to_dict(self) -> dict[str, int | None]:
        """Return the fields as plain values for ``mixlm.json``."""
        return asdict(self)


def special_ids(tokenizer: "PreTrainedTokenizerBase") -> SpecialIds:
    """Return the ids of this project's tokens in ``tokenizer``; a base model's own of the same names are none."""
    return SpecialIds(tokenizer.eos_token_id, **tokenizer.init_kwargs.get(MARK, {}))


def mark_tokens(tokenizer: "PreTrainedTokenizerBase", special: SpecialIds) -> None:
    """Let ``tokenizer`` carry, wherever it is saved, which of its tokens are ours."""
    fields = {name: value for name, value in special.to_dict().items() if value is not None and name != "eos"}
    if special.present():
        tokenizer.init_kwargs[MARK] = fields


def add_project_tokens(tokenizer: "PreTrainedTokenizerBase", names: Sequence[str]) -> list[int]:
    """Add those tokens ``names`` that are not there yet, in place.

    If one of the names is that of a token of the base model's own, it stays its own: all that are added then have
    other names.

    Returns:
        The ids of the tokens that are new.

    Raises:
        InputError: If they would have ids of others, as the tokenizer counts them.
    """
    special, vocabulary = special_ids(tokenizer), tokenizer.get_vocab()
    held = special.names()
    missing = [name for name in names if name not in held]
    if not missing:
        return []
    free = missing
    while not vocabulary.keys().isdisjoint(free):
        free = [f"<mixlm_{name[1:]}" for name in free]
    tokenizer.add_tokens(free, special_tokens=True)
    new = tokenizer.convert_tokens_to_ids(free)
    if taken := set(new).intersection(vocabulary.values()):
        raise InputError(
            "the tokenizer's vocabulary leaves ids out, and new tokens would have those of others, such as "
            f"{min(taken)}; number its tokens without gaps"
        )
    mark_tokens(tokenizer, SpecialIds.from_names(special.eos, held | dict(zip(missing, new, strict=True))))
    return new


def namesakes(tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    """Return the names of this project's that tokens of the base model's own have, in the order of their ids."""
    ours = set(special_ids(tokenizer).present())
    found = {token: name for name, token in tokenizer.get_vocab().items() if is_project_name(name)}
    return [found[token] for token in sorted(found) if token not in ours]


def text_only(ids: Iterable[int], special: SpecialIds) -> list[int]:
    """Drop this project's tokens from ``ids``."""
    drop = set(special.present())
    return [token for token in ids if token not in drop]
