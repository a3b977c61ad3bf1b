from pathlib import Path

import pytest

from mixlm.errors import InputError
from mixlm.model.loading import described_config, open_model
from mixlm.model.tokenizers import build_tokenizer


TEXTS = ["so now 3 + 4 gives 7 .", "so now 7 - 2 gives 5 ."]


def open_described(tmp_path: Path, described: str):
    (tmp_path / "described.yaml").write_text(described)
    return open_model(str(tmp_path / "described.yaml"), build_tokenizer(TEXTS, vocab_size=280))


def test_a_model_that_is_no_causal_language_model_is_named_without_a_list_of_all(tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"described\.yaml: .*Unrecognized configuration .*AutoModelForCausalLM\.$",
    ):
        open_described(tmp_path, "model_type: t5\nd_model: 8\nd_kv: 4\nd_ff: 8\nnum_layers: 1\nnum_heads: 2\n")


def test_an_encoder_from_scratch_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    shape = "hidden_size: 32\nnum_hidden_layers: 2\nnum_attention_heads: 2\nintermediate_size: 32\n"
    with pytest.raises(InputError, match=r"described\.yaml: no causal language model: BertLMHeadModel reads later"):
        open_described(tmp_path, f"model_type: bert\n{shape}")
    assert open_described(tmp_path, f"model_type: bert\nis_decoder: true\n{shape}").config.is_decoder


def test_attention_heads_that_cannot_share_a_types_own_key_value_heads_have_one_each():
    """Qwen 2's type has 32 of these unless told otherwise."""
    made = described_config({"model_type": "qwen2", "num_attention_heads": 2}, "model.yaml")
    assert (made.num_attention_heads, made.num_key_value_heads) == (2, 2)
    made = described_config({"model_type": "qwen2", "num_attention_heads": 64}, "model.yaml")
    assert (made.num_attention_heads, made.num_key_value_heads) == (64, 32)
    shared = {"model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2}
    assert described_config(shared, "model.yaml").num_key_value_heads == 2


def test_key_value_heads_that_were_asked_for_and_do_not_fit_are_refused():
    shared = {"model_type": "qwen2", "num_attention_heads": 4, "num_key_value_heads": 3}
    with pytest.raises(InputError, match="model.yaml: .* no multiple of num_key_value_heads"):
        described_config(shared, "model.yaml")


def test_a_type_whose_own_defaults_contradict_each_other_is_told_in_a_line() -> None:
    contradicting = {"model_type": "gemma4_assistant", "text_config": {"model_type": "gemma4_text"}}
    with pytest.raises(InputError, match=r"^x\.yaml: hidden_size_per_layer_input must be 0"):
        described_config(contradicting, "x.yaml")
    with pytest.raises(InputError, match="has no field 'backbone_size'; did you mean 'backbone_hidden_size'"):
        described_config({"model_type": "gemma4_assistant", "backbone_size": 3}, "x.yaml")


def test_a_type_that_has_no_defaults_is_told_in_a_line() -> None:
    """Its parts are to be named; transformers raises a plain ValueError."""
    with pytest.raises(InputError, match=r"^x\.yaml: (A configuration of type nougat|Unrecognized model type) .*"):
        described_config({"model_type": "nougat"}, "x.yaml")


def test_a_field_that_the_tokenizer_gives_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="lm.yaml: 'vocab_size' follows from its tokenizer; leave it out"):
        described_config({"model_type": "llama", "vocab_size": 300}, "lm.yaml", vocab_size=80)
