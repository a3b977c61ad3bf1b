import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vqvae_rows import tiny_config
from vqvae import Cutting, InputError
from vqvae.model.chunks import cut_windows
from vqvae.model.continuations import next_places


STEPS = st.lists(st.integers(0, 9), max_size=8)


@given(STEPS, st.integers(1, 5))
def test_chunks_of_steps_cover_every_token_and_cross_no_step(steps: list[int], length: int) -> None:
    cutting = Cutting("step", length, length)
    starts, sizes = cutting.chunks(np.array(steps, dtype=np.int64))
    covered = [token for start, size in zip(starts, sizes, strict=True) for token in range(start, start + size)]
    assert covered == [*range(sum(steps))]
    assert all(1 <= size <= length for size in sizes)
    step_of = np.repeat(np.arange(len(steps)), steps)
    assert all(step_of[start] == step_of[start + size - 1] for start, size in zip(starts, sizes, strict=True))
    assert len(starts) == sum(-(-step // length) for step in steps) == cutting.count_chunks(np.array(steps, int)).sum()
    assert cutting.ends(np.array(steps, dtype=np.int64)).tolist() == (starts + sizes).tolist()


@given(st.integers(0, 40), st.integers(1, 4), st.integers(1, 3))
def test_fixed_chunks_are_cut_from_the_first_token_and_leave_the_tail(tokens: int, rate: int, codes: int) -> None:
    """A code ends at every multiple of r up to the last whole chunk, whatever the steps are."""
    length = rate * codes
    ends = Cutting("fixed", length, rate).ends(np.array([tokens]))
    assert ends.tolist() == [rate * number for number in range(1, tokens // length * codes + 1)]


@given(st.lists(STEPS, max_size=5), st.integers(1, 5), st.integers(0, 7))
def test_windows_of_steps_hold_whole_chunks_of_one_trace(traces: list[list[int]], length: int, more: int) -> None:
    config = tiny_config(
        align="step", chunk_length=length, compression_rate=None, context="trace", max_length=length + more
    )
    lengths = np.array([sum(steps) for steps in traces], dtype=np.int64)
    stretches = np.array([step for steps in traces for step in steps], dtype=np.int64)
    cut = cut_windows(lengths, stretches, config)
    starts, sizes = config.cutting.chunks(stretches)
    window, within, own = cut.places.T
    assert (cut.starts[window] + within).tolist() == starts.tolist() and own.tolist() == sizes.tolist()
    assert np.all(cut.sizes <= config.max_length) and np.all(within + own <= cut.sizes[window])
    trace_of = np.repeat(np.arange(len(traces)), lengths)
    assert np.array_equal(trace_of[cut.starts], trace_of[cut.starts + cut.sizes - 1])
    assert np.array_equal(np.unique(window), np.arange(len(cut.starts)))


def places(steps: list[int], align: str, length: int) -> list[tuple[int, int]]:
    row = {"prompt_ids": [1], "trace_ids": [0] * sum(steps), "step_lengths": steps, "solution_ids": [1]}
    begins, ends = next_places(row, Cutting(align, length, length))
    return list(zip(begins.tolist(), ends.tolist(), strict=True))


def test_each_code_of_a_step_predicts_the_next_step() -> None:
    """Steps of 3, 6 and 2 tokens, L = 4: the second has two codes, and both predict the third."""
    assert places([3, 6, 2], "step", 4) == [(3, 7), (9, 11), (9, 11), (11, 11)]


def test_empty_steps_are_passed_over() -> None:
    assert places([2, 0, 0, 3, 0], "step", 4) == [(2, 5), (5, 5)]
    assert places([0, 1], "step", 4) == [(1, 1)]
    assert places([0, 0], "step", 4) == []


def test_fixed_chunks_predict_what_follows_up_to_the_end_of_the_trace() -> None:
    assert places([3, 3, 4], "fixed", 4) == [(4, 8), (8, 10)]
    assert places([4, 4], "fixed", 4) == [(4, 8), (8, 8)]


@pytest.mark.parametrize("changes", [{"align": "step"}, {"objective": "predictive"}])
def test_one_code_a_chunk_where_chunks_are_steps_or_codes_predict(changes: dict) -> None:
    with pytest.raises(InputError, match="leave --compression-rate out"):
        tiny_config(chunk_length=4, compression_rate=2, **changes)
    assert tiny_config(chunk_length=4, compression_rate=None, **changes).compression_rate == 4


def test_without_a_length_fixed_chunks_have_one_and_chunks_of_steps_take_the_longest_step() -> None:
    assert tiny_config(chunk_length=None, compression_rate=None).chunk_length == 16
    config = tiny_config(chunk_length=None, compression_rate=None, align="step")
    assert config.chunk_length is None
    for longest, length in ((9, 9), (1000, 64)):
        chosen = config.for_training(10, longest)
        assert chosen.chunk_length == chosen.compression_rate == length
    assert config.chunk_length is None
