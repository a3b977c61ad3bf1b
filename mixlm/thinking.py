"""From a prompt with thoughts to what ``generate`` of transformers continues, and the learned end of thinking."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from mixlm.loss import logits_at
from mixlm.thoughts import Cut, bare, cut_up, fill_thoughts, last_logits, new_cache, run_passes
from mixlm.tokens import SpecialIds


STOP = "thought_stop"  # the classifier's name among the model's modules
STOP_FILE = "thought_stop.safetensors"
Change = Callable[[torch.Tensor, torch.Tensor, Sequence[int]], torch.Tensor]


def add_stop(model: Any) -> None:
    """Give a causal LM a binary classifier that says whether a thought is the last (Coconut, section 3).

    It is a linear map of the thought to a logit, 0 at first, and part of the model until ``save_stop`` takes it out.
    """
    head = nn.Linear(model.get_input_embeddings().weight.shape[1], 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    model.add_module(STOP, head.to(model.device))


def save_stop(model: Any, folder: Path) -> None:
    """Write the classifier to ``folder`` and take it out of the model, which is then a plain causal LM again."""
    from safetensors.torch import save_file

    head = model.get_submodule(STOP)
    save_file({name: value.float().contiguous() for name, value in head.state_dict().items()}, folder / STOP_FILE)
    delattr(model, STOP)


def load_stop(model: Any, folder: Path) -> None:
    """Read the classifier from ``folder``."""
    from safetensors.torch import load_file

    add_stop(model)
    model.get_submodule(STOP).load_state_dict(load_file(folder / STOP_FILE))


def is_last(model: Any, thoughts: torch.Tensor) -> torch.Tensor:
    """Return whether the model's classifier takes ``thoughts``, (rows, width), for the last of their rows, (rows,)."""
    head = model.get_submodule(STOP)
    return head(thoughts.to(head.weight.dtype))[:, 0] > 0


def stop_loss(head: nn.Module, cut: Cut, inputs: torch.Tensor) -> torch.Tensor:
    """Return the binary cross-entropy of the classifier, summed over the thoughts of a batch.

    The target is 1 for the last thought of a row and 0 for those before it. Thoughts are read and not changed: no
    gradient reaches the language model.

    Args:
        head: The classifier.
        cut: The batch.
        inputs: Its input embeddings, (rows, W, width).
    """
    left = cut.thoughts.flip(1).cumsum(1).flip(1)[cut.thoughts]  # thoughts of the row from here on
    logits = head(inputs.detach()[cut.thoughts].to(head.weight.dtype))[:, 0]
    return F.binary_cross_entropy_with_logits(logits, (left == 1).to(logits.dtype), reduction="sum")


def thoughtful_batch(
    model: Any,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    thoughts: torch.Tensor | None = None,
    head: nn.Module | None = None,
) -> dict[str, torch.Tensor]:
    """Run a batch of the collator that may hold thoughts.

    Args:
        model: Causal LM.
        input_ids: (rows, length).
        attention_mask: (rows, length).
        thoughts: True at thoughts, (rows, length); None: there are none.
        head: The classifier that ends thoughts, if one is trained.

    Returns:
        ``logits``, (rows, length, vocabulary), and with a classifier its ``stop_loss``.
    """
    cut = cut_up(input_ids, attention_mask, torch.zeros_like(input_ids) if thoughts is None else thoughts)
    inputs: list[torch.Tensor] = []
    logits = torch.cat([output.logits for output in run_passes(model, cut, inputs=inputs)], 1)
    output = {"logits": cut.restore(logits)}
    return output if head is None else output | {"stop_loss": stop_loss(head, cut, torch.cat(inputs, 1))}


def scored_batch(
    model: Any, places: torch.Tensor, head: nn.Module | None = None, **batch: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Run a batch of the collator, labels apart, for its loss.

    Args:
        model: Causal LM.
        places: Where its predictions are compared with labels, (rows, length).
        head: The classifier that ends thoughts, if one is trained.
        batch: Of the collator; several passes are made where it holds thoughts.

    Returns:
        ``logits`` at the places, (places, vocabulary), and with a classifier its ``stop_loss``.
    """
    if head is None and "thoughts" not in batch:
        with logits_at(bare(model), places):
            return {"logits": model(**batch, use_cache=False).logits[0]}
    output = thoughtful_batch(model, head=head, **batch)
    return output | {"logits": output["logits"][places]}


@torch.no_grad()
def prefill(
    model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, thought_mask: torch.Tensor
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
    model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, most: int, special: SpecialIds
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
    model: Any,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    special: SpecialIds,
    change: Change,
    places: Sequence[int],
) -> dict[str, Any]:
    """Prepare prompts whose latents and thoughts are other vectors than the model's own.

    Args:
        model: Causal LM.
        input_ids: (rows, length), padded on the left, with latents or placeholders of thoughts.
        attention_mask: (rows, length).
        special: Tells latents and thoughts by their ids.
        change: Given all input embeddings, (rows, length, width), where latents and thoughts are, (rows, length), and
            ``places``, returns the embeddings to use.
        places: What each row is to the caller.

    Returns:
        Arguments of ``model.generate``.
    """
    thoughts = is_thought(input_ids, special)
    latents = (input_ids >= special.latent_ids.start) & (input_ids < special.latent_ids.stop)
    embeds = fill_thoughts(model, input_ids, attention_mask, thoughts)
    changed = change(embeds, (latents | thoughts) & attention_mask.bool(), places)
    return {"input_ids": input_ids, "attention_mask": attention_mask, "inputs_embeds": changed}


def is_thought(input_ids: torch.Tensor, special: SpecialIds) -> torch.Tensor:
    """Return where ``input_ids`` have the placeholder of a thought, in their shape."""
    return input_ids == (-1 if special.thought is None else special.thought)
