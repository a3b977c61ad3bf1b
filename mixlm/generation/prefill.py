"""From a prompt with thoughts to what ``generate`` of transformers continues, and the learned end of thinking."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.nn import functional as F
from transformers import PreTrainedModel

from mixlm.errors import InputError
from mixlm.model.special_tokens import SpecialIds
from mixlm.model.thoughts.layout import cut_up
from mixlm.model.thoughts.passes import cache_argument, new_cache, obstacle, reach, run_passes
from mixlm.model.thoughts.recomputed import flush_left, last_hidden, last_logits
from mixlm.model.thoughts.stop import is_last
from mixlm.model.thoughts.thinking import fill_thoughts


Change = Callable[[torch.Tensor], torch.Tensor]  # of the vectors of a row's latents and thoughts, (number, width)


@torch.no_grad()
def prefill(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    thought_mask: torch.Tensor,
    budget: int,
) -> dict[str, Any]:
    """Compute prompts with thoughts, where passes over a cache may do it up to their last token.

    Args:
        model: Causal LM.
        input_ids: (rows, length), padded on the left; the last token is no thought.
        attention_mask: (rows, length).
        thought_mask: (rows, length).
        budget: Tokens that may follow.

    Returns:
        Arguments of ``model.generate``: ``input_ids``, ``attention_mask`` and the cache, which lacks the last column.
        Columns are those of the passes: there may be more than were given. Of a model that cannot have passes so far,
        the prompts as they are and their ``inputs_embeds``. Without any thought the prompts alone.
    """
    if not thought_mask.any():
        return {"input_ids": input_ids, "attention_mask": attention_mask}
    cut = cut_up(input_ids, attention_mask, thought_mask)
    if not reach(model).covers(cut, budget):
        embeds = fill_thoughts(model, input_ids, attention_mask, thought_mask)
        return {"input_ids": input_ids, "attention_mask": attention_mask, "inputs_embeds": embeds}
    cache = new_cache(model)
    shortened = replace(cut, bounds=[*cut.bounds[:-1], cut.bounds[-1] - 1])
    for _ in run_passes(model, shortened, cache, **last_logits(model)):
        pass
    return {"input_ids": cut.ids, "attention_mask": cut.mask, **cache_argument(cache)}


@torch.no_grad()
def think(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    most: int,
    special: SpecialIds,
    budget: int,
) -> dict[str, Any]:
    """Let a model think after its prompts until its classifier fires, row by row.

    Args:
        model: Causal LM with a classifier (``add_stop``).
        input_ids: (rows, length), padded on the left, each ending in ``<boThought>``.
        attention_mask: (rows, length).
        most: Thoughts after which a row stops anyway, at least 1.
        special: Ids of the thoughts' tokens.
        budget: Tokens that may follow.

    Returns:
        As ``prefill``; every row has at least one thought and ends in ``<eoThought>``. Rows that stopped earlier than
        others are padded in between, or before them where there is no cache.
    """
    if input_ids.shape[1] + most + 1 + budget > reach(model).gaps:
        return _think_over_rows(model, input_ids, attention_mask, most, special)
    cache, mask, ids = new_cache(model), attention_mask, [input_ids]
    active = torch.ones(len(input_ids), dtype=torch.bool, device=input_ids.device)
    options = {**cache_argument(cache), "use_cache": True, "output_hidden_states": True, **last_logits(model)}
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
    return {"input_ids": torch.cat(ids, 1), "attention_mask": F.pad(mask, (0, 1), value=1), **cache_argument(cache)}


def _think_over_rows(
    model: PreTrainedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor, most: int, special: SpecialIds
) -> dict[str, Any]:
    """Do as ``think`` without a cache, computing whole rows again for every thought."""
    rows, embed = flush_left(input_ids, attention_mask, torch.zeros_like(attention_mask)), model.get_input_embeddings()
    every, lengths = torch.arange(len(rows.ids), device=model.device), rows.mask.sum(1)
    ids, embeds = F.pad(rows.ids, (0, most + 1)), F.pad(embed(rows.ids), (0, 0, 0, most + 1))
    active = torch.ones_like(lengths, dtype=torch.bool)
    for _ in range(most):
        thought = last_hidden(model, embeds[:, : lengths.max()], lengths)
        ids[every[active], lengths[active]] = special.thought
        embeds[every[active], lengths[active]] = thought[active].to(embeds.dtype)
        lengths = lengths + active
        active = active & ~is_last(model, thought)
        if not active.any():
            break
    ids[every, lengths] = special.eo_thought
    embeds[every, lengths] = embed(ids[every, lengths])
    width = lengths.max() + 1
    place = torch.arange(width, device=model.device) - (width - lengths[:, None] - 1)  # padded before, as given
    kept = every[:, None], place.clamp(min=0)
    return {"input_ids": ids[kept], "attention_mask": (place >= 0).long(), "inputs_embeds": embeds[kept]}


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

    Raises:
        InputError: If the model does not compute from input embeddings alone.
    """
    reason = obstacle(model)
    if reason:
        raise InputError(
            f"vectors of latents cannot be changed in a model of type '{model.config.model_type}': {reason}"
        )
    thoughts = is_thought(input_ids, special)
    embeds = fill_thoughts(model, input_ids, attention_mask, thoughts)
    marked, embeds = (special.latents_in(input_ids) | thoughts) & attention_mask.bool(), embeds.clone()
    for row, own, change in zip(embeds, marked, changes, strict=True):
        if change is not None:
            row[own] = change(row[own])
    return {"input_ids": input_ids, "attention_mask": attention_mask, "inputs_embeds": embeds}


def is_thought(input_ids: torch.Tensor, special: SpecialIds) -> torch.Tensor:
    """Return where ``input_ids`` have the placeholder of a thought, in their shape."""
    return input_ids == (-1 if special.thought is None else special.thought)
