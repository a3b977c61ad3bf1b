"""Intervals and tests for accuracies: one run, several seeds, and pairs of runs on the same samples."""

from functools import lru_cache
from math import comb, sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """An estimate and the limits between which the truth lies with the stated confidence."""

    estimate: float
    low: float
    high: float


class McNemar(NamedTuple):
    """Outcome of McNemar's test: samples that only the first, only the second got right, and the p-value."""

    only_first: int
    only_second: int
    p_value: float


def wilson_interval(right: float, count: int, confidence: float = 0.95) -> Interval:
    """Return the Wilson score interval of a proportion.

    Args:
        right: Number of successes; a fraction where each sample was tried several times and its mean counts.
        count: Number of samples.
        confidence: Probability that the interval covers the truth.

    Raises:
        ValueError: If there is no sample.
    """
    if count <= 0:
        raise ValueError("an interval needs at least one sample")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = right / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def bootstrap_interval(values: np.ndarray, confidence: float = 0.95, resamples: int = 4000, seed: int = 0) -> Interval:
    """Return the percentile bootstrap interval of the mean over seeds and samples.

    Every resample draws seeds, then samples. All seeds answered the same samples, so one draw of samples serves all
    seeds drawn: drawing them apart for each seed would count a sample several times as independent evidence.

    Args:
        values: Score of each seed on each sample, (seeds, samples); (samples,) for one seed.
        confidence: Probability that the interval covers the truth.
        resamples: Number of resamples.
        seed: Seed of the draws.
    """
    values = np.atleast_2d(np.asarray(values, dtype=float))
    rng = np.random.default_rng(seed)
    samples = _draw_weights(rng, resamples, values.shape[1])
    means = _means(_draw_weights(rng, resamples, values.shape[0]) @ values, samples)
    return _percentiles(values.mean(), means, confidence)


def paired_bootstrap_difference(
    first: np.ndarray, second: np.ndarray, confidence: float = 0.95, resamples: int = 4000, seed: int = 0
) -> Interval:
    """Return the bootstrap interval of ``mean(first) - mean(second)`` on the same samples.

    Seeds of the two are drawn apart, since they have nothing in common; samples are drawn once for both.

    Args:
        first: Scores, (seeds, samples) or (samples,).
        second: Scores on the same samples in the same order; the number of seeds may differ.
        confidence: Probability that the interval covers the truth.
        resamples: Number of resamples.
        seed: Seed of the draws.

    Raises:
        ValueError: If the two do not have the same number of samples.
    """
    estimate, differences = _paired_draws(first, second, resamples, seed)
    return _percentiles(estimate, differences, confidence)


def bootstrap_p_value(first: np.ndarray, second: np.ndarray, resamples: int = 4000, seed: int = 0) -> float:
    """Return the two-sided p-value of the difference whose interval ``paired_bootstrap_difference`` gives.

    It is the share of resamples on the far side of zero, doubled, and never below ``2 / (resamples + 1)``: below the
    5 % level exactly where the 95 % interval leaves zero out, but for that smallest value.

    Args:
        first: As there.
        second: As there.
        resamples: Number of resamples.
        seed: Seed of the draws.

    Raises:
        ValueError: As there.
    """
    _, draws = _paired_draws(first, second, resamples, seed)
    beyond = min(np.sum(draws <= 0), np.sum(draws >= 0))
    return min(1.0, 2 * (int(beyond) + 1) / (resamples + 1))


def _paired_draws(first: np.ndarray, second: np.ndarray, resamples: int, seed: int) -> tuple[float, np.ndarray]:
    """Return the difference of the means, and that of each resample, (resamples,)."""
    first, second = (np.atleast_2d(np.asarray(values, dtype=float)) for values in (first, second))
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"pairs need the same samples; there are {first.shape[1]} and {second.shape[1]}")
    samples, *seeds = _pair_weights(seed, resamples, first.shape[1], len(first), len(second))
    scores = [weights @ values for weights, values in zip(seeds, (first, second), strict=True)]
    return float(first.mean() - second.mean()), _means(scores[0] - scores[1], samples)


@lru_cache(maxsize=1)  # drawing takes most of the time, and the pairs of a table share their draws
def _pair_weights(seed: int, resamples: int, samples: int, *seeds: int) -> list[np.ndarray]:
    """Return the weights of samples, then those of the seeds of each of a pair: (resamples, number) each."""
    rng = np.random.default_rng(seed)
    return [_draw_weights(rng, resamples, size) for size in (samples, *seeds)]


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemar:
    """Test exactly, by the binomial distribution, whether two runs get equally many of the same samples right.

    Args:
        first: Whether the first run got each sample right, (samples,).
        second: The same of the second run, in the same order.

    Raises:
        ValueError: If the two do not have the same number of samples.
    """
    first, second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if first.shape != second.shape:
        raise ValueError(f"pairs need the same samples; there are {first.size} and {second.size}")
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    discordant = only_first + only_second
    tail = sum(comb(discordant, k) for k in range(min(only_first, only_second) + 1))
    return McNemar(only_first, only_second, min(1.0, 2 * tail / 2**discordant))


def _draw_weights(rng: np.random.Generator, resamples: int, size: int) -> np.ndarray:
    """Return how often each of ``size`` things is drawn in each resample, as shares: (resamples, size)."""
    return rng.multinomial(size, np.full(size, 1 / size), size=resamples) / size


def _means(scores: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Return the mean score of each resample, (resamples,), free of rounding errors: equal ones are exactly equal."""
    return np.einsum("bn,bn->b", scores, samples).round(12) + 0.0  # and no -0.0


def _percentiles(estimate: float, draws: np.ndarray, confidence: float) -> Interval:
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(estimate), float(low), float(high))
