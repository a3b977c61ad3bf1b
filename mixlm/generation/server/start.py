"""What an answer goes on from, as a server can be given it: ids, vectors, or text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from mixlm.data.tokenization import starting_ids
from mixlm.errors import InputError
from mixlm.generation.answerer import Pending
from mixlm.generation.engine import Engine
from mixlm.generation.server.completions import as_field


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class UnreadableText(InputError):
    """A prompt of which a server that takes text alone would read other ids."""


class Start(NamedTuple):
    """What an answer goes on from.

    Attributes:
        pending: The answer.
        ids: What the model is given.
        embeds: The vectors that it reads for them, (length, width); None: those of the ids.
    """

    pending: Pending
    ids: list[int]
    embeds: torch.Tensor | None = None

    def field(self, ids: Sequence[int], engine: Engine) -> dict[str, Any]:
        """Return the field of a request that goes on from here and from the ids that the answer has so far."""
        if self.embeds is None:
            return {"prompt": [*self.ids, *ids]}
        return {"prompt_embeds": as_field(torch.cat([self.embeds, vectors_of(ids, engine)]))}

    def as_text(self, tokenizer: "PreTrainedTokenizerBase") -> str:
        """Return what the model is given as text of which a server makes the same ids.

        Raises:
            UnreadableText: If it would make others.
        """
        begin, ids = starting_ids(tokenizer), self.ids
        bare = ids[len(begin) :] if begin and ids[: len(begin)] == begin else ids
        text = tokenizer.decode(bare, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        if tokenizer(text)["input_ids"] != ids:
            raise UnreadableText(
                f"{self.pending.request.name}: the server takes text alone, and would read other ids out of it; serve "
                "the run with an engine that takes ids, such as vLLM"
            )
        return text


def vectors_of(ids: Sequence[int], engine: Engine) -> torch.Tensor:
    """Return the embeddings of tokens, (length, width)."""
    embed = engine.model.get_input_embeddings()
    return embed(torch.tensor(ids, dtype=torch.long, device=engine.model.device))
