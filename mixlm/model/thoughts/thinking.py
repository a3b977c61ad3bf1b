"""Continuous thoughts for any causal LM: the last hidden state becomes the next input (Coconut, section 3).

A thought is a place in the sequence whose input is no token's embedding but the hidden state, after the final norm, of
the place before it. A batch is computed in passes over one key-value cache (``passes``) where that gives what whole
rows give, and as whole rows (``recomputed``) where it does not.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional as F

from mixlm.model.abilities import bare
from mixlm.model.special_tokens import IGNORED
from mixlm.model.thoughts.layout import Cut, cut_up
from mixlm.model.thoughts.passes import cache_argument, new_cache, reach, run_passes
from mixlm.model.thoughts.recomputed import fill_in, flush_left, last_logits


if TYPE_CHECKING:
    from transformers import PreTrainedModel


class ThoughtOutput(NamedTuple):
    """What ``thought_forward`` returns.

    Attributes:
        loss: Mean cross-entropy over the labels that are not -100, a scalar; None without labels.
        logits: (rows, length, vocabulary), at the places of ``input_ids``; without meaning at padding.
    """

    loss: torch.Tensor | None
    logits: torch.Tensor


def thought_forward(
    model: "PreTrainedModel",
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    thought_mask: torch.Tensor,
    labels: torch.Tensor | None = None,
) -> ThoughtOutput:
    """Run a causal LM on sequences with continuous thoughts, with gradients through all passes.

    Args:
        model: Any causal LM of transformers that takes input embeddings.
        input_ids: (rows, length); what stands at thoughts and at padding is never read.
        attention_mask: (rows, length), 0 at padding, which may be on either side. Positions are counted from it.
        thought_mask: (rows, length), True where the input is a thought.
        labels: (rows, length), not shifted, -100 (``IGNORED``) where nothing is learned.

    Raises:
        ValueError: If a row begins with a thought: there is no hidden state before it.
    """
    logits, _ = think_through(model, input_ids, attention_mask, thought_mask)
    return ThoughtOutput(None if labels is None else mean_loss(logits, labels), logits)


def think_through(
    model: "PreTrainedModel", input_ids: torch.Tensor, attention_mask: torch.Tensor, thought_mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits, (rows, length, vocabulary), and input embeddings, (rows, length, width), of ``thought_forward``.

    Raises:
        ValueError: As ``thought_forward``.
    """
    cut = cut_up(input_ids, attention_mask, thought_mask)
    if reach(model).covers(cut):
        passes = [(output.logits, inputs) for output, inputs in run_passes(model, cut)]
        logits, inputs = (torch.cat(parts, 1) for parts in zip(*passes, strict=True))
    else:
        cut = flush_left(input_ids, attention_mask, thought_mask)
        inputs = fill_in(model, cut)
        logits = model(inputs_embeds=inputs, attention_mask=cut.mask, use_cache=False).logits
    return cut.restore(logits), cut.restore(inputs)


@torch.no_grad()
def thought_generate(
    model: "PreTrainedModel",
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    thought_mask: torch.Tensor,
    max_new_tokens: int,
    eos_token_id: int,
) -> torch.Tensor:
    """Continue sequences with continuous thoughts greedily, batched, and with a cache where the model can have one.

    Args:
        model: As in ``thought_forward``.
        input_ids: As in ``thought_forward``, (rows, length).
        attention_mask: As in ``thought_forward``.
        thought_mask: As in ``thought_forward``; the last place may be a thought.
        max_new_tokens: Longest continuation.
        eos_token_id: Ends a row; the batch ends when all rows have ended.

    Returns:
        New ids, (rows, at most ``max_new_tokens``); after the end of a row ``eos_token_id`` again.

    Raises:
        ValueError: As ``thought_forward``.
    """
    cut = cut_up(input_ids, attention_mask, thought_mask)
    if reach(model).covers(cut, max_new_tokens):
        steps = _steps_over_cache(model, cut)
    else:
        steps = _steps_over_rows(model, flush_left(input_ids, attention_mask, thought_mask))
    logits, written = next(steps), input_ids.new_zeros(len(input_ids), 0)
    ended = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
    while written.shape[1] < max_new_tokens:
        token = logits.argmax(-1).masked_fill(ended, eos_token_id)
        ended |= token == eos_token_id
        written = torch.cat([written, token[:, None]], 1)
        if written.shape[1] == max_new_tokens or ended.all():
            break
        logits = steps.send(token)
    return written


def _steps_over_cache(model: "PreTrainedModel", cut: Cut) -> Generator[torch.Tensor, torch.Tensor, None]:
    """Yield the logits after each row, (rows, vocabulary); takes the tokens that follow, (rows,)."""
    cache, mask = new_cache(model), cut.mask
    *_, (output, _) = run_passes(model, cut, cache, **last_logits(model))
    while True:
        token = yield output.logits[:, -1]
        mask = F.pad(mask, (0, 1), value=1)
        place = mask.sum(1, keepdim=True) - 1
        output = model(
            input_ids=token[:, None], attention_mask=mask, position_ids=place, use_cache=True, **cache_argument(cache)
        )


def _steps_over_rows(model: "PreTrainedModel", rows: Cut) -> Generator[torch.Tensor, torch.Tensor, None]:
    """Do as ``_steps_over_cache``, computing whole rows again for every token."""
    embed = bare(model).get_input_embeddings()
    embeds, lengths = fill_in(model, rows), rows.mask.sum(1)
    every = torch.arange(len(lengths), device=lengths.device)
    while True:
        mask = (torch.arange(embeds.shape[1], device=lengths.device) < lengths[:, None]).long()
        token = yield model(inputs_embeds=embeds, attention_mask=mask, use_cache=False).logits[every, lengths - 1]
        embeds = F.pad(embeds, (0, 0, 0, 1)).index_put((every, lengths), embed(token))
        lengths = lengths + 1


@torch.no_grad()
def fill_thoughts(
    model: "PreTrainedModel", input_ids: torch.Tensor, attention_mask: torch.Tensor, thought_mask: torch.Tensor
) -> torch.Tensor:
    """Return the input embeddings of sequences with every thought filled in, (rows, length, width).

    Given these, one plain pass with ``inputs_embeds`` computes the same as the passes that made them.

    Raises:
        ValueError: As ``thought_forward``.
    """
    cut = cut_up(input_ids, attention_mask, thought_mask)
    if reach(model).covers(cut):
        return cut.restore(torch.cat([inputs for _, inputs in run_passes(model, cut, **last_logits(model))], 1))
    rows = flush_left(input_ids, attention_mask, thought_mask)
    return rows.restore(fill_in(model, rows))


def mean_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy over all labels of a batch; 0 if there is none."""
    losses = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), reduction="sum")
    return losses / (labels[:, 1:] != IGNORED).sum().clamp(min=1)
