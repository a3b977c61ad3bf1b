"""The outcome of a comparison, on a terminal and in files."""

import csv
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from mixlm.comparison.plot import draw_pareto
from mixlm.comparison.results import Result
from mixlm.comparison.summary import FREE, HERE, Pair, Summary, compare_all, summarize_results
from mixlm.shown import escaped
from pipelines.grid.attempts import Attempts
from pipelines.grid.folder import ATTEMPTS
from pipelines.grid.plan import Plan
from pipelines.grid.run import finished_results
from pipelines.reports.tables import latex, markdown, text_table
from pipelines.shared.console import PlainConsole
from pipelines.shared.terminal import echo
from vqvae.atomic_files import whole_file


_FEWEST = 0.001


def print_results(plan: Plan, against: str | None = None) -> dict[str, Any]:
    """Print the table and the differences of what is finished, and write table, pairs and plot into the plan's folder.

    Returns what is printed: the figures of each method by its label, the pairs of methods, what went wrong.

    Args:
        plan: The plan.
        against: Label of the method that differences are printed against; None: the first that is finished.
    """
    labels = list(plan.grid.entries)
    cells = sum(len(plan.grid.seeds_of(label)) for label in labels)
    results = finished_results(plan)
    known = [one for (label, seed), one in results.items() if label in labels and seed in plan.grid.seeds_of(label)]
    told = {"out": plan.out, "cells": cells, "finished": len(known), "methods": {}, "pairs": [], "alerts": []}
    if not known:
        echo(f"{plan.out}: no cell is finished yet")
        return told
    known.sort(key=lambda one: labels.index(one["label"]))
    summaries = summarize_results(known)
    pairs = compare_all(summaries)
    title = f"{plan.grid.path.stem}: {known[0]['rows']} test rows, {len(known)} of {cells} cells"
    table = method_table(summaries)
    console = PlainConsole()
    _print_wide(console, title, table)
    print_differences(console, pairs, against or summaries[0].label)
    if against and against not in (one.label for one in summaries):
        echo(f"--against {against}: none of its cells is finished yet")
    alerts = [*failures_of(plan, results), *alert_lines(known), *_different_tests(known)]
    for alert in alerts:
        echo(f"alert: {alert}")
    _write_tables(plan.out, title, table, known, alerts)
    _write_pairs(plan.out / "pairs.csv", pairs)
    pictures = draw_pareto(summaries, title, plan.out / "pareto")
    names = ["table.md", "table.tex", "pairs.csv", *(path.name for path in pictures)]
    echo(f"wrote {', '.join(names)} in {plan.out}")
    return told | {"methods": {one.label: _figures(one) for one in summaries}, "pairs": pairs, "alerts": alerts}


def _figures(summary: Summary) -> dict[str, Any]:
    """Return the figures of a method, in each mode of decoding, without those of single rows."""
    names = ("method", "seeds", "samples", "seconds", "stage1", "engines")
    return {name: getattr(summary, name) for name in names} | {"modes": summary.points}


def failures_of(plan: Plan, results: Container[tuple[str, int]]) -> list[str]:
    """Return what cells without a result failed for when they were last tried."""
    attempts = Attempts(plan.out / ATTEMPTS)
    waiting = (cell for cell in plan.cells() if (cell.entry.label, cell.seed) not in results)
    parts = dict.fromkeys(part.job.name for cell in waiting for part in cell.parts)
    return [f"{part}: failed: {why}" for part in parts if (why := attempts.failure(part))]


def alert_lines(results: Sequence[Result]) -> list[str]:
    """Return what went wrong in each cell, as its result tells; what two cells share, such as a codebook, once."""
    cells: dict[str, list[str]] = {}
    for result in results:
        for alert in result.get("alerts", ()):
            cells.setdefault(alert, []).append(f"{result['label']}-{result['seed']}")
    return [f"{', '.join(names)}: {alert}" for alert, names in cells.items()]


def _different_tests(results: Sequence[Result]) -> list[str]:
    """Return a line if not all cells answered as many rows, or answers were not all compared in the same way."""
    cells: dict[str, list[str]] = {}
    for result in results:
        told = f"{result['rows']} rows by {result['check']}"
        cells.setdefault(told, []).append(f"{result['label']}-{result['seed']}")
    told = "; ".join(f"{', '.join(names)}: {test}" for test, names in cells.items())
    remedy = "no comparison of the methods: give 'check' and 'limit' under 'evaluate' of the grid, and another --out"
    return [f"cells were tested in different ways ({told}), which is {remedy}"] if len(cells) > 1 else []


def basis_of(results: Sequence[Result]) -> list[str]:
    """Return a line for everything on which results were obtained: versions and commit, hardware, with the dates."""
    dates: dict[str, list[str]] = {}
    for one in results:
        if "versions" in one:
            versions = ", ".join(f"{name} {number}" for name, number in one["versions"].items())
            commit = f", commit {one['commit']}" if one.get("commit") else ""
            threads = f"{one['threads']} thread{'s' * (one['threads'] != '1')}"
            dates.setdefault(f"{versions}{commit}; {one['hardware']}, {threads}", []).append(one["date"])
    return [f"{basis}; {' to '.join(dict.fromkeys((min(days), max(days))))}" for basis, days in dates.items()]


def _write_tables(
    out: Path, title: str, table: list[list[str]], results: Sequence[Result], alerts: Sequence[str]
) -> None:
    """Write the main table in Markdown and in LaTeX, and with it on what it was obtained, and what went wrong."""
    notes = [*basis_of(results), *(f"alert: {alert}" for alert in alerts)]
    with whole_file(out / "table.md") as file:
        file.write(f"{escaped(title)}\n\n{markdown(table)}")
        file.writelines(f"\n{escaped(note)}\n" for note in notes)
    with whole_file(out / "table.tex") as file:
        file.writelines(f"% {escaped(note)}\n" for note in notes)
        file.write(latex(table, title))


def method_table(summaries: Sequence[Summary]) -> list[list[str]]:
    """Return the main table as text, titles first: one row for each method.

    Accuracy with its interval, tokens, latents and the time to answer are of free decoding; the accuracy in every
    other mode has a column of its own. Time before is processor time, which what else runs on a machine changes
    little. The share of answers that reached the limit of tokens, is told where there are any.
    Where a row was answered several times, "solved" is the share of rows with a right answer among them. Where
    an engine has decoded any answers, the last column tells which.
    """
    modes = list(dict.fromkeys(mode for one in summaries for mode in one.points if mode != FREE))
    solved = ["solved"] if any(one.samples > 1 for one in summaries) else []
    rows = [["method", "seeds", "accuracy", "95 % interval", *solved, "tokens", "latents"]]
    cut = ["cut off"] if any(FREE in one.points and one.points[FREE].cut_off for one in summaries) else []
    rows[0] += [*cut, *(mode.removeprefix("exact:") for mode in modes)]
    rows[0] += ["stage 1, CPU s", "training, CPU s", "answer, ms"]
    told = {engine for one in summaries for engine in one.engines} - {HERE}
    rows[0] += ["decoded by"] if told else []
    for one in summaries:
        free, times = _free_cells(one, bool(solved)), [_seconds(one, "encode"), _seconds(one, "train")]
        others = [_percent(one.points[mode].accuracy.estimate) if mode in one.points else "" for mode in modes]
        engines = [", ".join(one.engines)] if told else []
        share = [_percent(one.points[FREE].cut_off) if FREE in one.points else ""] if cut else []
        rows.append([one.label, str(len(one.seeds)), *free[:-1], *share, *others, *times, free[-1], *engines])
    return rows


def _free_cells(summary: Summary, solved: bool) -> list[str]:
    """Return what is told of free decoding, empty where a method was not decoded so."""
    if FREE not in summary.points:
        return [""] * (6 if solved else 5)
    free = summary.points[FREE]
    accuracy, low, high = map(_percent, free.accuracy)
    share = [_percent(free.solved) if summary.samples > 1 else ""] if solved else []
    answers = summary.shares[FREE].shape[1] * summary.samples
    lengths = [f"{free.tokens:.1f}", f"{free.latents:.1f}"]
    return [accuracy, f"{low} - {high}", *share, *lengths, f"{1000 * free.seconds / answers:.1f}"]


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _seconds(summary: Summary, kind: str) -> str:
    return f"{summary.seconds[kind]['cpu']:.0f}" if kind in summary.seconds else ""


def _print_wide(console: PlainConsole, title: str, rows: Sequence[Sequence[str]]) -> None:
    """Print a table whole: a line that wraps on a narrow terminal beats a figure that is cut off."""
    table = text_table(rows)
    table.width = sum(max(len(row[place]) for row in rows) + 2 for place in range(len(rows[0])))
    console.width = max(console.width, table.width)
    console.print(title, table, sep="\n")


def print_differences(console: PlainConsole, pairs: Sequence[Pair], reference: str) -> None:
    """Print the pairs in which ``reference`` is one: its accuracy minus the other's."""
    rows = [["against", "latents", "difference", "95 % interval", "p"]]
    for pair in pairs:
        if reference in (pair.first, pair.second):
            sign, other = (1, pair.second) if pair.first == reference else (-1, pair.first)
            low, high = sorted((sign * pair.difference.low, sign * pair.difference.high))
            estimate = _points(sign * pair.difference.estimate)
            rows.append([other, pair.mode, estimate, f"{_points(low)} to {_points(high)}", p_text(pair.p_value)])
    if len(rows) > 1:
        _print_wide(console, f"\n{reference} minus each other method, in points of accuracy:", rows)


def _points(share: float) -> str:
    """Return a difference of shares in points, with its sign; what rounds to nothing has none of a minus."""
    return f"{round(share * 100, 1) + 0.0:+.1f}"


def p_text(p_value: float) -> str:
    """Return a p-value with as many digits as it has meaning."""
    return f"<{_FEWEST}" if p_value < _FEWEST else f"{p_value:.3f}"


def _write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    with whole_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["latents", "first", "second", "difference", "low", "high", "p"])
        for pair in pairs:
            writer.writerow([pair.mode, pair.first, pair.second, *map("{:.5f}".format, pair.difference), pair.p_value])
