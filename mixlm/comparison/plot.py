"""Accuracy over tokens: a picture of a comparison."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixlm.analysis.finding import require_matplotlib
from mixlm.comparison.summary import FREE, Point, Summary, pareto_front


def draw_pareto(summaries: Sequence[Summary], title: str, stem: Path) -> list[Path]:
    """Write ``stem`` + ``.png`` and ``.svg``: accuracy over tokens of an answer, a point for each method.

    A filled point is free decoding, with its interval; small points on a line of the same colour are the same method
    held to given shares of latents. The grey steps join the methods that no other beats at their length.

    Args:
        summaries: The methods.
        title: What was measured, in a line.
        stem: Path of the files without suffix.

    Returns:
        Both paths.

    Raises:
        InputError: If matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for place, summary in enumerate(summaries):
        _draw_method(axes, summary, _colour(place), "osD^vP*X"[place // 10 % 8])
    _draw_front(axes, summaries)
    axes.set_xlabel("tokens of an answer, latents and delimiters included")
    axes.set_ylabel("accuracy, %")
    axes.set_title(title, fontsize=10, wrap=True)
    axes.grid(alpha=0.2)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    paths = [stem.with_suffix(suffix) for suffix in (".png", ".svg")]
    for path in paths:
        figure.savefig(path, dpi=150)
    return paths


def _colour(place: int) -> str:
    return f"C{place % 10}"


def _draw_method(axes: Any, summary: Summary, colour: str, marker: str) -> None:
    free = summary.points.get(FREE)
    if free:
        low, high = (100 * abs(free.accuracy.estimate - bound) for bound in free.accuracy[1:])
        place = (free.tokens, 100 * free.accuracy.estimate)
        axes.errorbar(*place, yerr=[[low], [high]], fmt=marker, color=colour, capsize=2, label=summary.label, zorder=3)
    curve: list[Point] = sorted((p for mode, p in summary.points.items() if mode != FREE), key=lambda p: p.tokens)
    heights = [100 * point.accuracy.estimate for point in curve]
    axes.plot([point.tokens for point in curve], heights, ".-", color=colour, alpha=0.45, linewidth=1, markersize=5)


def _draw_front(axes: Any, summaries: Sequence[Summary]) -> None:
    by_label = {summary.label: summary.points[FREE] for summary in summaries if FREE in summary.points}
    front = [by_label[label] for label in pareto_front(summaries)]
    heights = [100 * point.accuracy.estimate for point in front]
    axes.step([point.tokens for point in front], heights, where="post", color="0.6", linewidth=0.8, zorder=1)
