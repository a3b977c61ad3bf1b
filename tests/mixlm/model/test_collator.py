import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from mixlm.model.collator import Collator, fit_rows, pack, pad
from mixlm.model.forward import scored_places
from mixlm.model.special_tokens import SpecialIds
from mixlm.training.loss import MixedLoss


A = {"input_ids": [1, 2, 3], "labels": [-100, 2, 3], "thoughts": [False] * 3}
B = {"input_ids": [4, 5, 6, 7, 8], "labels": [-100, -100, 6, 7, 8], "thoughts": [False] * 5}
C = {"input_ids": [9, 0], "labels": [-100, 0], "thoughts": [False] * 2}


def test_padding_by_hand() -> None:
    """Id 0 is both padding and a learned end of sequence: place tells them apart."""
    batch = pad([A, C])
    assert batch["input_ids"].tolist() == [[1, 2, 3], [9, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 2, 3], [-100, 0, -100]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert set(batch) == {"input_ids", "labels", "attention_mask"}


def test_packing_by_hand() -> None:
    batch = pack([A, B, C], max_row_tokens=7)
    assert batch["input_ids"].tolist() == [[4, 5, 6, 7, 8, 9, 0], [1, 2, 3, 3, 3, 3, 3]]  # filled with their last
    assert batch["labels"].tolist() == [[-100, -100, 6, 7, 8, -100, 0], [-100, 2, 3, *[-100] * 4]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 4, 0, 1], [0, 1, 2, 0, 0, 0, 0]]


def test_thoughts_are_marked_where_there_are_any() -> None:
    thinking = {**A, "thoughts": [False, True, False]}
    assert pad([thinking, C])["thoughts"].tolist() == [[False, True, False], [False, False, False]]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(5, 40))
def test_every_sequence_has_one_place_and_rows_keep_their_bound(lengths: list[int], longest: int) -> None:
    rows = fit_rows(lengths, longest)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert all(len(row) == 1 or sum(lengths[index] for index in row) <= longest for row in rows)


MODELS = {
    "llama": lambda: LlamaForCausalLM(
        LlamaConfig(vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
    ),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(
            vocab_size=40, n_embd=16, n_layer=2, n_head=2, n_positions=64, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0
        )
    ),
}


@pytest.mark.parametrize("family", MODELS)
def test_packed_loss_and_gradients_equal_padded_ones(family: str) -> None:
    torch.manual_seed(0)
    model = MODELS[family]().train()
    rng = torch.Generator().manual_seed(1)
    features = []
    for length in (3, 9, 5, 12, 2, 7):
        ids = torch.randint(40, (length,), generator=rng).tolist()
        features.append({"input_ids": ids, "labels": [-100, *ids[1:]], "thoughts": [False] * length})
    results = []
    for collator in (Collator(), Collator(pack=True, max_row_tokens=20), Collator(pack=True)):
        batch = collator(features)
        labels = batch.pop("labels")
        model.zero_grad()
        logits = model(**batch, use_cache=False).logits[scored_places(labels)]
        loss = MixedLoss(SpecialIds(eos=0))(logits, labels, training=True)
        loss.backward()
        results.append((loss.detach(), [parameter.grad.clone() for parameter in model.parameters()]))
    padded = results[0]
    for packed in results[1:]:
        torch.testing.assert_close(packed[0], padded[0], atol=1e-5, rtol=0)
        for ours, theirs in zip(packed[1], padded[1], strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("collator", "row", "used"), [(Collator(), 0, 3), (Collator(), 2, 2), (Collator(True, 7), 1, 3)]
)
def test_the_content_of_padding_changes_nothing(collator: Collator, row: int, used: int) -> None:
    torch.manual_seed(0)
    model = MODELS["llama"]().eval()
    losses = []
    for fill in (None, 0, 7):
        batch = collator([A, B, C])
        labels = batch.pop("labels")
        unused = batch["input_ids"][row, used:]
        assert len(unused) >= 2
        unused[:] = unused if fill is None else fill
        logits = model(**batch, use_cache=False).logits[scored_places(labels)]
        losses.append(MixedLoss(SpecialIds(eos=0))(logits, labels, training=False))
    for loss in losses[1:]:
        torch.testing.assert_close(loss, losses[0], atol=1e-6, rtol=0)
