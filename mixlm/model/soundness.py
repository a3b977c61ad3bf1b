"""What a base model must be, whatever is done with it: its weights are numbers, and no token reads a later one."""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from mixlm.errors import InputError
from mixlm.model.abilities import idle_weights, is_causal
from vqvae.finite import not_a_number


if TYPE_CHECKING:
    from transformers import PreTrainedModel


DIGESTED_VALUES = 256  # of a parameter
_OF_THE_FILE = ("_name_or_path", "transformers_version", "architectures")


def settled(model: "PreTrainedModel", name: str) -> "PreTrainedModel":
    """Return a model of plain weights that computes the same in every mode, and is saved as it is.

    Weights of a GGUF file are dequantised, yet transformers would not save them; others that it has dequantised it
    would quantise again; RWKV's are divided in place, for 16 bits, while a model is not in training.

    Raises:
        InputError: If its weights stay quantised, or it is an adapter on another model.
    """
    if getattr(model, "_hf_peft_config_loaded", False):
        raise InputError(f"{name}: is an adapter on another model; merge it (PEFT's merge_and_unload) and give that")
    if getattr(model.config, "rescale_every", 0):
        model.config.rescale_every = 0
    if getattr(model, "hf_quantizer", None) is None:
        if vars(model).get("is_quantized") is False:
            model._weight_conversions = None
        return model
    config = type(model.config).from_dict({**model.config.to_dict(), "quantization_config": None})
    del config.quantization_config
    plain = type(model)(config)
    try:
        plain.load_state_dict(model.state_dict())
    except RuntimeError:  # of packed weights, which are none of the shapes of plain ones
        plain = None
    if plain is None or [*map(type, plain.modules())] != [*map(type, model.modules())]:
        raise InputError(f"{name}: its weights are quantised, and stay so; give the model in full precision")
    plain.generation_config = model.generation_config
    return plain


def freeze_idle(model: "PreTrainedModel") -> None:
    """Take what text does not pass out of training: several processes wait for the gradients of all that is in it."""
    for weight in idle_weights(model):
        weight.requires_grad_(False)


def require_sound(model: "PreTrainedModel", name: str) -> None:
    """Raise an ``InputError`` that names the model if its weights are no numbers or it does not read causally."""
    broken = not_a_number(model.named_parameters())
    if broken:
        raise InputError(f"{name}: its weight {broken} holds NaN or infinity; take another checkpoint of the model")
    if not is_causal(model):
        fields = [field for field in ("is_decoder", "causal") if field in model.config.to_dict()]
        remedy = f", or set {fields[0]}: true in its configuration" if fields else ""
        raise InputError(
            f"{name}: no causal language model: {type(model).__name__} reads later tokens where it predicts earlier "
            f"ones, so training would show it what it is to write; choose another model{remedy}"
        )


def require_all_weights(model: "PreTrainedModel", loaded: Mapping[str, Any], name: str) -> "PreTrainedModel":
    """Return a model; an ``InputError`` if its file lacks weights, which transformers then makes at random.

    Args:
        model: The model.
        loaded: What transformers says of its loading.
        name: What the user calls the model.
    """
    if lacking := sorted({*loaded["missing_keys"]} & {weight for weight, _ in model.named_parameters()}):
        raise InputError(
            f"{name}: holds no weights for {lacking[0]}{f' and {len(lacking) - 1} more' * (len(lacking) > 1)} of "
            f"{type(model).__name__}, so it is no whole causal language model; choose another model"
        )
    return model


def cast(model: "PreTrainedModel", dtype: str) -> None:
    """Give a model's weights the type in which they are saved; an ``InputError`` if one does not fit into it."""
    model.to(getattr(torch, dtype))
    if broken := not_a_number(model.named_parameters()):
        raise InputError(
            f"--save-dtype {dtype}: the weight {broken} is too large for it; give the same command with another"
        )


def weights_digest(model: "PreTrainedModel") -> str:
    """Return a hash of names, shapes and some values of every parameter, 16 hexadecimal digits.

    Another training moves all of a parameter, so a few values are enough, and a large model is not read for it.
    """
    digest = hashlib.sha256()
    for name, values in model.named_parameters():
        some = values.detach().flatten()[:: max(values.numel() // DIGESTED_VALUES, 1)]
        digest.update(f"{name} {tuple(values.shape)}".encode())
        digest.update(some.float().cpu().contiguous().numpy())
    return digest.hexdigest()[:16]


def config_digest(model: "PreTrainedModel") -> str:
    """Return a hash of what a model's configuration says that its type does not say by itself, 16 hexadecimal digits.

    So neither the place counts that it was read from, nor which fields the installed transformers has.
    """
    try:
        usual = type(model.config)().to_dict()
    except Exception:  # of a type that has no configuration by itself
        usual = {}
    told = {name: value for name, value in model.config.to_dict().items() if value != usual.get(name)}
    told = {name: value for name, value in told.items() if name not in _OF_THE_FILE}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]
