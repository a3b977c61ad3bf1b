"""What the results of a grid say together: a row for each method, and paired tests between any two."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from mixlm.comparison.results import Result, shares_right
from mixlm.evaluation.statistics import (
    Interval,
    bootstrap_interval,
    bootstrap_p_value,
    mcnemar,
    paired_bootstrap_difference,
    wilson_interval,
)


HERE = "here"
FREE, DIRECT, FULL = "free", "direct", "exact:100%"


class Point(NamedTuple):
    """A method decoded in one mode: means over seeds.

    Attributes:
        accuracy: Share of right answers, with its 95 % interval: by the bootstrap over seeds and rows, by Wilson
            over rows where there is one seed, or where all shares are alike and a resample could not differ.
        solved: Share of rows with a right answer among their samples.
        tokens: Of an answer.
        paper_tokens: The same as the papers count them.
        latents: Of an answer.
        seconds: To answer all rows.
        cut_off: Share of answers that reached the limit of tokens before their end.
    """

    accuracy: Interval
    solved: float
    tokens: float
    paper_tokens: float
    latents: float
    seconds: float
    cut_off: float


@dataclass(frozen=True)
class Summary:
    """All results of one method.

    Attributes:
        label: Its name in the grid.
        method: The method.
        seeds: Those that are finished.
        samples: Answers to each row.
        points: By mode of decoding.
        shares: By mode: share of right answers of each seed to each row, (seeds, rows).
        seconds: Mean wall-clock and processor seconds over seeds, by kind of part.
        stage1: Mean figures of stage 1 over seeds; empty without.
        engines: What has decoded the answers of any seed; "here" of the model itself.
    """

    label: str
    method: str
    seeds: tuple[int, ...]
    samples: int
    points: Mapping[str, Point]
    shares: Mapping[str, np.ndarray]
    seconds: Mapping[str, Mapping[str, float]]
    stage1: Mapping[str, float]
    engines: tuple[str, ...]


class Pair(NamedTuple):
    """Two methods at an equal number of latents.

    Attributes:
        mode: How the first was decoded.
        first: Label of a method.
        second: Label of another.
        difference: Accuracy of the first minus that of the second, with its interval.
        p_value: Two-sided; of McNemar's test where each has one seed and one sample a row, else of the bootstrap.
    """

    mode: str
    first: str
    second: str
    difference: Interval
    p_value: float


def summarize_results(results: Sequence[Result]) -> list[Summary]:
    """Return a summary for each label, in the order in which they come.

    Args:
        results: Of cells on the same rows.
    """
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result["label"], []).append(result)
    return [_summary(label, sorted(group, key=lambda one: one["seed"])) for label, group in groups.items()]


def _summary(label: str, group: Sequence[Result]) -> Summary:
    modes = [mode for mode in group[0]["modes"] if all(mode in one["modes"] for one in group)]
    matrices = {mode: np.stack([shares_right(one, mode) for one in group]) for mode in modes}
    points = {mode: _point(matrices[mode], [one["modes"][mode] for one in group]) for mode in modes}
    kinds = {kind: one["seconds"][kind] for one in group for kind in one["seconds"]}
    seconds = {
        kind: {
            clock: _mean(one["seconds"].get(kind, {}).get(clock, 0.0) for one in group) for clock in ("wall", "cpu")
        }
        for kind in kinds
    }
    figures = [one["stage1"] for one in group if one.get("stage1")]
    measured = [name for name in (figures[0] if figures else ()) if all(one.get(name) is not None for one in figures)]
    stage1 = {name: _mean(one[name] for one in figures) for name in measured}
    seeds = tuple(one["seed"] for one in group)
    engines = tuple(sorted({one.get("engine") or HERE for one in group}))
    return Summary(label, group[0]["method"], seeds, group[0]["samples"], points, matrices, seconds, stage1, engines)


def _point(matrix: np.ndarray, figures: Sequence[Mapping[str, Any]]) -> Point:
    tokens = (_mean(one["tokens"][kind] for one in figures) for kind in ("total", "paper_tokens", "latent"))
    solved = float((matrix > 0).mean())
    seconds, cut_off = (_mean(one.get(name, 0.0) for one in figures) for name in ("seconds", "cut_off"))
    return Point(_interval(matrix), solved, *tokens, seconds, cut_off)


def _interval(matrix: np.ndarray) -> Interval:
    seeds, rows = matrix.shape
    if seeds == 1 or np.ptp(matrix) == 0:
        return wilson_interval(float(matrix.mean()) * rows, rows)
    return bootstrap_interval(matrix)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean([*values]))


def compare_all(summaries: Sequence[Summary]) -> list[Pair]:
    """Return the paired comparison of every two methods, in every mode in which both can be decoded.

    Where latents stand for the whole trace of the one (``exact:100%``) and the other has nothing in its place
    (``direct``), the two are compared as well, under the first's mode.
    """
    found = []
    for first, second in combinations(summaries, 2):
        for mode in dict.fromkeys([*first.points, *second.points]):
            shares = _shares(first, second, mode)
            if shares and shares[0].shape[1] == shares[1].shape[1]:
                difference = paired_bootstrap_difference(*shares)
                found.append(Pair(mode, first.label, second.label, difference, _p_value(*shares)))
    return found


def _shares(first: Summary, second: Summary, mode: str) -> tuple[np.ndarray, np.ndarray] | None:
    both = [one.shares.get(mode, one.shares.get(DIRECT) if mode == FULL else None) for one in (first, second)]
    return None if any(shares is None for shares in both) else (both[0], both[1])


def _p_value(first: np.ndarray, second: np.ndarray) -> float:
    """Return the probability of so large a difference between methods that are equally good."""
    if len(first) == len(second) == 1 and not {*first[0], *second[0]} - {0.0, 1.0}:
        return mcnemar(first[0] > 0.5, second[0] > 0.5).p_value
    return bootstrap_p_value(first, second)


def pareto_front(summaries: Sequence[Summary], mode: str = FREE) -> list[str]:
    """Return the labels that no other method beats in accuracy at as few tokens, shortest first."""
    front, best = [], -1.0
    known = [one for one in summaries if mode in one.points]
    for one in sorted(known, key=lambda one: (one.points[mode].tokens, -one.points[mode].accuracy.estimate)):
        if one.points[mode].accuracy.estimate > best:
            best = one.points[mode].accuracy.estimate
            front.append(one.label)
    return front
