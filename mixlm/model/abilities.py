"""What a causal LM computes as it computes a single row: found out on the model itself, by a few tokens.

Many types of transformers take position ids that start again, padding on the left or a cache, and compute something
else: recurrent states run on from sample to sample, masks are made without position ids, windows count padding. None
of them says so. Here two short rows go through the model in the layout in question, and plainly beside it. All that a
method asks for costs at most six forward passes of 32 tokens.
"""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch.autograd.graph import saved_tensors_hooks

from mixlm.errors import InputError, is_out_of_memory
from vqvae.model.layers import evaluating


if TYPE_CHECKING:
    from torch import nn
    from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel

Finding = TypeVar("Finding")
AnswerBatches = Literal["any", "of one length", "alone"]  # of prompts
_WRITTEN = 3  # tokens that are written to try it
_LONGEST = ("max_position_embeddings", "max_seq_len", "max_target_positions")  # what types call their context
_GROWING_ROTATIONS = ("dynamic", "longrope")  # whose angles are those of the longest position of a call
_CROSSING = re.compile(r"(?:^|[._])(?:encoder_attn|cross_?attn|cross_?attention)\w*$")  # how types call it
ROW = 12  # tokens of a row that is tried
FIRST_TOKEN = 10  # those before are often padding, ends and the like, which some models treat by their ids
ROUNDING = 1e-5  # of a logit, in fp32; what a later token does to an earlier place is more
PLAIN_ATTENTION = ("sdpa", "eager")  # kernels that run wherever a model is while it is tried
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}  # of the logits' standard deviation; most leaks are about 1
ROUGH = 0.25  # likewise, in 16 bits


def bare(model: "nn.Module") -> "PreTrainedModel":
    """Return the causal LM inside the wrapper that synchronises several processes, if there is one."""
    return getattr(model, "module", model)


def _without_adapter(model: "nn.Module") -> "PreTrainedModel":
    """Return the causal LM inside a PEFT model, whose layers hold the adapter; any other as it is."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def found_once(find: Callable[["PreTrainedModel"], Finding]) -> Callable[["nn.Module"], Finding]:
    """Let a function that finds something out about a model do so once for each model, wrapped or not."""
    known: WeakKeyDictionary[nn.Module, Finding] = WeakKeyDictionary()

    @wraps(find)
    def finding(model: "nn.Module") -> Finding:
        """Return what is known of the model, or find it out."""
        model = _without_adapter(bare(model))
        if model not in known:
            with tried(model):
                known[model] = find(model)
        return known[model]

    return finding


@contextmanager
def tried(model: "PreTrainedModel") -> Iterator[None]:
    """Let a model compute for a trial: without dropout and gradients, by attention that runs on any device."""
    own = model.config._attn_implementation
    plain = own in PLAIN_ATTENTION or own is None
    with evaluating(model):
        if not plain:
            model.set_attn_implementation(PLAIN_ATTENTION[0])
        try:
            yield
        finally:
            if not plain:
                model.set_attn_implementation(own)


@contextmanager
def embeddings_forwarded(model: "PreTrainedModel") -> Iterator[None]:
    """Let ``generate`` begin from input embeddings also where a model passes them on without naming them.

    The library looks for their name among the arguments of ``prepare_inputs_for_generation``, and some models have
    one there that hands all further arguments to the library's own. Of a model with an adapter it asks the one within.
    """
    model = _without_adapter(model)
    own = model.prepare_inputs_for_generation
    names = signature(own).parameters
    if "inputs_embeds" in names or all(value.kind is not Parameter.VAR_KEYWORD for value in names.values()):
        yield
        return
    # ``generate`` also asks for the name of the further arguments
    model.prepare_inputs_for_generation = lambda input_ids, inputs_embeds=None, **kwargs: own(
        input_ids, inputs_embeds=inputs_embeds, **kwargs
    )
    try:
        yield
    finally:
        del model.prepare_inputs_for_generation


@contextmanager
def own_settings_hidden(model: "PreTrainedModel") -> Iterator["GenerationConfig"]:
    """Hide the checkpoint's own decoding settings, such as a temperature; yields them."""
    from transformers import GenerationConfig

    model = _without_adapter(bare(model))  # an adapter's wrapper would give its own to the model within, for good
    own, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield own
    finally:
        model.generation_config = own


def context_length(config: "PreTrainedConfig") -> int | None:
    """Return how many tokens a model can see at once; None if its architecture sets no limit."""
    told = [getattr(config.get_text_config(), name, None) for name in _LONGEST]
    return next((longest for longest in told if longest and longest > 0), None)  # some say -1


def fixed_positions(config: "PreTrainedConfig") -> int:
    """Return up to which position rotary angles do not depend on the longest position of a call."""
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope, *(values for values in rope.values() if isinstance(values, dict))]
    growing = [kind for kind in kinds if kind.get("rope_type") in _GROWING_ROTATIONS]
    own = context_length(config) or sys.maxsize
    return min((kind.get("original_max_position_embeddings") or own for kind in growing), default=sys.maxsize)


def trial_rows(model: "PreTrainedModel", length: int = ROW) -> torch.Tensor:
    """Return two rows of ordinary tokens to try a model with, (2, length or what its context holds).

    They begin alike and end otherwise: the first half of both is the same.
    """
    vocabulary = model.get_input_embeddings().weight.shape[0]
    length = min(length, context_length(model.config) or length)
    row = (FIRST_TOKEN + torch.arange(length)) % vocabulary
    other = torch.cat([row[: length // 2], row.flip(0)[: length - length // 2]])
    return torch.stack([row, other]).to(model.device)


def plain_logits(model: "PreTrainedModel", length: int = ROW) -> torch.Tensor:
    """Return the logits of the rows that are tried, (2, length, vocabulary), which all else is held against."""
    return model(input_ids=trial_rows(model, length), use_cache=False).logits


@found_once
def is_causal(model: "PreTrainedModel") -> bool:
    """Tell whether a model predicts from what stands before alone.

    Logits of what is alike in two rows differ where a model looks ahead, as encoders do. Names and fields of
    configurations tell less: some encoders are decoders if asked, some ignore the question.
    """
    logits = plain_logits(model)
    one, two = logits[:, : logits.shape[1] // 2]
    near = ROUNDING * one.abs().nanmedian().item()
    return torch.allclose(one, two, rtol=ROUNDING, atol=near, equal_nan=True)


def agree(ours: torch.Tensor, plain: torch.Tensor) -> bool:
    """Tell whether logits are those of the plain computation, but for rounding."""
    tolerance = TOLERANCE.get(plain.dtype, ROUGH) * plain.float().std()
    return bool((ours.float() - plain.float()).abs().max() <= tolerance)  # False where either is no number


@found_once
def packs(model: "PreTrainedModel") -> bool:
    """Tell whether samples that share a row, each with position ids from 0, do not read each other."""
    ids = trial_rows(model)
    positions = torch.arange(ids.shape[1], device=ids.device).repeat(len(ids))[None]
    try:
        packed = model(input_ids=ids.flatten()[None], position_ids=positions, use_cache=False).logits[0]
    except Exception:  # whatever a model does with arguments that it does not know
        return False
    return agree(packed.view(*ids.shape, -1), plain_logits(model))


@found_once
def fault_in_training(model: "PreTrainedModel") -> str | None:
    """Return why a model cannot be trained, in one line; None: it can."""
    ids, forms = trial_rows(model, 11), []  # of no round length
    hook = model.get_output_embeddings().register_forward_pre_hook(
        lambda _, inputs: forms.append(inputs[0].shape[:-1])
    )
    model.train()  # the caller brings back the mode
    try:
        with torch.random.fork_rng():
            model(input_ids=ids, use_cache=False)
    except Exception as error:  # whatever a model does not allow
        return " ".join(str(error).split())
    finally:
        hook.remove()
    return None if forms == [ids.shape] else "its head does not predict the next token of each place, and that alone"


@found_once
def idle_weights(model: "PreTrainedModel") -> "list[nn.Parameter]":
    """Return the weights of those parts of a model that text does not pass, such as a tower that sees pictures.

    A part is one directly in the model, or what attends an encoder that is not there. It is idle if nothing in it that
    holds weights is called, and no logit comes from one of them otherwise; of others that are called all may be needed
    by longer rows. What is called without gradients alone, as what chooses places to attend, is never trained either,
    unless a part of the graph makes its gradients in its own way, by computing it once more.
    """
    parts = [part for part in (*model.base_model.children(), *model.children()) if part is not model.base_model]
    parts += [part for name, part in model.named_modules() if _CROSSING.search(name)]
    held = {part: [module for module in part.modules() if module._parameters] for part in parts}
    learning: dict[nn.Module, bool] = {}  # of those that are called, whether any call has gradients

    def note(module: "nn.Module", *_: object) -> None:
        """Note a call."""
        learning[module] = learning.get(module, False) or torch.is_grad_enabled()

    holders = {module for modules in held.values() for module in modules}
    hooks = [module.register_forward_hook(note) for module in holders]
    try:
        with torch.enable_grad(), saved_tensors_hooks(lambda _: None, lambda _: None):  # a graph that keeps nothing
            logits = model(input_ids=trial_rows(model), use_cache=False).logits
    finally:
        for hook in hooks:
            hook.remove()
    idle = [part for part, modules in held.items() if modules and learning.keys().isdisjoint(modules)]
    blind = [module for module, learns in learning.items() if not learns]
    graph = _graph_of(logits) if idle or blind else ()
    own = (node._forward_cls.__module__ for node in graph if hasattr(node, "_forward_cls"))
    idle += [] if any(not module.startswith("torch._library") for module in own) else blind
    used = {id(node.variable) for node in graph if hasattr(node, "variable")}
    weights = {weight: None for part in idle for weight in part.parameters() if weight.requires_grad}
    return [weight for weight in weights if id(weight) not in used]


def _graph_of(values: torch.Tensor) -> set[Any]:
    """Return the nodes of the graph by which values were computed; no gradient is."""
    seen, left = set(), [values.grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in seen:
            seen.add(node)
            left += [other for other, _ in node.next_functions]
    return seen


@found_once
def pads(model: "PreTrainedModel") -> bool:
    """Tell whether padding behind a sample changes nothing in it."""
    ids = trial_rows(model)
    mask, short = torch.ones_like(ids), ids.shape[1] // 2
    mask[1, short:] = 0
    padded = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return agree(padded[1, :short], plain_logits(model)[1, :short])


@found_once
def answer_batches(model: "PreTrainedModel") -> AnswerBatches:
    """Find out which prompts may share a batch so that each is answered as it is alone.

    It is asked as it is in answering, by ``generate`` and with whatever cache it has.

    Raises:
        InputError: If it cannot be asked so.
    """
    ids = trial_rows(model)[:, :-_WRITTEN]
    try:
        if _answers_as_alone(model, ids, ids.shape[1] // 3):
            return "any"
        return "of one length" if _answers_as_alone(model, ids, 0) else "alone"
    except (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:200]
        kind = model.config.model_type
        raise InputError(f"a model of type '{kind}' writes no answers with transformers' generate: {reason}") from None


def _answers_as_alone(model: "PreTrainedModel", ids: torch.Tensor, start: int) -> bool:
    """Tell whether two prompts, the second of them padded up to ``start``, are answered as by whole rows."""
    from transformers import GenerationConfig

    mask = torch.ones_like(ids)
    mask[1, :start] = 0
    settings = GenerationConfig(max_new_tokens=_WRITTEN, do_sample=False, pad_token_id=0, return_dict_in_generate=True)
    settings.output_logits, settings.eos_token_id = True, None
    with own_settings_hidden(model):
        output = model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
    short = torch.cat([output.sequences[1:, start:], output.sequences[1:, :start]], 1)  # the same, padded behind
    plain = model(input_ids=torch.cat([output.sequences[:1], short]), use_cache=False).logits
    ends = ids.shape[1] - 1, ids.shape[1] - 1 - start
    expected = torch.stack([row[end : end + _WRITTEN] for row, end in zip(plain, ends, strict=True)])
    written = torch.stack(output.logits, 1)
    return agree(written[..., : expected.shape[-1]], expected[..., : written.shape[-1]])
