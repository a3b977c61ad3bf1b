"""What is found out about a model, on types that differ in it, and what finding it out costs."""

import pytest
import torch
from transformers import CONFIG_MAPPING

from mixlm.model.abilities import (
    agree,
    answer_batches,
    context_length,
    embeddings_forwarded,
    fault_in_training,
    found_once,
    is_causal,
    packs,
    pads,
    trial_rows,
)
from mixlm.model.lora import add_adapter
from mixlm.model.thoughts.layout import cut_up
from mixlm.model.thoughts.passes import Reach, obstacle, reach
from tests.architectures.tiny_types import WINDOW, tiny_type


FAR = Reach(2**63 - 1, 2**63 - 1)


@pytest.mark.parametrize(
    ("kind", "shared", "batches"),
    [
        ("llama", True, "any"),
        ("gpt_neo", True, "any"),
        ("opt", False, "any"),  # takes no position ids
        ("gpt_oss", False, "any"),  # makes its masks without them
        ("qwen3_5_text", False, "any"),  # a state runs on
        ("bart", False, "of one length"),  # counts places in columns
        ("rwkv", False, "alone"),  # writes from a state that rows of a batch share
    ],
)
def test_who_packs_and_who_pads(kind: str, shared: bool, batches: str) -> None:
    model = tiny_type(kind)
    assert (packs(model), answer_batches(model), pads(model)) == (shared, batches, True)


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("llama", {}, FAR),
        ("mistral", {}, Reach(FAR.columns, WINDOW)),
        ("mistral", {"sliding_window": None}, FAR),
        ("gpt_neo", {}, Reach(FAR.columns, WINDOW)),  # whose window is no part of its cache
        ("qwen3_5_text", {}, Reach(0, 0)),
        ("mamba", {}, Reach(0, 0)),
        ("bart", {}, Reach(0, 0)),  # keys and values alone, but places are counted in columns
    ],
)
def test_how_far_passes_over_a_cache_reach(kind: str, fields: dict, expected: Reach) -> None:
    assert reach(tiny_type(kind, **fields)) == expected


def test_rotations_that_grow_with_the_longest_position_bound_every_batch() -> None:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    assert reach(tiny_type("llama", rope_parameters=rope)) == Reach(256, 256)
    rope |= {"original_max_position_embeddings": 64}
    assert reach(tiny_type("llama", rope_parameters=rope)).columns in (64, 256)  # whichever the type goes by


def test_what_a_reach_covers() -> None:
    """Padding before a row or behind it is no gap; a row that ends within the last pass leaves one."""
    ids = torch.arange(1, 13).view(2, 6)
    mask = torch.tensor([[1] * 6, [0, 0, 1, 1, 1, 1]])
    none, late = torch.zeros(2, 6, dtype=torch.bool), torch.zeros(2, 6, dtype=torch.bool)
    late[0, 3], late[1, 5] = True, True
    plain, gaps = cut_up(ids, mask, none), cut_up(ids, mask, late)
    assert (plain.has_gaps, gaps.has_gaps) == (False, True)
    windowed = Reach(100, 6)
    assert windowed.covers(plain, 94) and not windowed.covers(plain, 95)
    assert windowed.covers(gaps) and not windowed.covers(gaps, 1)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("llama", None), ("mamba", None), ("falcon_h1", None), ("gemma4_text", "token ids"), ("ctrl", "writes over")],
)
def test_what_stands_against_thoughts(kind: str, reason: str | None) -> None:
    found = obstacle(tiny_type(kind))
    assert found is None if reason is None else reason in found


def test_a_model_that_asks_for_round_lengths_is_told_before_it_trains() -> None:
    assert fault_in_training(tiny_type("llama")) is None
    assert "multiple" in fault_in_training(tiny_type("reformer"))


def test_trying_costs_at_most_five_passes_of_32_tokens_and_changes_nothing() -> None:
    model, places = tiny_type("llama", attention_dropout=0.5).train(), []
    before, state = torch.get_rng_state(), {name: value.clone() for name, value in model.state_dict().items()}

    def note(_: torch.nn.Module, args: tuple, given: dict) -> None:
        inputs = given["inputs_embeds"] if given.get("input_ids") is None else given["input_ids"]
        places.append(inputs.shape[0] * inputs.shape[1])

    model.register_forward_pre_hook(note, with_kwargs=True)
    text, thinking = [is_causal, fault_in_training, packs, pads], [is_causal, fault_in_training, obstacle, reach]
    for asked in (text, [answer_batches]):
        places.clear()
        assert [find(model) for find in asked][-1]
        assert 0 < sum(places) <= 5 * 32
    assert model.training and torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    places.clear()
    peft = pytest.importorskip("peft")
    wrapped = peft.get_peft_model(model, peft.LoraConfig(target_modules=["q_proj"]))
    assert packs(wrapped) and answer_batches(wrapped) and not places  # known, whatever wraps the model
    other = tiny_type("llama")
    other.register_forward_pre_hook(note, with_kwargs=True)
    assert reach(other) == [find(other) for find in thinking][-1] == FAR
    assert 0 < sum(places) <= 5 * 32


def test_found_once_for_each_model() -> None:
    asked = []

    @found_once
    def number(model: torch.nn.Module) -> int:
        asked.append(model)
        return len(asked)

    one, other = tiny_type("llama"), tiny_type("llama")
    assert [number(one), number(other), number(one)] == [1, 2, 1]


def test_agreement_is_by_the_scale_of_the_logits_and_no_number_is_none() -> None:
    logits = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    assert agree(logits + 1e-5, logits) and agree(100 * logits + 1e-3, 100 * logits)
    assert not agree(logits + 0.01, logits) and agree((logits + 0.01).half(), logits.half())
    for broken in (float("nan"), float("inf")):
        assert not agree(logits, logits.clone().fill_(broken)) and not agree(logits.clone().fill_(broken), logits)


def test_rows_to_try_fit_the_context_and_the_vocabulary() -> None:
    rows = trial_rows(tiny_type("mistral", max_position_embeddings=10, vocab_size=12, pad_token_id=None))
    assert rows.tolist() == [[10, 11, 0, 1, 2, 3, 4, 5, 6, 7], [10, 11, 0, 1, 2, 7, 6, 5, 4, 3]]


def test_embeddings_reach_a_model_that_hands_them_on_unnamed() -> None:
    model = tiny_type("bamba")
    embeds = model.get_input_embeddings()(trial_rows(model))
    with pytest.raises(ValueError, match="inputs_embeds"):
        model.generate(inputs_embeds=embeds, max_new_tokens=1)
    with embeddings_forwarded(model):
        assert model.generate(inputs_embeds=embeds, max_new_tokens=1).shape == (2, 1)
    assert "prepare_inputs_for_generation" not in vars(model)


def test_embeddings_reach_such_a_model_through_its_adapter() -> None:
    pytest.importorskip("peft")
    model = add_adapter(tiny_type("bamba"), 2, ()).eval()
    embeds = model.get_input_embeddings()(trial_rows(model))
    with embeddings_forwarded(model):
        assert model.generate(inputs_embeds=embeds, max_new_tokens=1).shape == (2, 1)
    assert "prepare_inputs_for_generation" not in vars(model.get_base_model())


@pytest.mark.parametrize(
    ("kind", "name"), [("llama", "max_position_embeddings"), ("gpt2", "n_positions"), ("mpt", "max_seq_len")]
)
def test_a_context_is_known_by_whatever_its_type_calls_it(kind: str, name: str) -> None:
    assert context_length(CONFIG_MAPPING[kind](**{name: 48})) == 48
