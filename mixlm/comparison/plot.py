"""Accuracy over tokens: a picture of a comparison."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mixlm.analysis.finding import new_figure, save_figure
from mixlm.comparison.summary import FREE, Point, Summary, pareto_front
from mixlm.shown import escaped


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = "osD^vP*X<>"
_COLOURS = 10
_FRONT, _CURVE = "best at its length", "given numbers of latents"
_WIDE = 10  # tokens are told apart on a linear axis up to this ratio of the longest to the shortest


def draw_pareto(summaries: Sequence[Summary], title: str, stem: Path) -> list[Path]:
    """Write ``stem`` + ``.png``, ``.svg`` and ``.pdf``: accuracy over tokens of an answer, a point for each method.

    A large point is free decoding, with its interval; small ones on a line of the same colour are the same method held
    to given shares of latents. The dotted steps join the methods that no other beats at their length.

    Args:
        summaries: The methods.
        title: What was measured, in a line.
        stem: Path of the files without suffix.

    Returns:
        Their paths.

    Raises:
        InputError: If matplotlib is not installed.
    """
    figure, axes = new_figure(8, 5)
    for place, summary in enumerate(summaries):
        marker = _MARKERS[(place + place // _COLOURS) % len(_MARKERS)]
        _draw_method(axes, summary, f"C{place % _COLOURS}", marker)
    _draw_front(axes, summaries)
    _set_axes(axes, [point.tokens for one in summaries for point in one.points.values()])
    axes.set_title(escaped(title), fontsize=10, wrap=True, parse_math=False)
    _add_legend(figure, axes)
    paths = [stem.with_name(f"{stem.name}{suffix}") for suffix in (".png", ".svg", ".pdf")]
    for path in paths:
        save_figure(figure, path)
    return paths


def _draw_method(axes: "Axes", summary: Summary, colour: str, marker: str) -> None:
    free = summary.points.get(FREE)
    shape = {"color": colour, "marker": marker, "markeredgecolor": "white", "markeredgewidth": 0.6}
    if free:
        low, high = (100 * abs(free.accuracy.estimate - bound) for bound in free.accuracy[1:])
        place = (free.tokens, 100 * free.accuracy.estimate)
        bars = {"yerr": [[low], [high]], "capsize": 2, "elinewidth": 1}
        axes.errorbar(*place, **bars, **shape, linestyle="none", markersize=8, label=summary.label, zorder=3)
    curve: list[Point] = sorted((p for mode, p in summary.points.items() if mode != FREE), key=lambda p: p.tokens)
    if curve:
        heights = [100 * point.accuracy.estimate for point in curve]
        label = None if free else f"{summary.label} (never free)"
        line = {"linewidth": 1, "markersize": 4.5, "alpha": 0.5, "label": label}
        axes.plot([point.tokens for point in curve], heights, **shape, **line)


def _draw_front(axes: "Axes", summaries: Sequence[Summary]) -> None:
    by_label = {summary.label: summary.points[FREE] for summary in summaries if FREE in summary.points}
    front = [by_label[label] for label in pareto_front(summaries)]
    heights = [100 * point.accuracy.estimate for point in front]
    style = {"where": "post", "color": "0.4", "linewidth": 0.9, "linestyle": ":", "zorder": 1}
    axes.step([point.tokens for point in front], heights, **style, label=_FRONT if front else None)
    if any(len(summary.points) > 1 for summary in summaries):
        axes.plot([], [], ".-", color="0.4", linewidth=1, alpha=0.5, label=_CURVE)


def _set_axes(axes: "Axes", tokens: Sequence[float]) -> None:
    """Name the axes, and spread tokens of very different numbers."""
    from matplotlib.ticker import LogLocator

    if min(tokens) > 0 and max(tokens) > _WIDE * min(tokens):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    axes.set_xlabel("tokens of an answer, latents and delimiters included")
    axes.set_ylabel("accuracy, %")
    axes.grid(alpha=0.2)


def _add_legend(figure: "Figure", axes: "Axes") -> None:
    """Explain the methods in their order, then the lines."""
    named = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    last = [label for label in (_FRONT, _CURVE) if label in named]
    labels = [label for label in named if label not in last] + last
    handles = [named[label] for label in labels]
    figure.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False)
