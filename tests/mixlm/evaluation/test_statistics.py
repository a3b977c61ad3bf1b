import math

import numpy as np
import pytest

from mixlm.evaluation.statistics import (
    bootstrap_interval,
    bootstrap_p_value,
    mcnemar,
    paired_bootstrap_difference,
    wilson_interval,
)


# Newcombe (1998), Statistics in Medicine 17, table I, method 3: r / n and the 95 % limits to four places.
@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_limits(right, count, low, high):
    interval = wilson_interval(right, count)
    assert interval.estimate == right / count
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


def test_wilson_is_symmetric_and_stays_within_0_and_1():
    none, all_right = wilson_interval(0, 12), wilson_interval(12, 12)
    assert none.low == 0 and all_right.high == 1
    assert none.high == pytest.approx(1 - all_right.low)
    with pytest.raises(ValueError, match="at least one sample"):
        wilson_interval(0, 0)


def test_bootstrap_of_one_seed_agrees_with_the_binomial():
    # The mean of n resampled zeros and ones is Binomial(n, 0.6) / n: standard deviation sqrt(0.6 * 0.4 / 400).
    interval = bootstrap_interval(np.repeat([1.0, 0.0], [240, 160]), resamples=20_000)
    half = 1.96 * math.sqrt(0.24 / 400)
    assert interval.estimate == pytest.approx(0.6)
    assert interval.low == pytest.approx(0.6 - half, abs=0.004)
    assert interval.high == pytest.approx(0.6 + half, abs=0.004)


def test_bootstrap_carries_the_spread_of_seeds():
    # Samples do not differ, seeds do: a resample of two seeds is 0, 1/2 or 1 with odds 1:2:1.
    values = np.array([[0.0] * 50, [1.0] * 50])
    assert bootstrap_interval(values, resamples=8000) == pytest.approx((0.5, 0.0, 1.0))
    assert bootstrap_interval(values, confidence=0.4, resamples=8000) == pytest.approx((0.5, 0.5, 0.5))


def test_more_seeds_that_agree_do_not_narrow_the_spread_of_samples():
    scores = np.repeat([1.0, 0.0], [30, 20])
    one, many = bootstrap_interval(scores), bootstrap_interval(np.tile(scores, (8, 1)))
    assert many.high - many.low == pytest.approx(one.high - one.low, rel=0.1)


def test_bootstrap_repeats_with_its_seed():
    values = np.random.default_rng(1).random((3, 40))
    assert bootstrap_interval(values, seed=5) == bootstrap_interval(values, seed=5)
    assert bootstrap_interval(values, seed=5) != bootstrap_interval(values, seed=6)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [(1, 9, 22 / 1024), (9, 1, 22 / 1024), (0, 5, 1 / 16), (3, 3, 1.0), (0, 0, 1.0), (2, 6, 74 / 256)],
)
def test_mcnemar_is_the_exact_binomial(only_first, only_second, p_value):
    # (1, 9): 2 * (C(10,0) + C(10,1)) / 2^10;  (2, 6): 2 * (1 + 8 + 28) / 2^8.
    first = [True] * only_first + [False] * only_second + [True, False] * 7
    second = [False] * only_first + [True] * only_second + [True, False] * 7
    assert mcnemar(first, second) == (only_first, only_second, p_value)


def test_a_pair_that_always_differs_by_one_has_no_spread():
    assert paired_bootstrap_difference([1, 1, 1, 1], [0, 0, 0, 0]) == pytest.approx((1, 1, 1))


def test_pairing_removes_what_both_share():
    rng = np.random.default_rng(0)
    shared = rng.random(200)
    paired = paired_bootstrap_difference(shared + 0.1, shared)
    assert paired == pytest.approx((0.1, 0.1, 0.1))
    unpaired = paired_bootstrap_difference(shared + 0.1, rng.permutation(shared))
    assert unpaired.high - unpaired.low > 0.05


def test_paired_difference_agrees_with_the_normal_limit():
    # 30 samples only the first gets right, 10 only the second, 60 alike: mean 0.2, variance 0.4 - 0.2^2.
    first, second = np.repeat([1, 0, 1], [30, 10, 60]), np.repeat([0, 1, 1], [30, 10, 60])
    interval = paired_bootstrap_difference(first, second, resamples=20_000)
    half = 1.96 * math.sqrt(0.36 / 100)
    assert interval.estimate == pytest.approx(0.2)
    assert (interval.low, interval.high) == pytest.approx((0.2 - half, 0.2 + half), abs=0.011)


def test_numbers_of_seeds_may_differ_but_samples_must_match():
    assert paired_bootstrap_difference(np.ones((3, 4)), np.zeros((2, 4))).estimate == 1
    assert bootstrap_p_value(np.ones((3, 4)), np.zeros((2, 4))) < 0.001
    for compare in (mcnemar, paired_bootstrap_difference, bootstrap_p_value):
        with pytest.raises(ValueError, match="there are 3 and 2"):
            compare([1, 0, 1], [1, 0])


def test_p_value_of_equal_scores_is_1_and_of_a_sure_difference_the_smallest():
    scores = np.random.default_rng(0).integers(2, size=(3, 50))
    assert bootstrap_p_value(scores[0], scores[0]) == 1  # every resample is a tie
    # No resample is at zero or beyond: (0 + 1) of (resamples + 1), on either side.
    assert bootstrap_p_value(np.ones(20), np.zeros(20), resamples=999) == 2 / 1000
    assert bootstrap_p_value(np.zeros(20), np.ones(20), resamples=999) == 2 / 1000


@pytest.mark.parametrize("seed", range(5))
def test_p_value_does_not_depend_on_who_comes_first(seed):
    first, second = np.random.default_rng(seed).random((2, 40)) < [[0.6], [0.5]]
    assert bootstrap_p_value(first, second) == bootstrap_p_value(second, first)


def test_p_value_agrees_with_the_normal_limit():
    # 25 samples only the first gets right, 15 only the second, of 100: mean 0.1, variance 0.4 - 0.1^2.
    # z = 0.1 / sqrt(0.39 / 100) = 1.60, two-sided 0.109; with four times the samples z = 3.20, 0.0014.
    first, second = np.repeat([1, 0, 1], [25, 15, 60]), np.repeat([0, 1, 1], [25, 15, 60])
    assert bootstrap_p_value(first, second, resamples=20_000) == pytest.approx(0.109, abs=0.02)
    assert bootstrap_p_value(np.tile(first, 4), np.tile(second, 4), resamples=20_000) == pytest.approx(
        0.0014, abs=0.001
    )


def test_p_value_is_below_5_percent_where_the_interval_leaves_zero_out():
    rng = np.random.default_rng(0)
    below = 0
    for lead in np.linspace(0, 0.25, 60):
        first, second = rng.random((2, 2, 60)) < np.array([0.5 + lead, 0.5])[:, None, None]
        interval = paired_bootstrap_difference(first, second)
        p_value = bootstrap_p_value(first, second)
        if abs(p_value - 0.05) > 0.004:  # ties at the border apart
            assert (p_value < 0.05) == (interval.low > 0 or interval.high < 0)
        below += p_value < 0.05
    assert 10 < below < 50


def test_resamples_without_a_difference_count_on_both_sides_whatever_rounds_them():
    """Of six seeds two are wrong on half of the samples; where those are not drawn the methods are exactly alike."""
    first, second = np.ones((3, 40)), np.ones((6, 40))
    second[:2, :20] = 0
    alike = np.mean(np.random.default_rng(1).multinomial(6, np.full(6, 1 / 6), size=40000)[:, :2].sum(1) == 0)
    assert bootstrap_p_value(first, second, resamples=40000) == pytest.approx(2 * alike, rel=0.05)
    assert paired_bootstrap_difference(first, second).low == 0 == bootstrap_interval(second - 1).high


def test_p_value_carries_the_spread_of_seeds():
    # Each method has a seed that fails and one that does not: whichever is ahead is chance, however many the samples.
    first, second = np.repeat([[0.0], [1.0]], 500, axis=1), np.repeat([[0.0], [0.9]], 500, axis=1)
    assert bootstrap_p_value(first, second) > 0.3
    assert bootstrap_p_value(first[1], second[1]) < 0.001
