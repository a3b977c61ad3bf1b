"""LoRA whose new vocabulary rows train in the input and the output matrix."""

from collections.abc import Sequence
from typing import Any

from mixlm.errors import InputError


def add_adapter(model: Any, rank: int, new_ids: Sequence[int]):
    """Wrap ``model`` in a LoRA adapter on every linear layer, with the rows ``new_ids`` trained in full.

    A flat list of token indices would leave the head of an untied model frozen: latents could be read but never
    written. Both matrices are therefore named.

    Args:
        model: A causal LM that already has the new rows.
        rank: Rank of the adapter; its alpha is twice that.
        new_ids: Ids of the new tokens.

    Returns:
        A ``PeftModel``.

    Raises:
        InputError: If PEFT is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise InputError("--lora-rank needs PEFT; install it with: pip install 'mixlm[lora]'") from None

    names = {_name_of(model, model.get_input_embeddings()), _name_of(model, model.get_output_embeddings())}
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules="all-linear",
        trainable_token_indices={name: list(new_ids) for name in names} if new_ids else None,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def merge_adapter(model: Any):
    """Return the plain causal LM with its adapter merged in; the weights are fp32, so nothing is rounded away."""
    return model.merge_and_unload()


def _name_of(model: Any, module: Any) -> str:
    """Return the last part of a module's name, by which PEFT finds it."""
    return next(name for name, candidate in model.named_modules() if candidate is module).rpartition(".")[2]
