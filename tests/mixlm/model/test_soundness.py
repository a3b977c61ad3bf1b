import json
import re
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.utils.checkpoint import checkpoint
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForSequenceClassification

from mixlm.errors import InputError
from mixlm.model.abilities import is_causal
from mixlm.model.loading import open_model, open_pretrained
from mixlm.model.lora import add_adapter
from mixlm.model.soundness import cast, freeze_idle, require_sound
from tests.architectures.tiny_types import tiny_type
from tests.tiny_thoughts import random_lm


def made(kind: str, **fields):
    """A random model of any type, as small as a transformer gets; its weights are as small as from scratch."""
    known = {*CONFIG_MAPPING[kind]().to_dict(), *CONFIG_MAPPING[kind].attribute_map}
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    shape |= {"d_model": 32, "d_head": 16, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16}
    shape = {name: value for name, value in shape.items() if name in known}
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](vocab_size=40, **{**shape, **fields}))


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlnet", "xlm"])
def test_an_encoder_that_opens_as_a_causal_model_is_refused(kind: str) -> None:
    model = made(kind)
    assert not is_causal(model)
    with pytest.raises(InputError, match=r"^base: no causal language model: \w+ reads later tokens where it predicts"):
        require_sound(model, "base")


@pytest.mark.parametrize(("kind", "fields"), [("bert", {"is_decoder": True}), ("xlm", {"causal": True})])
def test_the_remedy_that_is_named_makes_it_causal(kind: str, fields: dict[str, bool]) -> None:
    with pytest.raises(InputError, match=f"or set {next(iter(fields))}: true in its configuration$"):
        require_sound(made(kind), "base")
    require_sound(made(kind, **fields), "base")


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mamba", "bart", "opt"])
def test_a_model_that_reads_what_stands_before_alone_is_causal(kind: str) -> None:
    model = made(kind)
    assert model.training
    assert is_causal(model)
    assert model.training


def test_a_short_vocabulary_is_enough_to_tell() -> None:
    assert is_causal(random_lm("llama", vocab_size=3))


def test_a_model_whose_file_lacks_weights_is_refused(tmp_path: Path) -> None:
    """transformers makes them at random and says so to its log alone; here it is a judge, with no head to write."""
    config = CONFIG_MAPPING["llama"](vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=f"^{tmp_path}: holds no weights for lm_head.weight of LlamaForCausalLM, so"):
        open_pretrained(AutoModelForCausalLM, str(tmp_path))
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    assert open_pretrained(AutoModelForCausalLM, str(tmp_path)).lm_head.weight.isfinite().all()


def quantised_to_8_bits(folder: Path) -> dict[str, torch.Tensor]:
    """Save a model as published ones in FP8 are, a scale for each block of 128 x 128; return its weights."""
    shape = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING["llama"](vocab_size=40, **shape, head_dim=64))
    model.save_pretrained(folder)
    held, weights = {}, model.state_dict()
    for name, values in weights.items():
        held[name] = values
        if "_proj" in name:
            scale = values.abs().amax() / 448
            held[name] = (values / scale).to(torch.float8_e4m3fn)
            held[f"{name}_scale_inv"] = scale.expand(*(-(-size // 128) for size in values.shape)).contiguous()
            weights[name] = held[name].float() * scale
    save_file(held, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    how = {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": how}))
    return weights


def test_a_model_in_8_bits_is_saved_as_the_plain_one_that_was_trained(tmp_path: Path) -> None:
    weights = quantised_to_8_bits(tmp_path / "base")
    opened = open_model(str(tmp_path / "base"), None)
    opened.save_pretrained(tmp_path / "run")
    again = open_pretrained(AutoModelForCausalLM, str(tmp_path / "run"), dtype=torch.float32)
    for model in (opened, again):
        found = model.state_dict()
        assert all(torch.allclose(found[name], values) for name, values in weights.items())


def test_an_adapter_on_another_model_is_refused(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    base = made("llama")
    base.save_pretrained(tmp_path / "base")
    adapted = peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules="all-linear"))
    adapted.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
    adapted.save_pretrained(tmp_path / "adapter")
    with pytest.raises(InputError, match=f"^{tmp_path / 'adapter'}: is an adapter on another model; merge it"):
        open_model(str(tmp_path / "adapter"), None)


def test_weights_do_not_depend_on_whether_a_model_is_in_training(tmp_path: Path) -> None:
    """RWKV divides those of every sixth layer in place."""
    made("rwkv", num_hidden_layers=7, attention_hidden_size=32).save_pretrained(tmp_path)
    model = open_model(str(tmp_path), None)
    before = {name: values.clone() for name, values in model.state_dict().items()}
    for mode in (False, True, False):
        model.train(mode)(input_ids=torch.tensor([[1, 2]]))
        assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_weight_that_is_no_number_is_named(value: float) -> None:
    model = random_lm("llama")
    require_sound(model, "base")
    model.model.norm.weight.data[3] = value
    with pytest.raises(InputError, match=re.escape("base: its weight model.norm.weight holds NaN or infinity")):
        require_sound(model, "base")


def test_a_weight_that_is_too_large_for_the_type_it_is_saved_in_is_named() -> None:
    model = random_lm("llama")
    model.model.norm.weight.data[3] = 1e5
    cast(model, "bfloat16")
    with pytest.raises(InputError, match=r"--save-dtype float16: the weight model.norm.weight is too large for it"):
        cast(model, "float16")


def test_what_text_does_not_pass_is_not_trained() -> None:
    """Processes that share a model wait for the gradients of all that is."""
    pytest.importorskip("peft")
    text = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "head_dim": 8}
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "image_size": 28, "patch_size": 14}
    heads = {"num_attention_heads": 2}
    text, vision = {**text, **heads, "num_key_value_heads": 1}, {**vision, **heads}
    config = CONFIG_MAPPING["gemma3"](text_config=text, vision_config=vision, mm_tokens_per_image=4)
    model = AutoModelForCausalLM.from_config(config)
    freeze_idle(model)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    model(input_ids=torch.arange(8)[None]).logits.sum().backward()
    assert trained == {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert {name.split(".")[1] for name, _ in model.named_parameters() if name not in trained} == {
        "vision_tower",
        "multi_modal_projector",
    }
    adapted = add_adapter(model, 2, [60, 61])
    assert not any("lora_" in name and "vision" in name for name, _ in adapted.named_parameters())
    assert any("lora_" in name for name, _ in adapted.named_parameters())


@pytest.mark.parametrize("kind", ["llama", "gpt2", "rwkv", "mamba"])
def test_all_of_a_model_of_text_is_trained(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One pass tells it, of which no graph is looked through, and none keeps what it would need for gradients."""
    model = made(kind)
    monkeypatch.delattr("mixlm.model.abilities._graph_of")
    freeze_idle(model)
    assert all(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize("unaligned", [False, True])
def test_what_runs_without_gradients_alone_is_not_trained(unaligned, monkeypatch: pytest.MonkeyPatch) -> None:
    """An indexer chooses which places are attended, and no choice has a gradient."""
    model = tiny_type("deepseek_v32", first_k_dense_replace=0)
    if unaligned:  # as weights that are mapped from a file may be, of which experts have a gradient of their own
        monkeypatch.setattr("transformers.integrations.moe._can_use_grouped_mm", lambda *_, **__: False)
    model(input_ids=torch.arange(10, 16)[None]).logits.sum().backward()
    learned = {name for name, weight in model.named_parameters() if weight.grad is not None}
    freeze_idle(model)
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    assert frozen and all("indexer" in name for name in frozen) and not frozen & learned


def test_what_is_computed_once_more_for_its_gradients_is_trained() -> None:
    model = made("llama")
    layer = model.model.layers[0]
    run = layer.forward
    layer.forward = lambda states, **more: checkpoint(partial(run, **more), states, use_reentrant=True)
    freeze_idle(model)
    assert all(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize("kind", ["bart", "plbart"])
def test_what_attends_an_encoder_that_is_not_there_is_not_trained(kind: str) -> None:
    """It is never called: several processes would wait for its gradients, and an adapter would hold it for nothing."""
    model = made(kind)
    freeze_idle(model)
    frozen = {name.rpartition(".layers.")[2] for name, weight in model.named_parameters() if not weight.requires_grad}
    assert frozen and all("encoder_attn" in name for name in frozen)
    model(input_ids=torch.arange(10, 16)[None]).logits.sum().backward()
    assert all(weight.grad is not None for weight in model.parameters() if weight.requires_grad)
    adapted = [name for name, _ in add_adapter(model, 2, []).named_parameters() if "lora_" in name]
    assert adapted and not any("encoder_attn" in name for name in adapted)
