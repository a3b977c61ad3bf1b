"""LoRA whose new vocabulary rows train in the input and the output matrix."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mixlm.errors import InputError


if TYPE_CHECKING:
    from peft import PeftModel
    from torch import nn
    from transformers import PreTrainedModel


def add_adapter(
    model: "PreTrainedModel", rank: int, new_ids: Sequence[int], option: str = "--lora-rank"
) -> "PeftModel":
    """Wrap ``model`` in a LoRA adapter on every linear layer, with the rows ``new_ids`` trained in full.

    A flat list of token indices would leave the head of an untied model frozen: latents could be read but never
    written. Both matrices are therefore named.

    Args:
        model: A causal LM that already has the new rows.
        rank: Rank of the adapter; its alpha is twice that.
        new_ids: Ids of the new tokens.
        option: By which the user asked for it.

    Raises:
        InputError: If PEFT is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise InputError(f"{option} needs PEFT; install it with: pip install peft") from None

    names = {_name_of(model, model.get_input_embeddings()), _name_of(model, model.get_output_embeddings())}
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules="all-linear",
        trainable_token_indices={name: list(new_ids) for name in names} if new_ids else None,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def merge_adapter(model: "PeftModel") -> "PreTrainedModel":
    """Return the plain causal LM with its adapter merged in; the weights are fp32, so nothing is rounded away."""
    return model.merge_and_unload()


def adapter_rows(model: "nn.Module") -> list["nn.Parameter"]:
    """Return the parameters in which an adapter trains its new rows; none for a model without an adapter.

    PEFT offers no way to ask for them but this part of their names.
    """
    return [parameter for name, parameter in model.named_parameters() if "trainable_tokens_" in name]


def _name_of(model: "PreTrainedModel", module: "nn.Module") -> str:
    """Return the last part of a module's name, by which PEFT finds it."""
    return next(name for name, candidate in model.named_modules() if candidate is module).rpartition(".")[2]
