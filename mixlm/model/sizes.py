"""Whether a model from scratch can be made of its numbers, found out before memory is taken for it."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mixlm.errors import InputError


if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedConfig

MOST_LAYERS = 10_000
MOST_MODULES = 200_000  # layers and their parts
_MOST = 2**31 - 1  # of any number: torch and the tokenizer count in 32 bits
_SIZE = re.compile(r"(size|dim|heads?|layers?|width|positions|embeddings|embd|inner|ctx|kernel|rank|theta)$")
_NEVER_ZERO = (
    *("hidden_size", "n_embd", "d_model", "num_hidden_layers", "n_layer", "num_layers", "n_layers", "head_dim"),
    *("num_attention_heads", "n_head", "num_heads", "n_heads", "intermediate_size", "ffn_dim", "rope_theta"),
    *("max_position_embeddings", "n_positions", "state_size", "word_embed_proj_dim"),
)
_BYTES = 4  # of a weight in fp32


class _TooLarge(Exception):
    """The model that is tried is too large; says what of it."""


def check_numbers(recipe: Mapping[str, Any], where: str) -> None:
    """Raise an ``InputError`` if a description of a model has a number that no model has.

    Args:
        recipe: The description; mappings and lists within it count.
        where: Names it in errors.
    """
    for name, value in _numbers(recipe):
        limits = isinstance(recipe.get(name), list)  # of which one may be infinite
        if isinstance(value, float) and (math.isnan(value) or (math.isinf(value) and not limits)):
            raise InputError(f"{where}: '{name}' is {value}; give a finite number, or leave it out")
        if _SIZE.search(name) and value < 0 or name in _NEVER_ZERO and value == 0:
            raise InputError(f"{where}: '{name}' is {value}; give a number above 0")
        if isinstance(value, int) and abs(value) > _MOST:
            raise InputError(f"{where}: '{name}' is {value}, and {_MOST:,} is the most; give a smaller number")
        if isinstance(value, int) and "layer" in name and value > MOST_LAYERS:
            raise InputError(f"{where}: '{name}' is {value}, and {MOST_LAYERS:,} is the most; give a smaller number")


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, int | float]]:
    """Yield every number of a description, with the name of its field."""
    if isinstance(value, Mapping):
        for inner, one in value.items():
            yield from _numbers(one, str(inner))
    elif isinstance(value, list):
        for one in value:
            yield from _numbers(one, name)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, value


def check_size(config: "PreTrainedConfig", recipe: Mapping[str, Any], where: str) -> None:
    """Make a model without its weights, and see whether memory would hold these.

    Args:
        config: Of the model.
        recipe: Its description, whose largest number is named.
        where: Names it in errors.

    Raises:
        InputError: If it would not, or the model has too many parts.
    """
    import psutil
    import torch
    from transformers import AutoModelForCausalLM

    memory = psutil.virtual_memory().available
    try:
        with torch.device("meta"), _measured(memory):
            AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    except _TooLarge as error:
        raise InputError(f"{where}: {_largest(recipe, type(config))} makes a model of {error}; give less") from None
    except RuntimeError as error:
        if "overflow" in str(error).lower():
            largest = _largest(recipe, type(config))
            raise InputError(f"{where}: {largest} makes a model larger than can be counted; give less") from None
    except Exception:  # which making the model itself tells
        return


def gib(size: float) -> str:
    """Return a number of bytes in GiB, as messages about memory show it."""
    return f"{size / 2**30:.1f} GiB"


@contextmanager
def _measured(most_bytes: int) -> Iterator[None]:
    """End what makes a model as soon as that is too large, with a ``_TooLarge``."""
    from torch.nn.modules import module

    found = {"bytes": 0, "modules": 0}

    def add_values(owner: "nn.Module", name: str, values: "Tensor | None") -> None:
        """Count a parameter or a buffer."""
        found["bytes"] += 0 if values is None else values.numel() * _BYTES
        if found["bytes"] > most_bytes:
            raise _TooLarge(f"more than the {gib(most_bytes)} of memory that are free")

    def add_module(owner: "nn.Module", name: str, part: "nn.Module | None") -> None:
        """Count a module."""
        found["modules"] += 1
        if found["modules"] > MOST_MODULES:
            raise _TooLarge(f"more than {MOST_MODULES:,} parts")

    hooks = [
        module.register_module_parameter_registration_hook(add_values),
        module.register_module_buffer_registration_hook(add_values),
        module.register_module_module_registration_hook(add_module),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _largest(recipe: Mapping[str, Any], kind: type["PreTrainedConfig"]) -> str:
    """Return the field of a description that is the most above what its type has by default, with its value."""
    usual = dict(_numbers({name: getattr(kind, name, None) for name in recipe}))
    sizes = [(name, value) for name, value in _numbers(recipe) if isinstance(value, int)]
    if not sizes:
        return "its size"
    name, value = max(sizes, key=lambda size: abs(size[1]) / max(abs(usual.get(size[0], 1)), 1))
    return f"'{name}: {value}'"
