"""Padded rows go through the model in blocks of like length; what comes out does not show it."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from mixlm.model.forward import LIKE, blocks_of_like_length, scored_batch, scored_labels, scored_places
from tests.tiny_thoughts import assert_near, random_lm


def padded(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, labels and mask of random rows; every second label is learned."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 40, (len(lengths), max(lengths)), generator=generator)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return ids, ids.masked_fill((mask == 0) | (torch.arange(max(lengths)) % 2 == 0), -100), mask


def test_logits_stand_in_the_order_of_the_labels_and_are_those_of_one_call() -> None:
    model = random_lm("llama")
    ids, labels, mask = padded([5, 20, 2, 19, 7, 20, 4])
    widths = []
    model.register_forward_pre_hook(lambda _, args, given: widths.append(given["input_ids"].shape), with_kwargs=True)
    logits = scored_batch(model, scored_places(labels), input_ids=ids, attention_mask=mask)["logits"]
    assert [tuple(shape) for shape in widths] == [(3, 20), (1, 7), (2, 5), (1, 2)]
    whole = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    assert_near(logits, whole[scored_places(labels)])
    assert len(logits) == len(scored_labels(labels)) > 20


def test_a_model_that_is_sharded_reads_all_rows_in_one_call(monkeypatch) -> None:
    """Every call gathers weights from all processes, and each process would make blocks of its own rows."""
    model, calls = random_lm("llama"), []
    ids, labels, mask = padded([5, 20, 2])
    asked = {"input_ids": ids, "attention_mask": mask}
    plain = scored_batch(model, scored_places(labels), **asked)["logits"]
    model.register_forward_pre_hook(lambda *given: calls.append(given))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert_near(scored_batch(model, scored_places(labels), **asked)["logits"], plain)
    assert len(calls) == 1


@given(st.lists(st.integers(1, 300), min_size=1, max_size=40))
def test_every_row_has_one_block_and_blocks_are_as_long_as_they_can_be(lengths: list[int]) -> None:
    lengths = sorted(lengths, reverse=True)
    blocks = list(blocks_of_like_length(lengths))
    assert [index for rows, _ in blocks for index in range(len(lengths))[rows]] == list(range(len(lengths)))
    for rows, width in blocks:
        assert width == lengths[rows][0] and lengths[rows][-1] >= LIKE * width
    for (_, longer), (rows, _) in zip(blocks, blocks[1:], strict=False):
        assert lengths[rows][0] < LIKE * longer
