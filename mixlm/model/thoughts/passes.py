"""Thoughts over a cache: a batch with up to n thoughts a row is computed in n + 1 passes.

Every pass ends just before the next thought, whose input is then the last hidden state of the pass. Gradients flow
through all passes, since the cache holds the keys and values as they were computed.

Rows may differ in length and in the number and places of their thoughts. They are cut into passes so that every row's
last thought falls into the last pass, and padded on the left within each pass (``layout.lay_out``):

    row 1   P P P T x x      pass 0   . P     pass 1   P P     pass 2   T x x     (one thought: it waits a pass)
    row 2   Q Q T y T z               Q Q              T y              . T z
"""

import functools
import sys
from collections.abc import Iterator
from inspect import signature
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from mixlm.model.abilities import (
    agree,
    bare,
    embeddings_forwarded,
    fixed_positions,
    found_once,
    own_settings_hidden,
    plain_logits,
    trial_rows,
)
from mixlm.model.thoughts.layout import Cut, cut_up
from mixlm.model.thoughts.recomputed import fill_in, flush_left


if TYPE_CHECKING:
    from transformers import Cache, PreTrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import CausalLMOutputWithPast

_WINDOWS = (  # lengths beyond which attention leaves something out, by what configurations call them
    "sliding_window",
    "window_size",
    "attention_window_size",
    "attention_chunk_size",
    "local_attention",
    "index_topk",
)


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
            use_cache=True,
            output_hidden_states=True,
            **cache_argument(cache),
            **options,
        )
        model, hidden = bare(model), output.hidden_states[-1][:, -1]
        yield output, embeds


def new_cache(model: "PreTrainedModel") -> "Cache":
    """Return an empty key-value cache for a causal LM."""
    from transformers import DynamicCache

    return DynamicCache(config=bare(model).config)


def cache_argument(cache: "Cache") -> dict[str, "Cache"]:
    """Return the argument that gives a model, or its ``generate``, a cache."""
    return {_cache_name(): cache}


@functools.cache
def _cache_name() -> str:
    """Return its name: transformers 5.24 has renamed it, and warns of the name of before, which 5.40 takes no more."""
    from transformers import GenerationMixin

    renamed = "cache" in signature(GenerationMixin.prepare_inputs_for_generation).parameters
    return "cache" if renamed else "past_key_values"


class Reach(NamedTuple):
    """How far passes over a cache compute what whole rows give.

    Attributes:
        columns: The most columns of a batch; 0: passes cannot be had of this model at all.
        gaps: Likewise where padding comes to lie inside a row: a window of attention counts it.
    """

    columns: int
    gaps: int

    def covers(self, cut: Cut, following: int = 0) -> bool:
        """Tell whether a batch lies within reach, with so many further tokens."""
        width = cut.bounds[-1] + following
        return width <= self.gaps or (width <= self.columns and not cut.has_gaps)


@found_once
def reach(model: "PreTrainedModel") -> Reach:
    """Find out how far passes over a cache can be trusted.

    Attention keeps what it has seen as it was computed. States that run on, and whatever else is written over in
    place, would need gradients that a cache does not hold, and padding that they do not see: those models have no
    passes. What a cache of the library's is made of tells them apart; then two short rows, with padding inside, are
    computed both ways.
    """
    widest = _widest(model.config.get_text_config())
    if not _attention_alone(model) or not widest.columns:
        return Reach(0, 0)
    rows = trial_rows(model, 9)
    mask, thoughts = torch.ones_like(rows), torch.zeros_like(rows, dtype=torch.bool)
    thoughts[0, 4:6], thoughts[1, 3], mask[1, 5:] = True, True, 0
    cut, dense = cut_up(rows, mask, thoughts), flush_left(rows, mask, thoughts)
    try:
        cached = cut.restore(torch.cat([output.logits for output, _ in run_passes(model, cut)], 1))
    except Exception:  # whatever a model does with arguments that it does not know
        return Reach(0, 0)
    whole = dense.restore(model(inputs_embeds=fill_in(model, dense), use_cache=False).logits)
    real = mask.bool()
    return widest if agree(cached[real], whole[real]) else Reach(0, 0)


@found_once
def obstacle(model: "PreTrainedModel") -> str | None:
    """Return what in a model stands against continuous thoughts; None: it can have them."""
    ids = trial_rows(model, 8)
    try:
        embeds = model.get_input_embeddings()(ids)
        given = embeds.clone()
        output = model(inputs_embeds=given, use_cache=False, output_hidden_states=True)
        if not torch.equal(given, embeds):
            return "its forward pass writes over the input embeddings that it is given"
        thoughts = (output.hidden_states or embeds[None])[-1]
        if thoughts.shape != embeds.shape:
            return "its last hidden state has another form than an input embedding"
        model(inputs_embeds=thoughts[:, :4], use_cache=False)
    except Exception:  # whatever a model does without ids
        return "its forward pass needs token ids beside input embeddings"
    if not agree(output.logits, plain_logits(model, 8)):
        return "it computes from token ids what their input embeddings do not hold"
    if not reach(model).columns and not _goes_on_from(model, embeds, output.logits[:, -1]):
        return "it neither goes on from a cache in passes nor generates from input embeddings"
    return None


def _goes_on_from(model: "PreTrainedModel", embeds: torch.Tensor, expected: torch.Tensor) -> bool:
    """Tell whether ``generate`` begins from input embeddings, (rows, length, width), with the logits expected."""
    from transformers import GenerationConfig

    settings = GenerationConfig(max_new_tokens=1, pad_token_id=0, return_dict_in_generate=True, output_logits=True)
    mask = torch.ones(embeds.shape[:2], dtype=torch.long, device=embeds.device)
    try:
        with embeddings_forwarded(model), own_settings_hidden(model):
            output = model.generate(inputs_embeds=embeds, attention_mask=mask, generation_config=settings)
    except Exception:  # whatever a model does without ids
        return False
    return agree(output.logits[0][:, : expected.shape[-1]], expected[:, : output.logits[0].shape[-1]])


def _attention_alone(model: "PreTrainedModel") -> bool:
    """Tell whether all that a model's cache holds are keys and values that grow."""
    from transformers import cache_utils

    try:
        layers = new_cache(model).layers
    except Exception:  # the library has no cache for such layers
        return False
    growing = (
        "DynamicLayer",
        "DynamicSlidingWindowLayer",
        "DynamicIndexedLayer",
        "DummyLayer",
    )  # not all in each version
    return all(type(layer) in {getattr(cache_utils, name, None) for name in growing} for layer in layers)


def _widest(config: "PreTrainedConfig") -> Reach:
    """Return how far passes reach by what a configuration says of windows and positions."""
    windows = [getattr(config, name, None) for name in _WINDOWS]
    window = min((size for size in windows if isinstance(size, int) and size > 0), default=sys.maxsize)
    columns = fixed_positions(config)
    return Reach(columns, min(window, columns))
