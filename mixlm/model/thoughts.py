"""Continuous thoughts for any causal LM: the last hidden state becomes the next input (Coconut, section 3).

A thought is a place in the sequence whose input is no token's embedding but the hidden state, after the final norm, of
the place before it. A batch with up to n thoughts a row is computed in n + 1 passes over one key-value cache: every
pass ends just before the next thought, whose input is then the last hidden state of the pass. Gradients flow through
all passes, since the cache holds the keys and values as they were computed.

Rows may differ in length and in the number and places of their thoughts. They are cut into passes so that every row's
last thought falls into the last pass, and padded on the left within each pass (``lay_out``):

    row 1   P P P T x x      pass 0   . P     pass 1   P P     pass 2   T x x     (one thought: it waits a pass)
    row 2   Q Q T y T z               Q Q              T y              . T z
"""

from collections.abc import Iterator
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from mixlm.model.special_tokens import IGNORED


if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel
    from transformers.modeling_outputs import CausalLMOutputWithPast


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
        model: Any causal LM of transformers that has a key-value cache.
        input_ids: (rows, length); what stands at thoughts and at padding is never read.
        attention_mask: (rows, length), 0 at padding, which may be on either side. Positions are counted from it.
        thought_mask: (rows, length), True where the input is a thought.
        labels: (rows, length), not shifted, -100 (``IGNORED``) where nothing is learned.

    Raises:
        ValueError: If a row begins with a thought: there is no hidden state before it.
    """
    cut = cut_up(input_ids, attention_mask, thought_mask)
    logits = torch.cat([output.logits for output, _ in run_passes(model, cut)], 1)
    logits = cut.restore(logits)
    return ThoughtOutput(None if labels is None else mean_loss(logits, labels), logits)


@torch.no_grad()
def thought_generate(
    model: "PreTrainedModel",
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    thought_mask: torch.Tensor,
    max_new_tokens: int,
    eos_token_id: int,
) -> torch.Tensor:
    """Continue sequences with continuous thoughts greedily, batched and with a cache.

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
    cache = new_cache(model)
    *_, (output, _) = run_passes(model, cut, cache, **last_logits(model))
    mask, written = cut.mask, input_ids.new_zeros(len(input_ids), 0)
    ended = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
    while written.shape[1] < max_new_tokens:
        token = output.logits[:, -1].argmax(-1).masked_fill(ended, eos_token_id)
        ended |= token == eos_token_id
        written = torch.cat([written, token[:, None]], 1)
        if written.shape[1] == max_new_tokens or ended.all():
            break
        mask = F.pad(mask, (0, 1), value=1)
        place = mask.sum(1, keepdim=True) - 1
        output = model(
            input_ids=token[:, None], attention_mask=mask, position_ids=place, past_key_values=cache, use_cache=True
        )
    return written


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
    inputs = [inputs for _, inputs in run_passes(model, cut, **last_logits(model))]
    return cut.restore(torch.cat(inputs, 1))


def mean_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy over all labels of a batch; 0 if there is none."""
    losses = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), reduction="sum")
    return losses / (labels[:, 1:] != IGNORED).sum().clamp(min=1)


@dataclass(frozen=True)
class Cut:
    """A batch cut into passes, laid out column by column; W is the sum of the passes' widths.

    Attributes:
        ids: (rows, W).
        mask: (rows, W), 1 at tokens, 0 at padding.
        positions: (rows, W), place of a token among its row's.
        thoughts: (rows, W), True at thoughts, each its row's first token in a pass after the first.
        bounds: First column of every pass, and W.
        slots: (rows, length), the column of every token of the batch as it was given; 0 at padding.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    positions: torch.Tensor
    thoughts: torch.Tensor
    bounds: list[int]
    slots: torch.Tensor

    def restore(self, values: torch.Tensor) -> torch.Tensor:
        """Bring ``values``, (rows, W, ..), to the places of the batch as it was given, (rows, length, ..)."""
        rows, width = self.ids.shape
        start = torch.arange(rows, device=self.slots.device)[:, None] * width
        return values.flatten(0, 1)[start + self.slots]


def cut_up(input_ids: torch.Tensor, attention_mask: torch.Tensor, thought_mask: torch.Tensor) -> Cut:
    """Cut a batch into passes; takes the arguments of ``thought_forward``.

    Raises:
        ValueError: If a row begins with a thought.
    """
    real = attention_mask.bool()
    slots, bounds = lay_out(real.cpu().numpy(), (thought_mask.bool() & real).cpu().numpy())
    slots = torch.as_tensor(slots, device=input_ids.device)
    kept, target = slots.clamp(min=0), slots.masked_fill(~real, bounds[-1])  # padding goes to one column too many

    def place(values: torch.Tensor) -> torch.Tensor:
        """Lay (rows, length) out as (rows, W)."""
        return values.new_zeros(len(values), bounds[-1] + 1).scatter(1, target, values)[:, :-1]

    mask = place(real.long())
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    return Cut(place(input_ids), mask, positions, place(thought_mask.bool() & real), bounds, kept)


def lay_out(real: np.ndarray, thoughts: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Assign every token of a batch to a column, so that thoughts begin passes.

    A row with as many thoughts as any has one in every pass but the first. A row with fewer waits: the tokens before
    its first thought fill the passes that it sits out, from the right, as far as these are wide anyway.

    Args:
        real: (rows, length) bool, tokens.
        thoughts: (rows, length) bool, those of them that are thoughts.

    Returns:
        The column of every token, (rows, length), -1 at padding; the first column of every pass, and the total width.

    Raises:
        ValueError: If a row begins with a thought.
    """
    passes = int(thoughts.sum(1).max(initial=0)) + 1
    sizes = np.zeros((len(real), passes), dtype=np.int64)  # tokens of each row in each pass
    for row, (tokens, marked) in enumerate(zip(real, thoughts, strict=True)):
        starts = np.flatnonzero(marked[tokens])
        if len(starts) and starts[0] == 0:
            raise ValueError("a row begins with a thought: there is no hidden state before it")
        sizes[row, passes - 1 - len(starts) :] = np.diff([0, *starts, tokens.sum()])
    first = passes - 1 - thoughts.sum(1)  # the pass that ends just before the row's first thought
    widths = np.where(np.arange(passes) > first[:, None], sizes, 0).max(0, initial=0)
    for row, last in enumerate(first):
        left = sizes[row, last]
        for step in range(last, 0, -1):
            sizes[row, step] = min(left, widths[step])
            left -= sizes[row, step]
        sizes[row, 0] = left
    widths[0] = sizes[:, 0].max(initial=0)
    bounds = np.concatenate([[0], widths.cumsum()])
    slots = np.full(real.shape, -1, dtype=np.int64)
    for row, tokens in enumerate(real):
        ranges = [np.arange(end - size, end) for end, size in zip(bounds[1:], sizes[row], strict=True)]
        slots[row, tokens] = np.concatenate(ranges)
    return slots, bounds.tolist()


def run_passes(
    model: "PreTrainedModel", cut: Cut, cache: "Cache | None" = None, **options: Any
) -> Iterator[tuple["CausalLMOutputWithPast", torch.Tensor]]:
    """Run the passes of a batch one after the other; yield the model's own output of each, and its input embeddings.

    Of several processes, each may have another number of passes. Only the first goes through the wrapper that
    synchronises them, which is enough: it adds up gradients when they are complete.

    Args:
        model: Causal LM.
        cut: The batch.
        cache: An empty key-value cache; by default a new one.
        **options: Further arguments of the model.
    """
    cache = new_cache(model) if cache is None else cache
    embed, hidden = bare(model).get_input_embeddings(), None
    for start, end in zip(cut.bounds[:-1], cut.bounds[1:], strict=True):
        embeds = embed(cut.ids[:, start:end])
        if hidden is not None:
            embeds = torch.where(cut.thoughts[:, start:end, None], hidden[:, None].to(embeds.dtype), embeds)
        output = model(
            inputs_embeds=embeds,
            attention_mask=cut.mask[:, :end],
            position_ids=cut.positions[:, start:end],
            past_key_values=cache,
            use_cache=True,
            output_hidden_states=True,
            **options,
        )
        model, hidden = bare(model), output.hidden_states[-1][:, -1]
        yield output, embeds


def new_cache(model: "PreTrainedModel") -> "Cache":
    """Return an empty key-value cache for a causal LM."""
    from transformers import DynamicCache

    return DynamicCache(config=bare(model).config)


def last_logits(model: "PreTrainedModel", count: int = 1) -> dict[str, int]:
    """Return the option that spares a model the logits of all but the last ``count`` places, if it has one."""
    return {"logits_to_keep": count} if "logits_to_keep" in signature(model.forward).parameters else {}


def bare(model: "PreTrainedModel") -> "PreTrainedModel":
    """Return the causal LM inside the wrapper that synchronises several processes, if there is one."""
    return getattr(model, "module", model)
