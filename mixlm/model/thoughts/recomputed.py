"""Thoughts without a cache: whole rows, computed again for every thought.

This is the definition, batched: rows are padded behind, where no causal LM looks. It serves every model that takes
input embeddings, recurrent ones among them, at n + 1 passes of growing length for n thoughts.
"""

from inspect import signature
from typing import TYPE_CHECKING

import torch

from mixlm.model.abilities import bare
from mixlm.model.thoughts.layout import Cut, laid_out


if TYPE_CHECKING:
    from transformers import PreTrainedModel


def flush_left(input_ids: torch.Tensor, attention_mask: torch.Tensor, thought_mask: torch.Tensor) -> Cut:
    """Lay a batch out as whole rows, padded behind; takes the arguments of ``thought_forward``.

    Raises:
        ValueError: If a row begins with a thought.
    """
    real = attention_mask.bool()
    slots = (real.long().cumsum(1) - 1).masked_fill(~real, -1)
    return laid_out(input_ids, real, thought_mask, slots, [0, int(real.sum(1).max())])


def fill_in(model: "PreTrainedModel", rows: Cut) -> torch.Tensor:
    """Return the input embeddings of whole rows, (rows, W, width), every thought filled in, with gradients.

    Args:
        model: Causal LM that takes input embeddings.
        rows: Of ``flush_left``.
    """
    lm = bare(model)
    embeds = lm.get_input_embeddings()(rows.ids)
    order = rows.thoughts.long().cumsum(1)
    for number in range(1, int(order.amax()) + 1):
        row, place = (rows.thoughts & (order == number)).nonzero(as_tuple=True)
        thought = last_hidden(lm, embeds[row, : place.max()], place)
        embeds = embeds.index_put((row, place), thought.to(embeds.dtype))
    return embeds


def last_hidden(model: "PreTrainedModel", embeds: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return the hidden state, after the final norm, at the last place of each row, (rows, width).

    Args:
        model: Causal LM.
        embeds: (rows, length, width).
        lengths: (rows,) places that count.
    """
    seen = (torch.arange(embeds.shape[1], device=embeds.device) < lengths[:, None]).long()
    options = {"use_cache": False, "output_hidden_states": True, **last_logits(model)}
    output = model(inputs_embeds=embeds, attention_mask=seen, **options)
    return output.hidden_states[-1][torch.arange(len(embeds), device=embeds.device), lengths - 1]


def last_logits(model: "PreTrainedModel", count: int = 1) -> dict[str, int]:
    """Return the option that spares a model the logits of all but the last ``count`` places, if it has one."""
    return {"logits_to_keep": count} if "logits_to_keep" in signature(model.forward).parameters else {}
