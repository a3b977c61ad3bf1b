"""Continuous thoughts against their definition: one row at a time, no cache, every thought filled in by hand."""

import pytest
import torch

from mixlm.model.thoughts.thinking import fill_thoughts, mean_loss, thought_forward, thought_generate
from tests.tiny_thoughts import (
    EOS,
    FAMILIES,
    VOCABULARY,
    WITHOUT_CACHE,
    assert_near,
    embed_row,
    family_of,
    gradients,
    make_batch,
    make_row,
    plain_continuation,
    plain_logits,
    plain_loss,
    random_lm,
)


COUNTS = [0, 1, 3, 6]
CONTIGUOUS = {0: "", 1: "T", 3: "TTT", 6: "TTTTTT"}
SCATTERED = {0: "xx", 1: "xT", 3: "TxTxxT", 6: "TTxTxxTTxxxT"}


def rows_of(count: int, kind: str) -> list:
    """Rows with ``count`` thoughts each and prompts of other lengths, or with any number up to it."""
    if kind == "mixed":
        most = [SCATTERED[count], CONTIGUOUS[count]]
        few = ["", "xTx"[: count + 1], "TxT" if count > 1 else "", "x"]
        patterns = [*most, *few]
    else:
        patterns = [(CONTIGUOUS if kind == "contiguous" else SCATTERED)[count]] * 3
    lengths = [5, 2, 9, 1, 3, 1]
    rows = [make_row(lengths[i], f"{pattern}xxx"[: len(pattern) + 1 + i % 3], i) for i, pattern in enumerate(patterns)]
    return [*rows, make_row(1, "", 9)] if kind == "mixed" else rows  # one row of a single token, nothing to learn


@pytest.fixture(params=[*FAMILIES, WITHOUT_CACHE])
def model(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """A random model; one is taken for a model without passes over a cache."""
    return random_lm(family_of(request.param, monkeypatch))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["contiguous", "scattered", "mixed"])
@pytest.mark.parametrize("count", COUNTS)
def test_logits_loss_and_gradients_are_those_of_the_definition(model, count: int, kind: str, side: str) -> None:
    rows = rows_of(count, kind)
    batch = make_batch(rows, side)
    output = thought_forward(model, *batch)
    for row, mask, logits in zip(rows, batch.mask, output.logits, strict=True):
        assert_near(logits[mask.bool()], plain_logits(model, row))
    expected = plain_loss(model, rows, batch)
    assert_near(output.loss, expected)
    ours, theirs = gradients(model, output.loss), gradients(model, expected)
    assert_near(ours, theirs)
    assert all(grad.abs().max() > 1e-3 for name, grad in theirs.items() if "k_proj" not in name)


@pytest.mark.parametrize("kind", ["contiguous", "scattered", "mixed"])
@pytest.mark.parametrize("count", COUNTS)
def test_generation_is_that_of_the_definition(model, count: int, kind: str) -> None:
    """Some rows end early, others late or never; what is written after the end is the end again."""
    rows = rows_of(count, kind)
    written = [plain_continuation(model, row, 7, eos=-1) for row in rows]
    assert len({tuple(ids) for ids in written}) > len(rows) // 2
    eos = written[0][3]
    expected = [plain_continuation(model, row, 7, eos) for row in rows]
    longest = max(map(len, expected))
    padded = [[*ids, *[eos] * (longest - len(ids))] for ids in expected]
    for side in ("left", "right"):
        assert thought_generate(model, *make_batch(rows, side).prompts, 7, eos).tolist() == padded


@pytest.mark.parametrize("pattern", ["T", "TTT", "xTxTTxTTT"])
def test_a_prompt_may_end_in_a_thought(model, pattern: str) -> None:
    rows = [make_row(4, pattern, 1), make_row(2, "T", 2), make_row(6, "Txx", 3), make_row(1, "", 4)]
    expected = [plain_continuation(model, row, 5, -1) for row in rows]
    for side in ("left", "right"):
        assert thought_generate(model, *make_batch(rows, side).prompts, 5, -1).tolist() == expected


@pytest.mark.parametrize("kind", ["scattered", "mixed"])
@pytest.mark.parametrize("count", COUNTS)
def test_one_plain_pass_over_filled_embeddings_gives_the_same(model, count: int, kind: str) -> None:
    rows = rows_of(count, kind)
    batch = make_batch(rows, "right")
    filled = fill_thoughts(model, *batch.prompts)
    logits = model(inputs_embeds=filled, attention_mask=batch.mask, use_cache=False).logits
    real = batch.mask.bool()
    assert_near(logits[real], thought_forward(model, *batch.prompts).logits[real])
    for row, mask, embeds in zip(rows, real, filled, strict=True):
        assert_near(embeds[mask], embed_row(model, row))


def test_a_batch_equals_its_rows_alone(model) -> None:
    rows = rows_of(6, "mixed")
    together = thought_forward(model, *make_batch(rows).prompts).logits
    batch = make_batch(rows)
    for place, row in enumerate(rows):
        alone = thought_forward(model, *make_batch([row]).prompts).logits[0]
        assert_near(together[place][batch.mask[place].bool()], alone)


def test_what_stands_at_padding_and_at_thoughts_is_never_read(model) -> None:
    """Padding may have any id, EOS among them, and be marked as a thought; EOS within a row is a token."""
    rows = [make_row(3, "TxTxx", 1), ([EOS, 4, EOS, 0, 7], [False, False, False, True, False]), make_row(9, "", 2)]
    clean = make_batch(rows, garbage=False)
    loss, logits = thought_forward(model, *clean)
    real = clean.mask.bool()
    for seed in range(3):
        noisy = make_batch(rows, seed=seed)
        again = thought_forward(model, *noisy)
        assert torch.equal(again.logits[real], logits[real])
        assert torch.equal(again.loss, loss)
    ids = clean.ids.clone()
    ids[1, -5] = 5
    changed = thought_forward(model, ids, *clean[1:])
    assert (changed.logits[1, -5:] - logits[1, -5:]).abs().min(-1).values.max() > 1e-3


def test_more_padding_changes_nothing(model) -> None:
    rows = rows_of(3, "mixed")
    batch = make_batch(rows)
    fill = {"ids": 1, "mask": 0, "thoughts": True, "labels": -100}
    for sides in ((5, 0), (0, 4), (2, 3)):
        wider = [torch.nn.functional.pad(v, sides, value=fill[name]) for name, v in batch._asdict().items()]
        assert_near(thought_forward(model, *wider).loss, thought_forward(model, *batch).loss)
        assert torch.equal(thought_generate(model, *wider[:3], 5, -1), thought_generate(model, *batch.prompts, 5, -1))


def test_positions_count_from_the_mask(model) -> None:
    """Holes in the mask are no places: a row with holes is the row without them."""
    row = make_row(4, "TxTx", 3)
    dense, holes = make_batch([row]), torch.tensor([0, 1, 1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0])
    ids, thoughts = torch.full_like(holes, 9), torch.ones_like(holes)
    ids[holes.bool()], thoughts[holes.bool()] = dense.ids[0], dense.thoughts[0].long()
    spread = thought_forward(model, ids[None], holes[None], thoughts[None]).logits[0]
    assert_near(spread[holes.bool()], thought_forward(model, *dense.prompts).logits[0])


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_row_that_begins_with_a_thought_is_refused(model, side: str) -> None:
    rows = [make_row(3, "Tx"), make_row(0, "Txx")]
    for call in (thought_forward, fill_thoughts, lambda *batch: thought_generate(*batch, 3, EOS)):
        with pytest.raises(ValueError, match="begins with a thought"):
            call(model, *make_batch(rows, side).prompts)


def test_the_loss_is_a_mean_over_labels_not_over_rows(model) -> None:
    rows = [make_row(3, "TTxxxx", 1), make_row(6, "Tx", 2), make_row(4, "TTT", 3)]  # 4 labels, 1, none
    batch = make_batch(rows)
    assert (batch.labels != -100).sum(1).tolist() == [4, 1, 0]
    sums = [thought_forward(model, *make_batch([row])).loss * labels for row, labels in zip(rows, (4, 1, 0))]  # noqa: B905
    assert sums[2] == 0
    assert_near(thought_forward(model, *batch).loss, sum(sums) / 5)
    logits = torch.zeros(2, 3, VOCABULARY)
    labels = torch.tensor([[-100, 1, 2], [-100, -100, -100]])
    assert_near(mean_loss(logits, labels), torch.tensor(float(VOCABULARY)).log())


def test_without_any_label_loss_and_gradients_are_zero(model) -> None:
    batch = make_batch(rows_of(3, "mixed"))
    loss = thought_forward(model, *batch.prompts, torch.full_like(batch.labels, -100)).loss
    loss.backward()
    assert loss == 0
    grads = [value.grad for value in model.parameters() if value.grad is not None]
    assert grads and not any(grad.any() for grad in grads)


def test_without_labels_there_is_no_loss(model) -> None:
    assert thought_forward(model, *make_batch([make_row(2, "Tx")]).prompts).loss is None


@pytest.mark.parametrize(
    ("family", "fields"),
    [
        ("llama", {"num_key_value_heads": 2}),
        ("llama", {"tied": True, "num_key_value_heads": 1, "attn_implementation": "eager"}),
        ("gpt2", {"tied": False}),
        ("gpt2", {"tied": True, "attn_implementation": "eager"}),
    ],
)
def test_grouped_heads_tied_matrices_and_plain_attention(family: str, fields: dict) -> None:
    model = random_lm(family, **fields)
    rows = rows_of(6, "mixed")
    batch = make_batch(rows)
    loss = thought_forward(model, *batch).loss
    assert_near(gradients(model, loss), gradients(model, plain_loss(model, rows, batch)))
    written = thought_generate(model, *batch.prompts, 5, -1).tolist()
    assert written == [plain_continuation(model, row, 5, -1) for row in rows]


def test_bf16_autocast_runs_and_is_near_fp32(model) -> None:
    batch = make_batch(rows_of(6, "mixed"))
    loss = thought_forward(model, *batch).loss
    with torch.autocast("cpu", torch.bfloat16):
        rough = thought_forward(model, *batch).loss
    rough.backward()
    assert rough.dtype == torch.float32
    assert abs(rough.item() - loss.item()) < 0.1 * loss.item()
    assert all(value.grad.isfinite().all() for value in model.parameters())
