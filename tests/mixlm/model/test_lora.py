import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, Gemma3Config, PreTrainedModel

from mixlm.errors import InputError
from mixlm.model.lora import adapter_rows, add_adapter, left_out, merge_adapter
from tests.architectures.tiny_types import tiny_type
from tests.tiny_thoughts import VOCABULARY, random_lm


NEW = [37, 38, 39]
SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
SHAPE |= {"num_key_value_heads": 2, "head_dim": 16}
HEADS = {  # kind of head and embedding -> model type, its further fields, how many matrices there are
    "tied": ("llama", {"tie_word_embeddings": True}, 1),
    "untied": ("llama", {}, 2),
    "bias": ("phi", {}, 2),
    "bias, tied, of a name that is nested": ("bert", {"is_decoder": True}, 1),
    "name of the embedding ends another's": ("xlm", {"emb_dim": 32, "n_layers": 2, "n_heads": 2, "causal": True}, 1),
    "scaled embedding": ("gemma", {}, 1),
    "projections are Conv1D": ("gpt2", {}, 1),
}
STATES = {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1}


def made(kind: str, **fields) -> PreTrainedModel:
    """A random model of any type; a bias of its head is what a trained one has."""
    config = CONFIG_MAPPING[kind]
    known = {*config().to_dict(), *config.attribute_map}
    shape = {
        name: value for name, value in SHAPE.items() if name in known and config.attribute_map.get(name) not in fields
    }
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config(vocab_size=VOCABULARY, initializer_range=0.25, **shape, **fields))
    bias = getattr(model.get_output_embeddings(), "bias", None)
    if bias is not None:
        nn.init.normal_(bias)
    return model.eval()


@torch.no_grad()
def trained_adapter(model: PreTrainedModel):
    """An adapter whose every weight has moved."""
    adapted = add_adapter(model, 2, NEW).eval()
    for values in adapted.parameters():
        if values.requires_grad:
            values += 0.1 * torch.randn_like(values)
    return adapted


@torch.no_grad()
def logits_of(model: nn.Module) -> torch.Tensor:
    return model(input_ids=torch.tensor([[5, 6, *NEW, 7, 8]]), use_cache=False).logits


@pytest.mark.parametrize("kind", HEADS)
def test_the_merged_run_computes_what_the_adapter_computed(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    name, fields, matrices = HEADS[kind]
    model = made(name, **fields)
    before = logits_of(model)
    adapted = add_adapter(model, 2, NEW).eval()
    torch.testing.assert_close(logits_of(adapted), before)  # a new adapter changes nothing
    assert len(adapter_rows(adapted)) == matrices

    adapted = trained_adapter(made(name, **fields))
    trained = logits_of(adapted)
    assert (trained - before).abs().max() > 0.1
    merged = merge_adapter(adapted)
    torch.testing.assert_close(logits_of(merged), trained, rtol=1e-4, atol=1e-4)
    merged.save_pretrained(tmp_path)
    torch.testing.assert_close(logits_of(AutoModelForCausalLM.from_pretrained(tmp_path)), logits_of(merged))


@pytest.mark.parametrize("tied", [True, False])
def test_a_head_beside_a_nested_language_model_is_merged_as_it_was_trained(tied: bool) -> None:
    pytest.importorskip("peft")
    text = {**SHAPE, "vocab_size": VOCABULARY, "initializer_range": 0.25, "tie_word_embeddings": tied}
    vision = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    vision |= {"image_size": 28, "patch_size": 14}
    torch.manual_seed(0)
    config = Gemma3Config(text_config=text, vision_config=vision, tie_word_embeddings=tied)
    adapted = trained_adapter(AutoModelForCausalLM.from_config(config).eval())
    trained = logits_of(adapted)
    assert len(adapter_rows(adapted)) == (1 if tied else 2)
    torch.testing.assert_close(logits_of(merge_adapter(adapted)), trained, rtol=1e-4, atol=1e-4)


def test_what_an_adapter_is_of_is_written_in_one_order(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    add_adapter(random_lm("llama"), 2, NEW).save_pretrained(tmp_path)
    names = json.loads((tmp_path / "adapter_config.json").read_text(encoding="utf-8"))["target_modules"]
    assert names == sorted(names) and len(names) > 7


@pytest.mark.parametrize("tied", [True, False])
def test_an_adapter_holds_the_new_rows_of_each_matrix_apart(tied: bool) -> None:
    """The installed PEFT names them as we expect; tied matrices share theirs."""
    pytest.importorskip("peft")
    model = random_lm("llama", tied=tied)
    width = model.config.hidden_size
    assert adapter_rows(model) == []
    adapted = add_adapter(model, 2, NEW)
    rows = adapter_rows(adapted)
    assert [row.shape for row in rows] == [(3, width)] * (1 if tied else 2)
    assert all(row.requires_grad for row in rows)
    assert adapter_rows(merge_adapter(adapted)) == []


@pytest.mark.parametrize(
    ("kind", "fields", "names"),
    [
        ("llama", {}, []),
        ("falcon_h1", STATES, ["model.layers.*.mamba.out_proj"]),
        ("mamba", {}, [f"backbone.layers.*.mixer.{part}" for part in ("dt_proj", "out_proj", "x_proj")]),
        (
            "gpt_oss",
            {"num_local_experts": 4},
            [f"model.layers.*.mlp.experts.{part}" for part in ("down_proj", "gate_up_proj")],
        ),
    ],
)
def test_what_no_adapter_can_hold_is_left_out_and_named(kind: str, fields: dict[str, int], names: list[str]) -> None:
    pytest.importorskip("peft")
    adapted = trained_adapter(made(kind, **fields))
    assert left_out(adapted) == names
    trained = logits_of(adapted)
    torch.testing.assert_close(logits_of(merge_adapter(adapted)), trained, rtol=1e-4, atol=1e-4)


class Doubling(nn.Linear):
    """Is a linear layer by name alone."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(values)


class Reading(nn.Module):
    """Reads the matrix of its part, which it never calls."""

    def __init__(self, gate: nn.Linear) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values @ self.gate.weight.T


def test_a_layer_that_does_more_or_is_not_called_is_left_out() -> None:
    pytest.importorskip("peft")
    model = random_lm("llama", num_hidden_layers=1)
    block = model.model.layers[0].mlp
    block.gate_proj.__class__ = Doubling
    block.up_proj = Reading(block.up_proj)
    adapted = trained_adapter(model)
    assert left_out(adapted) == ["model.layers.*.mlp.gate_proj", "model.layers.*.mlp.up_proj.gate"]
    trained = logits_of(adapted)
    torch.testing.assert_close(logits_of(merge_adapter(adapted)), trained, rtol=1e-4, atol=1e-4)


def test_a_model_of_which_nothing_can_be_adapted_is_refused() -> None:
    pytest.importorskip("peft")
    model = random_lm("llama")
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and layer is not model.get_output_embeddings():
            layer.__class__ = Doubling
    with pytest.raises(InputError, match="^--lora-rank: LlamaForCausalLM has no layer that an adapter can hold"):
        add_adapter(model, 2, NEW)


def test_a_missing_peft_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match="--lora-rank needs PEFT; install it with: pip install peft$"):
        add_adapter(random_lm("llama"), 2, [39])


def test_a_matrix_of_several_layers_is_left_out() -> None:
    pytest.importorskip("peft")
    """Merged, it would have the adapters of all its layers."""
    model = tiny_type("zamba2")
    adapted = add_adapter(model, 2, []).eval()
    assert any("shared_transformer" in name for name in left_out(adapted))
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        for value in (value for value in adapted.parameters() if value.requires_grad):
            value.normal_(std=0.3)
        trained = adapted(ids, use_cache=False).logits
        torch.testing.assert_close(merge_adapter(adapted)(ids, use_cache=False).logits, trained, atol=1e-3, rtol=1e-3)
