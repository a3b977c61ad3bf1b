"""Opening a base model: a folder, a Hub id, a GGUF file, or a YAML of one from scratch."""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from difflib import get_close_matches
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from mixlm.damage import is_light, require_whole
from mixlm.errors import InputError
from vqvae.checksums import below


if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast


_SAFE = "give a copy of it as .safetensors"
_ANOTHER = "choose a model of a type that transformers has"
_OLDER_FIELDS = ("rope_theta", "rope_scaling", "partial_rotary_factor", "torch_dtype")  # still taken by transformers


def is_scratch(model: str) -> bool:
    """Tell whether ``model`` names a YAML file that describes a model to be trained from scratch."""
    return Path(model).suffix in (".yaml", ".yml")


def read_scratch(model: str) -> dict[str, Any]:
    """Read the YAML of a model from scratch.

    Keys: ``model_type`` (a causal LM of transformers), ``tokenizer`` (``vocab_size``), and any field of that model
    type's configuration.

    Raises:
        InputError: If the file is missing or no such mapping.
    """
    from mixlm.data.formats.yaml_files import read_yaml

    try:
        recipe = read_yaml(model)
    except OSError:
        raise InputError(f"{model}: no such file; --model takes a folder, a Hub id, a .gguf file or a .yaml") from None
    _require_type(recipe, model)
    return recipe


def _require_type(recipe: Any, where: str) -> None:
    if not isinstance(recipe, Mapping) or "model_type" not in recipe:
        raise InputError(f"{where}: a model from scratch needs the key 'model_type', for example 'llama'")
    for name in recipe:
        if not isinstance(name, str):
            raise InputError(f"{where}: {name!r} is no field of a model; names are texts")
    if not isinstance(recipe["model_type"], str):
        raise InputError(f"{where}: model_type {recipe['model_type']!r}: is no text; write for example 'llama'")


def open_model(
    model: str, tokenizer: "PreTrainedTokenizerFast", seed: int = 0, attention: str | None = None
) -> "PreTrainedModel":
    """Open ``model`` with fp32 weights, or make it from scratch for ``tokenizer``.

    Weights are fp32 whatever the checkpoint's dtype: updates of a small learning rate vanish in bf16 weights.

    Args:
        model: Folder, Hub id, ``.gguf`` file, or ``.yaml`` of a model from scratch.
        tokenizer: Gives a model from scratch its vocabulary.
        seed: Seed of a model from scratch.
        attention: How attention is computed, by transformers' name; None: as transformers chooses.

    Returns:
        A causal LM of transformers in fp32.

    Raises:
        InputError: If there is no such model, it is no causal language model, its weights are no numbers, it would not
            open once saved, or it cannot have this attention.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from mixlm.model.sizes import check_size
    from mixlm.model.soundness import freeze_idle, require_sound, settled

    if not is_scratch(model):
        lm = settled(open_pretrained(AutoModelForCausalLM, model, dtype=torch.float32), model)
    else:
        config = scratch_config(model, tokenizer)
        check_size(config, read_scratch(model), model)
        with torch.random.fork_rng(), _explained(model):
            torch.manual_seed(seed)
            lm = settled(AutoModelForCausalLM.from_config(config, dtype=torch.float32), model)
    with _explained(model) if is_scratch(model) else nullcontext():
        require_sound(lm, model)
    _require_reopening(lm, model)
    freeze_idle(lm)
    if attention:
        _set_attention(lm, attention)
    return lm


def _require_reopening(lm: "PreTrainedModel", name: str) -> None:
    """Raise an ``InputError`` if what is saved of a model would not open: some are a part of another."""
    from transformers import AutoModelForCausalLM

    known = AutoModelForCausalLM._model_mapping
    if type(lm.config) not in known and not hasattr(lm.config, "auto_map"):
        raise InputError(
            f"{name}: {type(lm).__name__} has a configuration of type '{lm.config.model_type}', of which transformers "
            "opens no causal language model, so a run could not be opened; choose another model"
        )


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Raise an ``InputError`` if a model of its own numbers cannot be made, or computes nothing."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # of numbers that do not fit each other, transformers and torch raise anything
        kind = "" if isinstance(error, ValueError | AssertionError) else f"{type(error).__name__}: "
        raise InputError(f"{where}: no model can be made of it: {kind}{_reason(error)}") from None


def _reason(error: Exception) -> str:
    """Return what an error of transformers says in one line, without its list of all that would have been right."""
    return " ".join(str(error).partition("Model type should be one of")[0].split())[:300] or type(error).__name__


def _set_attention(lm: "PreTrainedModel", attention: str) -> None:
    """Choose how attention is computed."""
    import torch

    if attention == "flex_attention" and not torch.accelerator.is_available():
        raise InputError("--attention flex_attention: torch trains with it on a GPU only; leave it out")
    try:
        lm.set_attn_implementation(attention)
    except (ImportError, ValueError) as error:
        reason = " ".join(str(error).split())
        reason = "transformers does not know it" if "not supported" in reason else reason.rstrip(".")
        raise InputError(f"--attention {attention}: {reason}; choose another, or leave it out") from None


def scratch_config(model: str, tokenizer: "PreTrainedTokenizerFast") -> "PreTrainedConfig":
    """Return the configuration that the YAML ``model`` describes, sized to ``tokenizer``.

    Raises:
        InputError: As ``described_config``.
    """
    ids = {"bos_token_id": tokenizer.eos_token_id, "eos_token_id": tokenizer.eos_token_id}
    ids["pad_token_id"] = tokenizer.pad_token_id
    return described_config(read_scratch(model), model, vocab_size=len(tokenizer), **ids)


def described_config(recipe: Mapping[str, Any], where: str, **fields: Any) -> "PreTrainedConfig":
    """Return the configuration that the description of a model from scratch stands for.

    Attention heads that cannot share as many key-value heads as the type has by default have one each.

    Args:
        recipe: As ``read_scratch`` returns it.
        where: Names it in errors.
        **fields: Further fields.

    Raises:
        InputError: If transformers does not know the type, or the type has no such field or refuses its value.
    """
    from transformers import CONFIG_MAPPING

    from mixlm.model.sizes import check_numbers

    _require_type(recipe, where)
    check_numbers(recipe, where)
    own = {name: value for name, value in recipe.items() if name not in ("model_type", "tokenizer")}
    kind = recipe["model_type"]
    if kind not in CONFIG_MAPPING:
        raise InputError(f"{where}: transformers has no model type '{kind}'{_alike(kind, CONFIG_MAPPING)}")
    config = CONFIG_MAPPING[kind]
    known = _field_names(config)
    for name in own:
        if name in fields:
            raise InputError(
                f"{where}: '{name}' follows from its tokenizer; leave it out, or ask for a size by tokenizer: "
                "{vocab_size: N}"
            )
        if name not in known:  # transformers would keep it and go on without it
            raise InputError(f"{where}: a model of type '{kind}' has no field '{name}'{_alike(name, known)}")
    try:
        made = config(**fields, **own)
    except Exception as error:  # each type checks its fields in its own way, or just computes with them
        reason = str(error.__cause__ or error) or type(error).__name__
        raise InputError(f"{where}: {' '.join(reason.split())[:300]}") from None
    return made if _heads_fit(made) else _with_heads(recipe, where, **fields)


def _field_names(config: type["PreTrainedConfig"]) -> set[str]:
    """Return the names that fields of a configuration may be given by, also where its own defaults contradict it."""
    try:
        names = {*config().to_dict()}
    except Exception:  # as in making it of the description
        names = {field.name for field in dataclasses.fields(config)}
    return names | {*config.attribute_map, *_OLDER_FIELDS}


def _heads_fit(config: "PreTrainedConfig") -> bool:
    """Tell whether the attention heads of a configuration can share its key-value heads, as far as it has such."""
    names = ("num_attention_heads", "num_key_value_heads")
    heads, groups = (config.to_dict().get(config.attribute_map.get(name, name)) for name in names)
    return not (isinstance(heads, int) and isinstance(groups, int) and groups) or heads % groups == 0


def _with_heads(recipe: Mapping[str, Any], where: str, **fields: Any) -> "PreTrainedConfig":
    """Return the configuration with a key-value head for each attention head, in place of the type's own number."""
    from transformers import CONFIG_MAPPING

    groups = "num_key_value_heads"
    if recipe.keys() & {groups, CONFIG_MAPPING[recipe["model_type"]].attribute_map.get(groups)}:
        raise InputError(f"{where}: the number of attention heads is no multiple of {groups}; give one that is")
    return described_config({**recipe, groups: recipe["num_attention_heads"]}, where, **fields)


def _alike(name: str, known: Iterable[str]) -> str:
    found = get_close_matches(str(name), list(known), 1)
    return f"; did you mean '{found[0]}'?" if found else ""


def _require_inside(folder: Path) -> None:
    """Raise an ``InputError`` if a list of weights names files outside of its folder, or attention is a Hub's code."""
    for index in folder.glob("*.index.json"):
        weights = _object_in(index).get("weight_map")
        for name in weights.values() if isinstance(weights, dict) else ():
            below(folder, name)
    attention = str(_object_in(folder / "config.json").get("attn_implementation"))
    if "/" in attention:
        raise InputError(f"{folder}: its attention is code of '{attention}', which is not loaded; {_ANOTHER}")


def _object_in(file: Path) -> dict[str, Any]:
    """Return an object in JSON; what is damaged is told by transformers."""
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def open_pretrained(auto_class: type, model: str, **options: Any) -> Any:
    """Call ``from_pretrained``, on a GGUF file by its folder and name; Python code beside a model is never run.

    Raises:
        InputError: If there is nothing to open, a file of a run has changed since it was written, a name in the
            folder leads out of it, or weights of a model are missing.
    """
    _require_inside(Path(model))
    require_whole(model, is_light if auto_class.__name__ == "AutoTokenizer" else lambda name: True)
    path = Path(model)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise InputError(f"{model}: no such file")
        model, options = str(path.parent), {**options, "gguf_file": path.name}
    if auto_class.__name__ == "AutoModelForCausalLM":
        options["output_loading_info"] = True
    try:
        opened = auto_class.from_pretrained(model, trust_remote_code=False, **options)
    except ImportError as error:
        raise InputError(f"{model}: {str(error).strip().splitlines()[0]}") from None
    except UnpicklingError:
        raise InputError(f"{model}: its weights hold more than numbers, as only pickled ones can; {_SAFE}") from None
    except MemoryError:
        raise
    except Exception as error:  # of a file that somebody has edited, transformers raises anything
        if "trust_remote_code" in str(error):
            raise InputError(f"{model}: needs Python code that comes with it, never run; {_ANOTHER}") from None
        if "OutOfMemory" in type(error).__name__:
            raise
        reason = _reason(error)
        raise InputError(f"{model}: cannot be opened as a model folder, Hub id or .gguf file: {reason}") from None
    if not isinstance(opened, tuple):
        return opened
    from mixlm.model.soundness import require_all_weights

    return require_all_weights(*opened, str(path))
