"""What is checked before a training run: the model that it starts from, the length of its schedule."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from mixlm.data.template import Template
from mixlm.errors import InputError, is_out_of_memory
from mixlm.methods.base import Method
from mixlm.model.abilities import answer_batches, fault_in_training, packs, pads, tried
from mixlm.model.forward import is_sharded
from mixlm.model.loading import is_scratch
from mixlm.model.lora import left_out
from mixlm.model.special_tokens import namesakes
from mixlm.model.thoughts.passes import obstacle
from mixlm.model.vocabulary import reads_rows
from mixlm.run import is_finished, load_run
from mixlm.training.options import TrainingOptions


if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


COMPILES = "2.7"  # torch 2.6 loses a name in the wrapper that transformers puts around models


def check_start(
    model: str, method: Method, template: Template, options: TrainingOptions, say: Callable[[str], None]
) -> None:
    """Check what training starts from, where that is a run of this project.

    Args:
        model: Base model as the user named it.
        method: The method that it is to learn.
        template: How its samples are rendered.
        options: All else.
        say: Told if the run rendered its samples otherwise.

    Raises:
        InputError: If the run reasons in continuous thoughts and the method would treat it as a plain language model,
            or a part of the method cannot be trained as asked.
    """
    if lacking := _lacks(method, options.new_token_start):
        raise InputError(
            f"--new-token-start {options.new_token_start}: method '{method.name}' {lacking}; leave it out"
        )
    if method.uses_thoughts and options.activation_checkpointing:
        raise InputError(
            f"--activation-checkpointing: method '{method.name}' needs the key-value cache, which it would drop; "
            "leave it out and lower --micro-batch-size"
        )
    sharded = is_sharded()
    if method.uses_thoughts and sharded:
        raise InputError(
            f"method '{method.name}' makes the inputs of its thoughts outside the model, whose rows no process "
            "has whole when it is sharded; launch it with ddp.yaml"
        )
    if options.compile and method.uses_thoughts:
        raise InputError(f"--compile: method '{method.name}' runs the model in passes of changing form; leave it out")
    if options.compile and sharded:
        raise InputError("--compile: not for a model that is sharded; leave it out, or launch with ddp.yaml")
    if options.compile and torch.__version__ < COMPILES:
        raise InputError(f"--compile: needs torch {COMPILES} or later, this is {torch.__version__}; leave it out")
    if method.learns_stop and options.lora_rank:
        raise InputError("-o stop=learned: an adapter cannot hold the classifier; use stop=constant or --lora-rank 0")
    if not is_finished(model):
        return
    start = load_run(model)
    if start.method.uses_thoughts and not method.uses_thoughts:
        raise InputError(
            f"{model}: reasons in continuous thoughts (method '{start.method_name}') and is no plain language model; "
            f"start '{method.name}' from the model that it was trained from ({start.arguments.get('model')})"
        )
    before = start.template if template.date else replace(start.template, date=None)  # whose clock stands still now
    if before != template:
        say(f"note: {model} was trained with another template; give the same template options to go on from it")


def tell_rate(model: str, options: TrainingOptions, say: Callable[[str], None]) -> None:
    """Say which learning rate was chosen for a model of this name."""
    what = "a model from scratch" if is_scratch(model) else "an adapter" if options.lora_rank else "a trained model"
    say(f"learning rate {options.learning_rate:g}, as for {what}; --learning-rate chooses another")


def check_model(
    lm: "PreTrainedModel", name: str, method: Method, options: TrainingOptions, new_ids: Sequence[int]
) -> None:
    """Try whether a model, called ``name`` by the user, computes what method and options need of it.

    Raises:
        InputError: If it does not, with what it is in the model that stands against it.
    """
    kind = lm.config.model_type
    reason = obstacle(lm) if method.uses_thoughts else None
    if reason:
        raise InputError(f"method '{method.name}': a model of type '{kind}' cannot think: {reason}; choose another")
    if fault_in_training(lm):
        raise InputError(f"{name}: a model of type '{kind}' cannot be trained: {fault_in_training(lm)}")
    if new_ids and not reads_rows(lm, new_ids):
        raise InputError(
            f"{name}: a model of type '{kind}' does not look its last tokens up in its input matrix, so that new ones "
            "would never be learned; choose another model"
        )
    if options.select == "accuracy":
        try:
            answer_batches(lm)
        except InputError as error:
            raise InputError(f"--select accuracy: {name}: {error}; choose another model, or --select loss") from None
    if options.activation_checkpointing and not lm.supports_gradient_checkpointing:
        raise InputError(
            f"{name}: a model of type '{kind}' does not support --activation-checkpointing; leave it out, and give a "
            "lower --micro-batch-size if memory is short"
        )


def samples_share_rows(
    lm: "PreTrainedModel", name: str, method: Method, options: TrainingOptions, say: Callable[[str], None]
) -> bool:
    """Tell whether samples are packed; says a line where they would read each other in the model of this name.

    Raises:
        InputError: If they cannot be padded either, or the model has no room for packed rows as long as wanted.
    """
    kind, wanted = lm.config.model_type, options.pack and method.packable
    if wanted and packs(lm):
        if not options.flash:
            _require_row(lm, options.max_row_tokens)
        return True
    if not method.uses_thoughts and not pads(lm):
        raise InputError(f"{name}: a model of type '{kind}' reads the padding behind its samples; choose another")
    if wanted:
        say(f"note: samples are padded, not packed: a model of type '{kind}' would read across them")
    return False


def _require_row(lm: "PreTrainedModel", length: int) -> None:
    """Raise an ``InputError`` if a model reads a mask that it holds, whatever the positions, for shorter rows."""
    masks = (buffer.shape for buffer in lm.buffers() if buffer.dtype == torch.bool and buffer.dim() > 1)
    width = min((shape[-1] for shape in masks if shape[-1] == shape[-2]), default=sys.maxsize)
    if length <= width:
        return
    positions = torch.arange(width + 1, device=lm.device)[None] % width
    try:  # others hold one that nothing reads
        with tried(lm):
            lm.base_model(input_ids=torch.zeros_like(positions), position_ids=positions, use_cache=False)
    except Exception as error:  # whatever does not fit
        if is_out_of_memory(error):
            raise
        told = f"a model of type '{lm.config.model_type}' takes rows of {width} tokens"
        raise InputError(f"--max-row-tokens {length}: {told}; give no more") from None


def _lacks(method: Method, start: str | None) -> str:
    """Return what the latents of a method lack to start there, or nothing."""
    if start == "text" and not method.has_text():
        return "has no latents that stand for text"
    return "has no latents that are stage 1's codes" if start == "codes" and not method.codes_mean_chunks else ""


def tell_namesakes(tokenizer: "PreTrainedTokenizerBase", new: Sequence[int], say: Callable[[str], None]) -> None:
    """Tell the user if the base model has tokens of its own that are named like ours, and what ours are named then.

    Args:
        tokenizer: Of the model, with the tokens of the method.
        new: Ids of those that training has added.
        say: Told.
    """
    own, added = namesakes(tokenizer), tokenizer.convert_ids_to_tokens(list(new))
    if own:
        ours = f"; those of the method are {_listed(added)}" if added else ""
        say(f"note: tokens of the model's own keep their ids and meaning: {_listed(own)}{ours}")


def tell_left_out(lm: "PeftModel", say: Callable[[str], None]) -> None:
    """Tell the user what of a model its adapter does not hold."""
    if names := left_out(lm):
        say(f"note: no adapter holds {', '.join(names)} of this model; they stay as they are")


def _listed(names: Sequence[str]) -> str:
    return ", ".join([*names[:4], ".."] if len(names) > 4 else names)


def warn_of_schedule(
    method: Method, steps_per_epoch: int, options: TrainingOptions, say: Callable[[str], None]
) -> None:
    """Tell the user if training ends before the last stage of the method's schedule."""
    total = options.total_steps(steps_per_epoch)
    end = method.schedule_end(steps_per_epoch)
    if end >= total:
        say(
            f"warning: the last stage of '{method.name}' begins at step {end}, epoch {end / steps_per_epoch:.4g}, and "
            f"training ends at step {total}; give more --epochs, or shorten the schedule (mixlm methods)"
        )


@contextmanager
def compiling() -> Iterator[None]:
    """Raise an ``InputError``, in one line, if a model could not be compiled."""
    try:
        yield
    except torch._dynamo.exc.BackendCompilerFailed as error:
        reason = f"{type(error.inner_exception).__name__}: {error.inner_exception}".splitlines()[0]
        raise InputError(f"--compile: {reason}; install a C++ compiler, or leave it out") from None
