import numpy as np
import pytest

from mixlm.comparison.summary import compare_all, pareto_front, summarize_results
from mixlm.evaluation.statistics import (
    bootstrap_interval,
    bootstrap_p_value,
    mcnemar,
    paired_bootstrap_difference,
    wilson_interval,
)
from tests.made_results import figures, result


def test_means_over_seeds_by_hand():
    one, two = (
        result(
            "a",
            seed,
            free=figures(right, tokens, latents, seconds),
            exact_100=figures("1000", 6.0),
            seconds={"train": {"wall": 20.0 * tokens, "cpu": tokens}, "encode": {"wall": 4.0, "cpu": 2.0}},
            stage1={"codes_used": codes, "code_gap": 0.5},
        )
        for seed, right, tokens, latents, seconds, codes in (
            (1, "1110", 12.0, 3.0, 3.0, 8),
            (0, "1100", 10.0, 2.0, 1.0, 6),
        )
    )
    (summary,) = summarize_results([one, two])
    assert (summary.label, summary.method, summary.seeds, summary.samples) == ("a", "method of a", (0, 1), 1)
    assert list(summary.points) == ["free", "exact:100%"]
    free = summary.points["free"]
    assert free.accuracy.estimate == 5 / 8 and free.solved == 5 / 8
    assert (free.tokens, free.paper_tokens, free.latents, free.seconds) == (11, 9, 2.5, 2)
    np.testing.assert_array_equal(summary.shares["free"], [[1, 1, 0, 0], [1, 1, 1, 0]])
    assert free.accuracy == bootstrap_interval(summary.shares["free"])
    assert summary.points["exact:100%"].accuracy.estimate == 1 / 4
    assert summary.seconds == {"train": {"wall": 220, "cpu": 11}, "encode": {"wall": 4, "cpu": 2}}
    assert summary.stage1 == {"codes_used": 7, "code_gap": 0.5}


def test_a_figure_that_a_codebook_lacks_has_no_mean():
    stages = {"codes_used": 8, "code_gap": None, "ce_none": 1.0}, {"codes_used": 6, "code_gap": 0.5}
    results = [result("a", seed, stage1=stage1, free="10") for seed, stage1 in enumerate(stages)]
    assert summarize_results(results)[0].stage1 == {"codes_used": 7}


def test_one_seed_has_the_interval_of_one_run():
    one, ten = summarize_results([result("a", 0, free="1100"), result("b", 0, samples=10, free="10,1,0,0")])
    assert one.points["free"].accuracy == wilson_interval(2, 4)
    assert ten.points["free"].accuracy == pytest.approx(wilson_interval(1.1, 4))


@pytest.mark.parametrize("right", ["1111", "0000"])
def test_scores_that_are_all_alike_are_no_certainty(right):
    (summary,) = summarize_results([result("a", seed, free=right) for seed in range(3)])
    assert summary.points["free"].accuracy == wilson_interval(right.count("1"), 4)


def test_several_samples_count_by_their_mean_and_a_row_is_solved_by_one_of_them():
    ten = result("a", 0, samples=10, free="10,1,0,0")
    two = result("b", 0, samples=2, free="2100")
    ten, two = summarize_results([ten, two])
    assert ten.points["free"].accuracy.estimate == pytest.approx(11 / 40) and ten.points["free"].solved == 2 / 4
    assert two.points["free"].accuracy.estimate == 3 / 8 and two.points["free"].solved == 2 / 4


def test_a_mode_that_only_one_seed_has_is_left_out():
    (summary,) = summarize_results([result("a", 0, free="10", text="10"), result("a", 1, free="11")])
    assert list(summary.points) == ["free"]


def test_labels_keep_their_order():
    results = [result("b", 0, free="1"), result("a", 0, free="1"), result("b", 1, free="0")]
    assert [(one.label, one.seeds) for one in summarize_results(results)] == [("b", (0, 1)), ("a", (0,))]


def test_pairs_are_compared_in_the_same_mode_and_without_trace_under_that_of_all_latents():
    summaries = summarize_results(
        [
            result("cot", 0, free="1111"),
            result("assorted", 0, free="1100", exact_0="1110", exact_100="1010"),
            result("random", 0, free="0000", exact_0="1000", exact_100="1111"),
            result("dropped", 0, free="1000", direct="0001"),
        ]
    )
    found = {(pair.mode, pair.first, pair.second): pair.difference.estimate for pair in compare_all(summaries)}
    assert found == {
        ("free", "cot", "assorted"): 0.5,
        ("free", "cot", "random"): 1.0,
        ("free", "cot", "dropped"): 0.75,
        ("free", "assorted", "random"): 0.5,
        ("exact:0%", "assorted", "random"): 0.5,
        ("exact:100%", "assorted", "random"): -0.5,
        ("free", "assorted", "dropped"): 0.25,
        ("exact:100%", "assorted", "dropped"): 0.25,  # 2 of 4 with all latents, 1 of 4 with neither latents nor trace
        ("free", "random", "dropped"): -0.25,
        ("exact:100%", "random", "dropped"): 0.75,
    }


def test_the_one_without_trace_may_also_come_first():
    summaries = summarize_results([result("dropped", 0, direct="0001"), result("assorted", 0, exact_100="1010")])
    (pair,) = compare_all(summaries)
    assert (pair.mode, pair.first, pair.second, pair.difference.estimate) == (
        "exact:100%",
        "dropped",
        "assorted",
        -0.25,
    )


def test_two_without_trace_are_compared_as_such():
    (pair,) = compare_all(summarize_results([result("a", 0, direct="01"), result("b", 0, direct="11")]))
    assert pair.mode == "direct" and pair.difference.estimate == -0.5


def test_other_rows_are_never_a_pair():
    assert compare_all(summarize_results([result("a", 0, free="01"), result("b", 0, free="011")])) == []


ONE, OTHER = "1" * 9 + "0" * 6, "0" * 9 + "10" * 3  # 9 rows only the first solves, 3 only the second, 3 neither


def test_single_seeds_are_tested_by_mcnemar():
    (pair,) = compare_all(summarize_results([result("a", 0, free=ONE), result("b", 0, free=OTHER)]))
    # 2 * (1 + 12 + 66 + 220) / 2^12
    assert pair.p_value == 598 / 4096
    shares = [np.array([list(map(float, right))]) for right in (ONE, OTHER)]
    assert pair.p_value == mcnemar(*(one[0] > 0 for one in shares)).p_value
    assert pair.difference == paired_bootstrap_difference(*shares)


@pytest.mark.parametrize(
    "results",
    [
        [result("a", 0, free=ONE), result("a", 1, free=ONE), result("b", 0, free=OTHER)],
        [result("a", 0, samples=3, free=ONE.replace("1", "3").replace("0", "1")), result("b", 0, free=OTHER)],
    ],
    ids=["seeds", "samples"],
)
def test_several_seeds_or_samples_are_tested_by_the_bootstrap(results):
    first, second = summarize_results(results)
    (pair,) = compare_all([first, second])
    shares = first.shares["free"], second.shares["free"]
    assert pair.p_value == bootstrap_p_value(*shares) != 598 / 4096
    assert pair.difference == paired_bootstrap_difference(*shares)


def test_the_front_is_who_no_other_beats_at_its_length():
    def one(label, tokens, right):
        return result(label, 0, free=figures("1" * right + "0" * (10 - right), tokens))

    results = [
        one("worse at ten", 10, 5),
        one("best at ten", 10, 6),
        one("short", 5, 4),
        one("longer and worse", 8, 3),
        one("longer and no better", 20, 6),
        one("best", 30, 9),
        result("never free", 0, text="1" * 10),
    ]
    assert pareto_front(summarize_results(results)) == ["short", "best at ten", "best"]
    assert pareto_front(summarize_results(results), "text") == ["never free"]
