"""A model from scratch that cannot be made of its numbers is refused before memory is taken for it."""

import re

import pytest

from mixlm.errors import InputError
from mixlm.model.loading import open_model
from mixlm.model.sizes import check_numbers, check_size
from mixlm.model.tokenizers import build_tokenizer, open_tokenizer


SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def opened(folder, kind="llama", **fields):
    described = "".join(f"{name}: {value}\n" for name, value in {"model_type": kind, **SMALL, **fields}.items())
    (folder / "m.yaml").write_text(described)
    return open_model(str(folder / "m.yaml"), build_tokenizer(["2 + 2?"], 280))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("hidden_size", 10**9, "'hidden_size: 1000000000' makes a model of more than the"),
        ("intermediate_size", 2 * 10**9, "'intermediate_size: 2000000000' makes a model of more than the"),
        ("num_attention_heads", 10**9, "1000000000"),
        ("hidden_size", 10**12, "'hidden_size' is 1000000000000, and 2,147,483,647 is the most"),
        ("num_hidden_layers", 10**6, "'num_hidden_layers' is 1000000, and 10,000 is the most"),
        ("hidden_size", -32, "'hidden_size' is -32; give a number above 0"),
        ("num_hidden_layers", 0, "'num_hidden_layers' is 0; give a number above 0"),
        ("rms_norm_eps", ".nan", "'rms_norm_eps' is nan; give a finite number"),
        ("rope_theta", ".inf", "'rope_theta' is inf; give a finite number"),
        ("rope_parameters", "{rope_theta: .nan}", "'rope_theta' is nan"),
        ("num_attention_heads", 5, "m.yaml: "),
        ("hidden_size", "'32'", "m.yaml: .*hidden_size"),
        ("hidden_act", "nothing", "no model can be made of it: .*nothing"),
        ("id2label", 7, "m.yaml: "),
    ],
)
def test_numbers_of_which_no_model_can_be_made_are_named(tmp_path, field, value, message):
    with pytest.raises(InputError, match=message) as caught:
        opened(tmp_path, **{field: value})
    assert str(caught.value).startswith(f"{tmp_path / 'm.yaml'}: ") and "\n" not in str(caught.value)


def test_experts_are_counted_before_they_are_made(tmp_path):
    with pytest.raises(InputError, match=re.escape("m.yaml: 'num_local_experts: 100000' makes a model")):
        opened(tmp_path, "mixtral", num_local_experts=100_000, num_key_value_heads=2, hidden_size=1024)


def test_infinity_is_a_limit_where_a_list_has_two():
    check_numbers({"time_step_limit": [0.0, float("inf")]}, "m.yaml")
    with pytest.raises(InputError, match="'time_step' is inf"):
        check_numbers({"time_step": float("inf")}, "m.yaml")


def test_what_fits_memory_is_made_and_nothing_stays_of_the_trial(tmp_path, monkeypatch):
    lm = opened(tmp_path)
    import psutil

    needed = 4 * sum(values.numel() for values in lm.parameters())
    memory = psutil.virtual_memory()._replace(available=needed // 2)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    with pytest.raises(InputError, match="makes a model of more than the 0.0 GiB of memory that are free"):
        check_size(lm.config, SMALL, "m.yaml")
    assert type(lm)(lm.config).num_parameters() == lm.num_parameters()  # no hook counts what others make


@pytest.mark.parametrize("size", ["-1", "0", "true", "1.5", "1000000000000", "'300'"])
def test_a_vocabulary_of_no_size_is_refused(tmp_path, size):
    (tmp_path / "m.yaml").write_text(f"model_type: llama\ntokenizer: {{vocab_size: {size}}}\n")
    with pytest.raises(InputError, match="m.yaml: .*vocab_size"):
        open_tokenizer(str(tmp_path / "m.yaml"), ["2 + 2?"])


@pytest.mark.parametrize("kind", ["[llama]", "7", "{llama: 1}", "''", "null", "nothing"])
def test_a_type_that_is_none_is_refused(tmp_path, kind):
    with pytest.raises(InputError, match="m.yaml: "):
        opened(tmp_path, kind)
