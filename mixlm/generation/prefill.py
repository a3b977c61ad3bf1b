"""From a prompt with thoughts to what ``generate`` of transformers continues, and the learned end of thinking."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.nn import functional as F
from transformers import PreTrainedModel

from mixlm.model.special_tokens import SpecialIds
from mixlm.model.stop import is_last
from mixlm.model.thoughts import cut_up, fill_thoughts, last_logits, new_cache, run_passes


Change = Callable[[torch.Tensor], torch.Tensor]  # of the vectors of a row's latents and thoughts, (number, width)


@torch.no_grad()
def prefill(
    model: PreTrainedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor, thought_mask: torch.Tensor
) -> dict[str, Any]:
    """Compute prompts with thoughts up to their last token.

    Args:
        model: Causal LM.
        input_ids: (rows, length), padded on the left; the last token is no thought.
        attention_mask: (rows, length).
        thought_mask: (rows, length).

    Returns:
        Arguments of ``model.generate``: ``input_ids``, ``attention_mask`` and ``past_key_values``, which lacks the
        last column. Columns are those of the passes: there may be more than were given. Without any thought the
        prompts come back as they are.
    """
    if not thought_mask.any():
        return {"input_ids": input_ids, "attention_mask": attention_mask}
    cut, cache = cut_up(input_ids, attention_mask, thought_mask), new_cache(model)
    shortened = replace(cut, bounds=[*cut.bounds[:-1], cut.bounds[-1] - 1])
    for _ in run_passes(model, shortened, cache, **last_logits(model)):
        pass
    return {"input_ids": cut.ids, "attention_mask": cut.mask, "past_key_values": cache}


@torch.no_grad()
def think(
    model: PreTrainedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor, most: int, special: SpecialIds
) -> dict[str, Any]:
    """Let a model think after its prompts until its classifier fires, row by row.

    Args:
        model: Causal LM with a classifier (``add_stop``).
        input_ids: (rows, length), padded on the left, each ending in ``<boThought>``.
        attention_mask: (rows, length).
        most: Thoughts after which a row stops anyway, at least 1.
        special: Ids of the thoughts' tokens.

    Returns:
        As ``prefill``; every row has at least one thought and ends in ``<eoThought>``. Rows that stopped earlier than
        others are padded in between.
    """
    cache, mask, ids = new_cache(model), attention_mask, [input_ids]
    active = torch.ones(len(input_ids), dtype=torch.bool, device=input_ids.device)
    options = {"past_key_values": cache, "use_cache": True, "output_hidden_states": True, **last_logits(model)}
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    output = model(input_ids=input_ids, attention_mask=mask, position_ids=positions, **options)
    thought = output.hidden_states[-1][:, -1:]
    for _ in range(most):
        mask = torch.cat([mask, active[:, None].long()], 1)
        ids.append(active[:, None] * special.thought)
        place = (mask.sum(1, keepdim=True) - 1).clamp(min=0)
        output = model(inputs_embeds=thought, attention_mask=mask, position_ids=place, **options)
        active = active & ~is_last(model, thought[:, 0])
        if not active.any():
            break
        thought = output.hidden_states[-1]
    ids.append(torch.full_like(input_ids[:, :1], special.eo_thought))
    return {"input_ids": torch.cat(ids, 1), "attention_mask": F.pad(mask, (0, 1), value=1), "past_key_values": cache}


@torch.no_grad()
def change_latents(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    special: SpecialIds,
    changes: Sequence[Change | None],
) -> dict[str, Any]:
    """Prepare prompts whose latents and thoughts are other vectors than the model's own.

    Args:
        model: Causal LM.
        input_ids: (rows, length), padded on the left, with latents or placeholders of thoughts.
        attention_mask: (rows, length).
        special: Tells latents and thoughts by their ids.
        changes: That of each row; None: its vectors stay.

    Returns:
        Arguments of ``model.generate``.
    """
    thoughts = is_thought(input_ids, special)
    latents = (input_ids >= special.latent_ids.start) & (input_ids < special.latent_ids.stop)
    embeds = fill_thoughts(model, input_ids, attention_mask, thoughts)
    marked, embeds = (latents | thoughts) & attention_mask.bool(), embeds.clone()
    for row, own, change in zip(embeds, marked, changes, strict=True):
        if change is not None:
            row[own] = change(row[own])
    return {"input_ids": input_ids, "attention_mask": attention_mask, "inputs_embeds": embeds}


def is_thought(input_ids: torch.Tensor, special: SpecialIds) -> torch.Tensor:
    """Return where ``input_ids`` have the placeholder of a thought, in their shape."""
    return input_ids == (-1 if special.thought is None else special.thought)
