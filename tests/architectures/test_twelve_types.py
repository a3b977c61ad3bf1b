"""The equalities of ``make test-architectures`` on twelve types that differ: windows, states, masks, heads."""

from pathlib import Path

import pytest

from mixlm.model.thoughts.passes import obstacle
from tests.architectures import equalities
from tests.architectures.tiny_types import tiny_type


EXPECTED = {  # how batches, answers and thoughts are computed
    "gpt2": ("packed", "any", "cached"),
    "llama": ("packed", "any", "cached"),
    "phi": ("packed", "any", "cached"),
    "gemma3_text": ("packed", "any", "cached to 12"),
    "gpt_neo": ("packed", "any", "cached to 12"),
    "gpt_oss": ("padded", "any", "cached to 12"),
    "qwen3_5_text": ("padded", "any", "recomputed"),
    "falcon_h1": ("padded", "any", "recomputed"),
    "mamba2": ("padded", "any", "recomputed"),
    "rwkv": ("padded", "alone", "recomputed"),
    "bart": ("padded", "of one length", "recomputed"),
    "gemma4_text": ("packed", "any", None),
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_a_batch_is_its_rows_alone(kind: str) -> None:
    batch, answers, thoughts = EXPECTED[kind]
    assert equalities.text(tiny_type(kind)) == batch
    assert equalities.answers(tiny_type(kind)) == answers
    if thoughts is None:
        assert obstacle(tiny_type(kind))
    else:
        assert equalities.thoughts(tiny_type(kind)) == thoughts


@pytest.mark.parametrize("kind", EXPECTED)
def test_new_tokens_adapters_and_saved_models(kind: str, tmp_path: Path) -> None:
    assert equalities.growth(tiny_type(kind)) == ("tied" if tiny_type(kind).config.tie_word_embeddings else "untied")
    assert equalities.reload(tiny_type(kind), tmp_path) == "same"
    pytest.importorskip("peft")
    assert equalities.adapter(tiny_type(kind)) == "merges"


def test_every_method_takes_a_step_on_a_hybrid_or_says_why_not(tmp_path: Path) -> None:
    assert equalities.steps(tiny_type("qwen3_5_text"), tmp_path / "hybrid") == "all four"
    assert "coconut: method 'coconut': a model of type" in equalities.steps(tiny_type("gemma4_text"), tmp_path / "ids")


def test_an_adapter_goes_on_where_peft_would_rename_its_weights(tmp_path: Path) -> None:
    """Those of shared experts, as published by another name."""
    pytest.importorskip("peft")
    assert equalities.resumes(tiny_type("laguna"), tmp_path, lora_rank=2) == "same"
