from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlm.methods.mixing import (
    PAPER_LENGTHS,
    draw_two_level,
    draw_uniform,
    draw_weighted,
    mixed_answer,
    row_generator,
)
from mixlm.model.special_tokens import SpecialIds
from tests.coded_rows import coded


SPECIAL = SpecialIds(eos=0, bo_latent=100, eo_latent=101, first_latent=102, codebook_size=16)


def test_the_papers_figure() -> None:
    """Figure 3.1 of Token Assorted: L = r = 16; two latents stand for the first 32 tokens, the rest is unchanged."""
    row = coded({"trace_ids": list(range(1, 41)), "solution_ids": [50, 51, 0]}, [3, 5], 16)
    assert mixed_answer(row, 2, SPECIAL) == [100, 105, 107, 101, *range(33, 41), 50, 51, 0]


def test_without_codes_there_are_no_delimiters() -> None:
    row = coded({"trace_ids": [1, 2, 3], "solution_ids": [9, 0]}, [5])
    assert mixed_answer(row, 0, SPECIAL) == [1, 2, 3, 9, 0]


def test_one_latent_stands_for_a_chunk_not_for_a_token() -> None:
    row = coded({"trace_ids": list(range(1, 33)), "solution_ids": [0]}, [4, 4], 16)
    answer = mixed_answer(row, 2, SPECIAL)
    assert len(answer) == 2 + 2 + 1


@given(
    st.lists(st.integers(1, 99), max_size=60),
    st.data(),
)
def test_the_text_that_is_left_is_the_end_of_the_trace(trace: list[int], data: st.DataObject) -> None:
    """However long the texts of the codes are."""
    ends = sorted(data.draw(st.sets(st.integers(1, max(len(trace), 1)), max_size=len(trace))))
    own = data.draw(st.lists(st.integers(0, 15), min_size=len(ends), max_size=len(ends)))
    codes = own[: data.draw(st.integers(0, len(ends)))]
    row = {"trace_ids": trace, "solution_ids": [99, 0], "codes": own, "code_ends": ends}
    answer = mixed_answer(row, len(codes), SPECIAL)
    latents = [token for token in answer if SPECIAL.is_latent(token)]
    assert [SPECIAL.code(token) for token in latents] == codes
    text = answer[len(codes) + 2 :] if codes else answer
    assert [*(trace[: ends[len(codes) - 1]] if codes else []), *text] == [*trace, 99, 0]
    assert (100 in answer, 101 in answer) == (bool(codes), bool(codes))


def test_two_level_draw_has_the_papers_distribution() -> None:
    """Every (m_max, m) of the rule counted: exact probabilities of m / 16, against 20,000 draws."""
    expected: Counter[int] = Counter()
    for longest in PAPER_LENGTHS:
        reach = longest // 16
        for count in range(reach + 1):
            expected[count] += 1 / len(PAPER_LENGTHS) / (reach + 1)
    assert expected[0] == pytest.approx(0.229, abs=5e-4)  # the share of pure text that the rule implies
    rng = np.random.default_rng(0)
    drawn = Counter(draw_two_level(rng, range(16, 16_016, 16), 16, PAPER_LENGTHS) for _ in range(20_000))
    assert set(drawn) == set(range(17))
    for count, share in expected.items():
        assert drawn[count] / 20_000 == pytest.approx(share, abs=4 * (share / 20_000) ** 0.5)


def test_72_reaches_64_tokens_only() -> None:
    rng = np.random.default_rng(0)
    assert {draw_two_level(rng, range(16, 1616, 16), 16, (72,)) for _ in range(500)} == {0, 1, 2, 3, 4}


@given(st.integers(0, 30), st.integers(1, 40), st.integers(0, 2**31))
def test_the_trace_caps_every_draw(codes: int, rate: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ends = [rate * (place + 1) for place in range(codes)]
    assert 0 <= draw_two_level(rng, ends, rate, PAPER_LENGTHS) <= codes
    assert 0 <= draw_uniform(rng, codes) <= codes


def test_uniform_draw_reaches_both_ends() -> None:
    rng = np.random.default_rng(0)
    drawn = Counter(draw_uniform(rng, 3) for _ in range(4_000))
    assert set(drawn) == {0, 1, 2, 3}
    assert all(count == pytest.approx(1_000, abs=120) for count in drawn.values())


class Fixed:
    """A generator whose numbers are known: a given one from 0 to 1, and the greatest of whole ones."""

    def __init__(self, place: float) -> None:
        self.place, self.asked = place, []

    def random(self) -> float:
        return self.place

    def integers(self, low: int, high: int) -> int:
        self.asked.append((low, high))
        return high - 1


@pytest.mark.parametrize(
    ("weights", "codes", "place", "drawn", "asked"),
    [
        ((1, 2, 1), 5, 0.0, 0, []),
        ((1, 2, 1), 5, 0.2499, 0, []),
        ((1, 2, 1), 5, 0.25, 5, []),
        ((1, 2, 1), 5, 0.7499, 5, []),
        ((1, 2, 1), 5, 0.75, 4, [(1, 5)]),
        ((1, 2, 1), 2, 0.75, 1, [(1, 2)]),
        ((1, 2, 1), 1, 0.3333, 0, []),  # one code: the first two weights alone, a third to two thirds
        ((1, 2, 1), 1, 0.3334, 1, []),
        ((0, 0, 1), 1, 0.5, 1, []),
        ((1, 0, 1), 1, 0.9999, 0, []),
        ((0, 1, 1), 0, 0.0, 0, []),
    ],
)
def test_weighted_draw_by_hand(weights: tuple, codes: int, place: float, drawn: int, asked: list) -> None:
    """Nothing, all, a number in between lie side by side on a line as long as the weights together."""
    rng = Fixed(place)
    assert draw_weighted(rng, codes, weights) == drawn and rng.asked == asked


def test_weighted_draw_has_its_distribution() -> None:
    """Weights 1, 2, 3 and four codes: 1/6 nothing, 2/6 all, 1/6 each of one, two, three."""
    rng, draws = np.random.default_rng(0), 12_000
    drawn = Counter(draw_weighted(rng, 4, (1.0, 2.0, 3.0)) for _ in range(draws))
    assert set(drawn) == {0, 1, 2, 3, 4}
    for count, sixths in {0: 1, 1: 1, 2: 1, 3: 1, 4: 2}.items():
        assert drawn[count] == pytest.approx(draws * sixths / 6, abs=4 * (draws * sixths / 6) ** 0.5)


@given(st.integers(0, 30), st.tuples(*[st.integers(0, 3)] * 3).filter(sum), st.integers(0, 2**31))
def test_a_weight_of_nothing_is_never_drawn(codes: int, weights: tuple, seed: int) -> None:
    drawn = draw_weighted(np.random.default_rng(seed), codes, weights)
    none, every, between = weights
    if codes > 1:
        assert drawn in ({0} if none else set()) | ({codes} if every else set()) | set(
            range(1, codes) if between else ()
        )
    else:
        assert drawn in ({0, codes} if none and every else {0} if none else {codes})


def test_a_row_draws_the_same_whoever_asks() -> None:
    first = row_generator(1, 2, 3).integers(1 << 40, size=4).tolist()
    assert row_generator(1, 2, 3).integers(1 << 40, size=4).tolist() == first
    others = [
        row_generator(*key).integers(1 << 40, size=4).tolist() for key in ((0, 2, 3), (1, 3, 3), (1, 2, 4), (2, 1, 3))
    ]
    assert first not in others
