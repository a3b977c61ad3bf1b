import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.vqvae_rows import IDS, random_reader, random_rows, random_vqvae, tiny_config
from vqvae import ChunkVQVAEConfig, InputError, evaluate_vqvae
from vqvae.model.chunks import collate, cut_windows, row_batches


def windows(ids: list[int], config: ChunkVQVAEConfig) -> list[list[int]]:
    """Cut one trace of a single stretch."""
    length = np.array([len(ids)])
    cut = cut_windows(length, length, config)
    return [ids[start : start + size] for start, size in zip(cut.starts.tolist(), cut.sizes.tolist(), strict=True)]


def test_chunks_by_hand() -> None:
    config = tiny_config(chunk_length=3, compression_rate=1)
    assert windows([1, 2, 3, 4, 5, 6, 7], config) == [[1, 2, 3], [4, 5, 6]]
    assert windows([1, 2], config) == []
    assert windows([], config) == []


def test_trace_windows_by_hand() -> None:
    """Windows of at most 7 tokens hold two whole chunks of 3."""
    config = tiny_config(chunk_length=3, compression_rate=1, context="trace", max_length=7)
    assert windows(list(range(11)), config) == [[0, 1, 2, 3, 4, 5], [6, 7, 8]]


@given(st.lists(st.integers(0, 99), max_size=50), st.integers(1, 7), st.sampled_from(["chunk", "trace"]))
def test_windows_and_tail_are_the_trace(ids: list[int], length: int, context: str) -> None:
    config = tiny_config(chunk_length=length, compression_rate=1, context=context, max_length=3 * length + 1)
    cut = [token for window in windows(ids, config) for token in window]
    assert [*cut, *ids[len(cut) :]] == ids
    assert len(cut) == len(ids) // length * length
    assert len(ids) - len(cut) < length
    assert all(len(window) % length == 0 for window in windows(ids, config))


def test_batches_hold_so_many_rows_or_so_many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config(chunk_length=2, compression_rate=1)
    rows = [{"prompt_ids": [1], "trace_ids": [3] * 2 * count, "solution_ids": [3]} for count in (1, 1, 1, 0, 2, 9, 1)]

    def chunks(most: int) -> list[list[int]]:
        return [[len(row["trace_ids"]) // 2 for row in batch] for batch in row_batches(rows, config, most)]

    assert chunks(2) == [[1, 1], [1, 2], [9, 1]] and chunks(9) == [[1, 1, 1, 2, 9, 1]]
    monkeypatch.setattr("vqvae.model.chunks.CHUNKS", 3)
    assert chunks(9) == [[1, 1, 1], [2], [9], [1]]  # no row is cut
    monkeypatch.setattr("vqvae.model.chunks.NUMBERS", 2 * config.table_rows * 2)
    assert chunks(9) == [[1, 1], [1], [2], [9], [1]]
    assert list(row_batches(rows[3:4], config, 9)) == list(row_batches([], config, 9)) == []
    config = tiny_config(chunk_length=2, objective="predictive", align="step")
    monkeypatch.setattr("vqvae.model.chunks.NUMBERS", 2 * config.table_rows * 32)  # a solution has more than a chunk
    stepped = [{**row, "step_lengths": [2] * (len(row["trace_ids"]) // 2)} for row in rows]
    assert [len(batch) for batch in row_batches(stepped, config, 9)] == [2, 1, 1, 1, 1]


def test_figures_do_not_depend_on_how_rows_are_batched(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = random_vqvae(), random_rows(12)
    whole = evaluate_vqvae(model, rows)
    monkeypatch.setattr("vqvae.model.chunks.CHUNKS", 3)
    parts = evaluate_vqvae(model, rows)
    assert {**parts, "ce_random": 0} == pytest.approx({**whole, "ce_random": 0}, rel=1e-5)


@pytest.mark.parametrize(("lengths", "stretches"), [([8, 8], [3, 4, 3, 5]), ([4, 4], [3, 5]), ([4], [-1, 5])])
def test_steps_that_are_not_those_of_their_traces_are_refused(lengths: list[int], stretches: list[int]) -> None:
    """Cut all the same, the first step that is too short or too long would move all traces after it."""
    model = random_reader()
    with pytest.raises(InputError, match="do not sum up to its tokens"):
        model.encode_flat(np.array([IDS[0]] * sum(lengths)), np.array(lengths), np.array(stretches))


@pytest.mark.parametrize("steps", [[[3, 4], [3, 5]], [[3, 5], []], [[3, 5]], [[5], [3, 8]], [[8], [8], [8]]])
def test_each_trace_has_steps_of_its_own_that_sum_up_to_it(steps: list[list[int]]) -> None:
    model, ids = random_reader(), torch.tensor([IDS, IDS])
    assert model.encode(ids, None, [[3, 5], [8]]).shape == (2, 3)
    with pytest.raises(InputError, match="one list for each trace"):
        model.encode(ids, None, steps)


def test_a_batch_by_hand() -> None:
    """Each part is cut from its own first token; tails are dropped; a long prompt keeps its end for g(P)."""
    config = tiny_config(chunk_length=2, compression_rate=1, max_prompt_length=3)
    rows = [
        {"prompt_ids": [1, 2, 3, 4], "trace_ids": [5, 6, 7], "solution_ids": [8]},
        {"prompt_ids": [9], "trace_ids": [10, 11], "solution_ids": [12, 13]},
    ]
    batch = collate(rows, config)
    assert batch["input_ids"].tolist() == [[1, 2], [3, 4], [5, 6], [10, 11], [12, 13]]
    assert batch["places"].tolist() == [[window, 0, 2] for window in range(5)]
    assert batch["sample"].tolist() == [0, 0, 0, 1, 1]
    assert batch["trace"].tolist() == [False, False, True, True, False]
    assert batch["prompt_ids"].tolist() == [[2, 3, 4], [9, 0, 0]]
    assert batch["prompt_lengths"].tolist() == [3, 1]
    only = collate(rows, config, parts=("trace_ids",))
    assert only["input_ids"].tolist() == [[5, 6], [10, 11]] and torch.all(only["trace"])
