from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlm.generation.answers import TokenCounts
from mixlm.methods import Method, build_method
from mixlm.methods.base import recoded
from mixlm.methods.controls import merge_strings
from tests.coded_rows import coded, fixed
from tests.mixlm.methods.hand import BO, EO, ROW, SPECIAL, P, Row
from tests.mixlm.methods.method_tests import MethodTests, text


UNIFORM = {"mix": "uniform"}  # seeds 0, 6, 11 draw m of 6, 2, 0 tokens
PLAIN = text(11, 12, 13, 14, 15, 16, 17, 9, 0, seed=11)
SPAN = TokenCounts(text=3, latent=3, delimiter=2)


class TestRandomCodes(MethodTests):
    """The draws of run seed 0 for row 0 are 6, 5, 4."""

    name, options, training_steps = "random-codes", UNIFORM, 160
    examples = [PLAIN, text(BO, 108, EO, 13, 14, 15, 16, 17, 9, 0, seed=6), text(BO, 108, 107, 106, EO, 17, 9, 0)]
    counts, paper_tokens = SPAN, 8


class TestShuffledCodes(MethodTests):
    """The permutation of run seed 0 brings 7, 3, 5 into the order 5, 7, 3."""

    name, options, training_steps = "shuffled-codes", UNIFORM, 160
    examples = [PLAIN, text(BO, 107, EO, 13, 14, 15, 16, 17, 9, 0, seed=6), text(BO, 107, 109, 105, EO, 17, 9, 0)]
    counts, paper_tokens = SPAN, 8


class TestHashedCodes(MethodTests):
    """The hashes of (11, 12), (13, 14), (15, 16), mod 8, are 0, 4, 4."""

    name, options, training_steps = "hashed-codes", UNIFORM, 160
    examples = [PLAIN, text(BO, 102, EO, 13, 14, 15, 16, 17, 9, 0, seed=6), text(BO, 102, 106, 106, EO, 17, 9, 0)]
    counts, paper_tokens = SPAN, 8


class TestMatchedPauses(MethodTests):
    """Code 0 in every place; the model writes it, so it counts as a latent."""

    name, options, training_steps = "matched-pauses", UNIFORM, 160
    examples = [PLAIN, text(BO, 102, EO, 13, 14, 15, 16, 17, 9, 0, seed=6), text(BO, 102, 102, 102, EO, 17, 9, 0)]
    counts, paper_tokens = SPAN, 8


class TestFrequentNgrams(MethodTests):
    """Codes 0, 1, 2 stand for 12 13; 14 15 16; 11 12. Of the prefix, what none of them covers stays text."""

    name, options, training_steps = "frequent-ngrams", UNIFORM, 160
    state = {"strings": [[12, 13], [14, 15, 16], [11, 12]]}
    examples = [
        PLAIN,
        text(BO, 104, EO, 13, 14, 15, 16, 17, 9, 0, seed=6),
        text(BO, 104, 13, 103, EO, 17, 9, 0),
    ]
    counts, paper_tokens = TokenCounts(text=4, latent=2, delimiter=2), 8


class TestDropPrefix(MethodTests):
    """The same draws of m, and nothing in place of the text."""

    name, options, training_steps = "drop-prefix", UNIFORM, 160
    examples = [PLAIN, text(13, 14, 15, 16, 17, 9, 0, seed=6), text(17, 9, 0)]
    counts, paper_tokens = TokenCounts(text=3), 3

    def test_exactly_m_tokens_are_missing(self) -> None:
        for replaced in range(4):
            assert self.method().sequence_with(ROW, replaced).ids == [*P, *ROW["trace_ids"][2 * replaced :], 9, 0]


CONTROLS = ["random-codes", "shuffled-codes", "hashed-codes", "matched-pauses", "frequent-ngrams", "drop-prefix"]


def control(name: str, seed: int = 0) -> Method:
    return build_method(name, UNIFORM).bind(SPECIAL, fixed(2)).restore({"seed": seed, "strings": []})


def many_rows(count: int = 2000) -> list[Row]:
    """Rows of four chunks, each of eight sorts; the code is the sort, so it tells all about its chunk."""
    sorts = np.random.default_rng(1).integers(8, size=(count, 4)).tolist()
    traces = [[token for sort in own for token in (20 + sort, 30 + sort)] for own in sorts]
    return [
        coded({**ROW, "row": number, "trace_ids": trace}, own)
        for number, (trace, own) in enumerate(zip(traces, sorts, strict=True))
    ]


def independence(rows: list[Row], codes: list) -> float:
    """Return the chi-square statistic of chunk and code, with 49 degrees of freedom; its mean by chance is 49."""
    table = np.zeros((8, 8))
    for row, own in zip(rows, codes, strict=True):
        np.add.at(table, (row["codes"], own), 1)
    expected = table.sum(0, keepdims=True) * table.sum(1, keepdims=True) / table.sum()
    return ((table - expected) ** 2 / expected).sum()


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_draws_the_same_m_as_the_method_itself(name: str) -> None:
    real = build_method("assorted", UNIFORM).bind(SPECIAL, fixed(2))
    method = control(name)
    (row,) = recoded([ROW], method)
    for seed in range(30):
        assert method.draw(row, np.random.default_rng(seed)) == real.draw(ROW, np.random.default_rng(seed))


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_fits_lengths_as_the_method_itself(name: str) -> None:
    fitted, restored = (build_method(name, {"mix": "paper"}).bind(SPECIAL, fixed(2)) for _ in range(2))
    real = build_method("assorted", {"mix": "paper"}).bind(SPECIAL, fixed(2))
    state = fitted.fit([ROW] * 4, 0)
    assert state["lengths"] == real.fit([ROW] * 4, 0)["lengths"]
    restored.restore(state)
    assert fitted.drawn_lengths == restored.drawn_lengths == real.drawn_lengths


@pytest.mark.parametrize("name", ["random-codes", "shuffled-codes", "hashed-codes", "matched-pauses"])
def test_a_recoding_changes_codes_alone(name: str) -> None:
    rows = many_rows(5) + [coded({**ROW, "row": 5}, [])]
    for before, after in zip(rows, recoded(rows, control(name)), strict=True):
        assert {**after, "codes": None} == {**before, "codes": None}
        assert len(after["codes"]) == len(before["codes"]) and set(after["codes"]) <= set(range(8))


def test_the_chi_square_finds_the_information_of_real_codes() -> None:
    rows = many_rows()
    assert independence(rows, [row["codes"] for row in rows]) == pytest.approx(8000 * 7)


@pytest.mark.parametrize("name", ["random-codes", "shuffled-codes"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_codes_share_no_information_with_their_chunk_beyond_chance(name: str, seed: int) -> None:
    """85.4 is the 99.9th percentile of the chi-square distribution."""
    rows = many_rows()
    assert independence(rows, [*control(name, seed).recode(rows)]) < 85.4


def test_random_codes_are_uniform_and_depend_on_seed_and_row_alone() -> None:
    rows, method = many_rows(), control("random-codes")
    codes = [*method.recode(rows)]
    counts = np.bincount(np.concatenate(codes), minlength=8)
    assert ((counts - 1000) ** 2 / 1000).sum() < 24.3  # the 99.9th percentile of 7 degrees of freedom
    assert [*method.recode([{**row, "codes": [0] * 4, "trace_ids": [5] * 8} for row in rows])] == codes
    assert [*method.recode(rows[::-1])] == codes[::-1]
    assert [*control("random-codes", 1).recode(rows)] != codes
    assert len({tuple(own) for own in codes}) > 1500


def test_places_of_random_codes_are_independent() -> None:
    """The second code of a row says nothing about the first."""
    codes = np.array([*control("random-codes").recode(many_rows(4000))])
    rows = [{"codes": [first]} for first in codes[:, 0]]
    assert independence(rows, [[second] for second in codes[:, 1]]) < 85.4


def test_shuffled_codes_keep_the_histogram() -> None:
    rows = many_rows(500)
    rows = [{**row, "codes": [code // 3 for code in row["codes"][: row["row"] % 5]]} for row in rows]  # uneven
    shuffled = [*control("shuffled-codes").recode(rows)]
    assert list(map(len, shuffled)) == [len(row["codes"]) for row in rows]
    histogram = Counter(code for row in rows for code in row["codes"])
    assert Counter(code for own in shuffled for code in own) == histogram and len(set(histogram.values())) == 3
    assert shuffled == [*control("shuffled-codes").recode(rows)] != [*control("shuffled-codes", 1).recode(rows)]
    assert shuffled != [row["codes"] for row in rows]


def test_hashed_codes_are_a_function_of_the_chunk() -> None:
    """The same two tokens have the same code in any row and place, for any seed; unlike ones are spread evenly."""
    method, rows = control("hashed-codes"), many_rows()
    codes = [*method.recode(rows)]
    found = {(row["codes"][place], own[place]) for row, own in zip(rows, codes, strict=True) for place in range(4)}
    assert len(found) == 8  # eight sorts of chunks, one code each
    assert [*control("hashed-codes", 1).recode(rows)] == codes
    counts = np.bincount([method.hash([first, second]) for first in range(100) for second in range(80)], minlength=8)
    assert ((counts - 1000) ** 2 / 1000).sum() < 24.3
    assert len({method.hash([first, 5]) for first in range(40)}) == 8  # alike chunks are not alike in their codes
    assert len({method.hash([5, second]) for second in range(40)}) == 8
    assert any(method.hash([a, b]) != method.hash([b, a]) for a in range(5) for b in range(a))


def test_matched_pauses_are_zeros_in_as_many_places() -> None:
    rows = [{**ROW, "codes": own} for own in ([3, 1], [], [7, 7, 2])]
    assert [*control("matched-pauses").recode(rows)] == [[0, 0], [], [0, 0, 0]]


# -- frequent strings --


def ngrams(*strings: list[int]) -> Method:
    return build_method("frequent-ngrams", {}).bind(SPECIAL, fixed(2)).restore({"strings": list(strings)})


def test_strings_are_merged_from_the_most_frequent_pair_on() -> None:
    """7 8 comes five times. Then 78 9 comes three times and all others at most twice. Then 5 78 comes twice."""
    traces = [[7, 8, 9, 4], [7, 8, 9, 3], [7, 8, 9], [5, 7, 8], [5, 7, 8]]
    assert merge_strings(traces, 3) == [[7, 8], [7, 8, 9], [5, 7, 8]]
    assert merge_strings(traces, 1) == [[7, 8]]


def test_there_are_at_most_k_strings_and_no_more_than_traces_hold() -> None:
    rng = np.random.default_rng(0)
    traces = rng.integers(200, size=(50, 40)).tolist()
    for count in (1, 8, 64):
        strings = merge_strings(traces, count)
        assert len(strings) == count == len(set(map(tuple, strings))) and min(map(len, strings)) > 1
    assert merge_strings([[1, 2]], 8) == [[1, 2]] and merge_strings([[1]], 8) == [] == merge_strings([[]], 8)


def test_the_training_rows_give_as_many_strings_as_there_are_codes() -> None:
    rows = [{**ROW, "trace_ids": trace} for trace in np.random.default_rng(0).integers(9, size=(50, 40)).tolist()]
    method = build_method("frequent-ngrams", {}).bind(SPECIAL, fixed(2))
    state = method.fit(rows, seed=0)
    assert len(state["strings"]) == len(method.strings) == 8 and set(method.strings.values()) == set(range(8))


@pytest.mark.parametrize(
    ("ids", "compressed"),
    [
        ([], []),
        ([5], [5]),
        ([5, 6], [102]),
        ([5, 6, 7], [103]),  # the longest that fits comes first
        ([5, 6, 8, 7], [102, 8, 7]),
        ([5, 5, 6, 7, 5, 6], [5, 103, 102]),
        ([6, 7, 8], [104, 8]),
        ([5, 6, 7, 8, 9, 6, 7], [103, 8, 9, 104]),
    ],
)
def test_the_longest_string_is_replaced_from_left_to_right(ids: list[int], compressed: list[int]) -> None:
    assert ngrams([5, 6], [5, 6, 7], [6, 7]).compress(ids) == compressed


@given(
    strings=st.lists(st.lists(st.integers(10, 14), min_size=2, max_size=4), max_size=8, unique_by=tuple),
    ids=st.lists(st.integers(10, 14), max_size=30),
)
def test_every_string_is_read_back(strings: list[list[int]], ids: list[int]) -> None:
    """Each latent in place of its string gives the prefix again, and it never gets longer."""
    compressed = ngrams(*strings).compress(ids)
    read = [strings[token - 102] if SPECIAL.is_latent(token) else [token] for token in compressed]
    assert [token for part in read for token in part] == ids and len(compressed) <= len(ids)


def test_latents_of_a_row_are_the_strings_in_what_its_codes_stand_for() -> None:
    """Of 11 .. 16: 12 13 and 15 16; 17 lies beyond."""
    assert ngrams([12, 13], [15, 16], [16, 17]).latents_of(ROW) == 2
    assert ngrams([16, 17]).latents_of(ROW) == 0


def test_a_prefix_without_any_string_is_text_within_delimiters() -> None:
    sequence = ngrams([98, 99]).sequence_with(ROW, 1)
    assert sequence.ids == [*P, BO, 11, 12, EO, 13, 14, 15, 16, 17, 9, 0]
    assert len(sequence.ids) == 12 + ngrams().extra_tokens(ROW)


def test_codes_stand_for_the_strings_that_were_found() -> None:
    assert ngrams([12, 13], [15, 16]).chunks(ROW) == [(0, [12, 13]), (1, [15, 16])]
