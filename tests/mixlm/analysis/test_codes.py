import csv
from collections import Counter
from math import log2

import numpy as np
import pytest

from mixlm.analysis.codes import (
    code_finding,
    count_pairs,
    entropy_bits,
    information,
    information_finding,
    shuffled_information,
)
from mixlm.errors import InputError


COUNTS = Counter({(0, (1, 2)): 4, (0, (3, 4)): 2, (0, (5, 6)): 2, (3, (1, 2)): 2})


def decode(ids):
    return "-".join(map(str, ids))


def test_a_code_stands_for_the_tokens_up_to_its_end():
    rows = [
        {"trace_ids": [1, 2, 3, 4, 5], "codes": [7, 7], "code_ends": [2, 4]},
        {"trace_ids": [1, 2, 9, 9, 9], "codes": [7, 0], "code_ends": [2, 5]},
        {"trace_ids": [8], "codes": [], "code_ends": []},
    ]
    assert count_pairs(rows) == {(7, (1, 2)): 2, (7, (3, 4)): 1, (0, (9, 9, 9)): 1}


@pytest.mark.parametrize(("counts", "bits"), [([5], 0), ([3, 3], 1), ([1, 1, 1, 1], 2), ([2, 1, 1, 0], 1.5)])
def test_entropy_of_counts(counts, bits):
    assert entropy_bits(counts) == pytest.approx(bits, abs=1e-12)
    assert entropy_bits(counts) >= 0


def test_information_of_codes_by_hand():
    measures = information(COUNTS, codebook_size=8)
    # Code 0 has 8 of 10 occurrences and an entropy of 1.5 bits; code 3 always stands for the same.
    assert measures["entropy_of_chunks_given_code"] == pytest.approx(0.8 * 1.5)
    of_chunks = -(0.6 * log2(0.6) + 2 * 0.2 * log2(0.2))
    assert measures["entropy_of_chunks"] == pytest.approx(of_chunks)
    assert measures["mutual_information"] == pytest.approx(of_chunks - 1.2)
    of_codes = -(0.8 * log2(0.8) + 0.2 * log2(0.2))
    assert measures["entropy_of_codes"] == pytest.approx(of_codes)
    assert measures["perplexity_of_codes"] == pytest.approx(2**of_codes)
    assert measures["upper_bound"] == 3
    assert (measures["used_codes"], measures["occurrences"], measures["distinct_chunks"]) == (2, 10, 3)


def test_one_code_for_each_chunk_tells_all_of_it():
    measures = information({(code, (code, code)): 2**code for code in range(6)}, codebook_size=6)
    assert measures["entropy_of_chunks_given_code"] == pytest.approx(0, abs=1e-12)
    assert measures["mutual_information"] == pytest.approx(measures["entropy_of_chunks"])
    assert measures["mutual_information_shuffled"] < 0.5 * measures["mutual_information"]


def test_codes_in_exact_proportion_tell_nothing():
    counts = {(code, (chunk,)): (code + 1) * (chunk + 1) for code in range(3) for chunk in range(4)}
    assert information(counts, codebook_size=3)["mutual_information"] == pytest.approx(0, abs=1e-12)


def test_independent_codes_tell_what_shuffled_codes_tell():
    rng = np.random.default_rng(0)
    draws = zip(rng.integers(20, size=1000).tolist(), rng.integers(30, size=1000).tolist(), strict=True)
    measures = information(Counter((code, (chunk,)) for code, chunk in draws), codebook_size=20)
    assert measures["mutual_information"] > 0.2  # the bias alone
    assert measures["mutual_information_shuffled"] == pytest.approx(measures["mutual_information"], rel=0.1)


def test_shuffles_keep_marginals_and_follow_the_seed():
    # Two codes and two chunks, two occurrences: a shuffle gives 1 bit whichever way round.
    assert shuffled_information({(0, (1,)): 1, (5, (2,)): 1}, seed=0) == pytest.approx(1)
    # Only one chunk: nothing to tell.
    assert shuffled_information({(0, (1,)): 3, (5, (1,)): 4}, seed=0) == pytest.approx(0, abs=1e-12)
    counts = {(code, (chunk,)): 1 + (code == chunk) for code in range(4) for chunk in range(4)}
    assert shuffled_information(counts, seed=1) == shuffled_information(counts, seed=1)
    assert shuffled_information(counts, seed=1) != shuffled_information(counts, seed=2)


def test_shuffled_mean_is_that_over_all_orders():
    # Codes 0 0 1 1 over chunks a a b b: of six equally likely codings two tell 1 bit, four tell none.
    counts = {(0, (1,)): 2, (1, (2,)): 2}
    assert shuffled_information(counts, seed=0, shuffles=3000) == pytest.approx(1 / 3, abs=0.03)


def test_table_of_codes_by_hand():
    finding = code_finding(COUNTS, decode, top=2)
    assert finding.rows == [
        {
            "code": 0,
            "count": 8,
            "share": 0.8,
            "entropy_bits": pytest.approx(1.5),
            "chunk_1": "1-2",
            "share_1": 0.5,
            "chunk_2": "3-4",
            "share_2": 0.25,
        },
        {
            "code": 3,
            "count": 2,
            "share": 0.2,
            "entropy_bits": 0,
            "chunk_1": "1-2",
            "share_1": 1,
            "chunk_2": None,
            "share_2": None,
        },
    ]


def test_order_of_the_table_does_not_hang_on_the_order_of_the_data():
    counts = {(2, (9,)): 1, (1, (5,)): 1, (1, (4,)): 1, (0, (1,)): 1}
    backwards = dict(reversed(counts.items()))
    assert code_finding(counts, decode).rows == code_finding(backwards, decode).rows
    assert [row["code"] for row in code_finding(counts, decode).rows] == [1, 0, 2]


def test_units_of_the_table_of_information():
    rows = {row["measure"]: row for row in information_finding(COUNTS, 8).rows}
    assert rows["perplexity_of_codes"]["unit"] == rows["codebook_size"]["unit"] == "codes"
    assert rows["distinct_chunks"]["unit"] == "chunks"
    assert rows["upper_bound"] == {"measure": "upper_bound", "value": 3, "unit": "bits"}


def test_findings_write_a_table_and_a_plot(tmp_path):
    pytest.importorskip("matplotlib")
    for finding in (code_finding(COUNTS, decode), information_finding(COUNTS, 8, seed=1)):
        table, picture = finding.write(tmp_path)
        with table.open(newline="") as file:
            assert len(list(csv.DictReader(file))) == len(finding.rows)
        assert picture.stat().st_size > 1000


def test_axes_name_what_they_show():
    pytest.importorskip("matplotlib")
    left, right = code_finding(COUNTS, decode).figure().axes
    assert left.get_yscale() == "log"
    assert list(left.lines[0].get_ydata()) == [8, 2]
    assert right.lines[0].get_ydata() == pytest.approx([1.5, 0])
    assert "bits" in right.get_ylabel()
    (bars,) = information_finding(COUNTS, 8).figure().axes
    assert bars.patches[-1].get_height() == 3
    assert "bits" in bars.get_ylabel()


def test_no_codes_are_refused():
    for call in (lambda: code_finding({}, decode), lambda: information_finding(Counter(), 8)):
        with pytest.raises(InputError, match="no codes"):
            call()


def test_a_codebook_too_small_is_refused():
    with pytest.raises(InputError, match="code 3"):
        information_finding(COUNTS, 3)
    assert information_finding(COUNTS, 4).rows
