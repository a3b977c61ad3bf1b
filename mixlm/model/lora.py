"""LoRA whose new vocabulary rows train in the input and the output matrix."""

import inspect
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from mixlm.errors import InputError
from mixlm.model.vocabulary import per_layer_table


if TYPE_CHECKING:
    from peft import PeftModel
    from peft.tuners.trainable_tokens import TrainableTokensLayer
    from transformers import PreTrainedModel


def add_adapter(
    model: "PreTrainedModel", rank: int, new_ids: Sequence[int], option: str = "--lora-rank"
) -> "PeftModel":
    """Wrap ``model`` in a LoRA adapter on every linear layer, with the rows ``new_ids`` trained in full.

    A flat list of token indices would leave the head of an untied model frozen: latents could be read but never
    written. Both matrices are therefore named. Layers that are linear by name alone are left out (``left_out``).

    Args:
        model: A causal LM that already has the new rows.
        rank: Rank of the adapter; its alpha is twice that.
        new_ids: Ids of the new tokens.
        option: By which the user asked for it.

    Raises:
        InputError: If PEFT is not installed, or no layer of the model can be adapted.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise InputError(f"{option} needs PEFT; install it with: pip install peft") from None

    names = {_end_of_name(model, model.get_input_embeddings()), _name_of(model, model.get_output_embeddings())}
    if per_layer := per_layer_table(model):
        names.add(_end_of_name(model, per_layer))
    layers = [*_linear_layers(model)]
    uses = Counter(id(layer.weight) for _, layer in layers)  # a matrix of several layers would be merged into as often
    without = [
        name
        for name, layer in layers
        if not layer.weight.requires_grad or uses[id(layer.weight)] > 1 or not _adaptable(model, name, layer)
    ]
    if len(without) == len(layers):
        raise InputError(f"{option}: {type(model).__name__} has no layer that an adapter can hold; leave it out")
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules="all-linear",
        exclude_modules=without or None,
        trainable_token_indices={name: list(new_ids) for name in names} if new_ids else None,
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config)
    config.target_modules = sorted(config.target_modules)  # PEFT's set is written in another order by every process
    config.exclude_modules = sorted(without) or None
    _compute_as_the_model_does(adapted)
    # else PEFT saves all of the embedding where it is longer than the base model's; its new rows are saved anyway
    adapted.save_pretrained = partial(adapted.save_pretrained, save_embedding_layers=False)
    return adapted


def left_out(adapted: "PeftModel") -> list[str]:
    """Return what of a model its adapter does not hold, by name, with a star for the number of a layer.

    Those are layers that do not multiply by their matrix and no more, those whose matrix is read past the adapter or
    is another layer's, too, those that text does not pass, and experts that are one parameter of three dimensions,
    where PEFT does not take them.
    """
    from peft.tuners.lora.layer import ParamWrapper

    held = {id(wrapper.get_param()) for wrapper in adapted.modules() if isinstance(wrapper, ParamWrapper)}
    model = adapted.get_base_model()
    frozen = [(name, values) for name, values in model.named_parameters() if id(values) not in held]
    experts = [name for name, values in frozen if values.ndim == 3 and min(values.shape) > 1]
    layers = adapted.active_peft_config.exclude_modules or ()
    return sorted({re.sub(r"\.\d+(?=\.)", ".*", name) for name in [*layers, *experts]})


def merge_adapter(model: "PeftModel") -> "PreTrainedModel":
    """Return the plain causal LM with its adapter merged in; the weights are fp32, so nothing is rounded away."""
    return model.merge_and_unload()


def adapter_rows(model: "nn.Module") -> list["nn.Parameter"]:
    """Return the parameters in which an adapter trains its new rows; none for a model without an adapter.

    PEFT offers no way to ask for them but this part of their names.
    """
    return [parameter for name, parameter in model.named_parameters() if "trainable_tokens_" in name]


def _linear_layers(model: "nn.Module") -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers that PEFT takes for linear, with their names; the head is none of them."""
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear | Conv1D) and layer is not head:
            yield name, layer


def _adaptable(model: "nn.Module", name: str, layer: nn.Module) -> bool:
    """Tell whether the output of an adapted layer is that of the layer with its adapter merged in."""
    parent, _, own = name.rpartition(".")
    return _is_linear(layer) and not _bypassed(model.get_submodule(parent), own)


def _is_linear(layer: nn.Module) -> bool:
    """Tell whether a layer multiplies by its matrix and no more: a router, say, returns its choices, too."""
    from transformers.pytorch_utils import Conv1D

    if type(layer).forward in (nn.Linear.forward, Conv1D.forward):
        return True
    with torch.no_grad():
        values = torch.linspace(-1, 1, 2 * layer.in_features).view(1, 2, -1).to(layer.weight)
        try:
            output = layer(values)
            return torch.allclose(output, F.linear(values, layer.weight, layer.bias), rtol=1e-4, atol=1e-5)
        except (RuntimeError, TypeError, ValueError):
            return False


def _bypassed(parent: nn.Module, name: str) -> bool:
    """Tell whether the code of a layer reads the matrix of its part past the adapter.

    Some never call the part. Mamba and its kin do on a CPU, and hand the matrix to a kernel on a GPU.
    """
    code = inspect.getsource(type(parent)) if name else ""
    reads = re.search(rf"self\.{name}\.weight\b(?!\.(dtype|device|shape))", code)
    return bool(reads) and (hasattr(parent, "A_log") or f"self.{name}(" not in code)


def _compute_as_the_model_does(adapted: "PeftModel") -> None:
    """Let the matrices that hold new rows compute what they do in the model, with the rows in place.

    PEFT computes a plain look-up and a plain product in their stead. A bias of the head is lost, so that the merged
    model is another one than was trained, and so is what an embedding does beside looking up.
    """
    from peft.tuners.trainable_tokens import TrainableTokensLayer

    for layer in adapted.modules():
        if isinstance(layer, TrainableTokensLayer):
            layer.forward = partial(_with_rows, layer)


def _with_rows(layer: "TrainableTokensLayer", *inputs: torch.Tensor) -> torch.Tensor:
    """Compute what the wrapped module computes if its matrix has the trained rows."""
    matrix = layer.get_merged_weights(layer.active_adapters)
    return torch.func.functional_call(layer.base_layer, {"weight": matrix}, inputs)


def _name_of(model: "PreTrainedModel", module: "nn.Module") -> str:
    """Return a module's name; of a head that is tied, PEFT knows that by the whole name alone."""
    return next(name for name, candidate in model.named_modules() if candidate is module)


def _end_of_name(model: "PreTrainedModel", module: "nn.Module") -> str:
    """Return the end of a module's name by which PEFT finds it and no other."""
    names = [name for name, _ in model.named_modules()]
    parts = _name_of(model, module).split(".")
    ends = [".".join(parts[-count:]) for count in range(1, len(parts))]
    return next((end for end in ends if sum(name.endswith(end) for name in names) == 1), ".".join(parts))
