"""The outcome of a comparison, on a terminal and in files."""

import csv
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from mixlm.comparison.plot import draw_pareto
from mixlm.comparison.summary import FREE, Comparison, Summary, compare_all, summarize_results
from pipelines.grid_plan import Plan
from pipelines.grid_run import finished_results


LEAST_WIDTH = 150
_FEWEST = 0.001


def report(plan: Plan, against: str | None = None) -> None:
    """Print the table and the differences of what is finished, and write table, pairs and plot into the plan's folder.

    Args:
        plan: The plan.
        against: Label of the method that differences are printed against; None: the first that is finished.
    """
    labels, results = list(plan.grid.entries), finished_results(plan)
    known = sorted((one for one in results.values() if one["label"] in labels), key=lambda o: labels.index(o["label"]))
    if not known:
        click.echo(f"{plan.out}: no cell is finished yet")
        return
    summaries = summarize_results(known)
    pairs = compare_all(summaries)
    title = f"{plan.grid.path.stem}: {known[0]['rows']} test rows, {len(known)} cells"
    table = method_table(summaries)
    console = Console(highlight=False)
    console.width = max(console.width, LEAST_WIDTH)
    console.print(title, grid_of(table), sep="\n")
    print_differences(console, pairs, against or summaries[0].label)
    files = [plan.out / "table.md", plan.out / "pairs.csv"]
    files[0].write_text(f"{title}\n\n{markdown(table)}", encoding="utf-8")
    _write_pairs(files[1], pairs)
    files += draw_pareto(summaries, title, plan.out / "pareto")
    click.echo(f"wrote {', '.join(path.name for path in files)} in {plan.out}")


def method_table(summaries: Sequence[Summary]) -> list[list[str]]:
    """Return the main table as text, titles first: one row for each method."""
    lengths = list(dict.fromkeys(mode for one in summaries for mode in one.points if mode != FREE))
    rows = [["method", "seeds", "accuracy", "95 % interval", "tokens", "latents"]]
    rows[0] += [mode.removeprefix("exact:") for mode in lengths] + ["stage 1, s", "training, s", "answer, ms"]
    for one in summaries:
        free = one.points.get(FREE)
        row = [one.label, str(len(one.seeds)), *(_free_cells(one) if free else [""] * 4)]
        row += [f"{one.points[mode].accuracy.estimate:.1%}" if mode in one.points else "" for mode in lengths]
        row += [_seconds(one, "encode"), _seconds(one, "train")]
        answers = next(iter(one.scores.values())).shape[1]
        rows.append([*row, f"{1000 * free.seconds / answers:.1f}" if free else ""])
    return rows


def _free_cells(summary: Summary) -> list[str]:
    free = summary.points[FREE]
    _, low, high = free.accuracy
    return [f"{free.accuracy.estimate:.1%}", f"{low:.1%} - {high:.1%}", f"{free.tokens:.1f}", f"{free.latents:.1f}"]


def _seconds(summary: Summary, kind: str) -> str:
    return f"{summary.seconds[kind]['cpu']:.0f}" if kind in summary.seconds else ""


def grid_of(rows: Sequence[Sequence[str]]) -> Table:
    """Return rows of text as a table for the terminal."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, title in enumerate(rows[0]):
        table.add_column(title, justify="right" if place else "left", no_wrap=True)
    for row in rows[1:]:
        table.add_row(*row)
    return table


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text as a Markdown table."""
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    return "".join(f"| {' | '.join(row)} |\n" for row in [rows[0], rule, *rows[1:]])


def print_differences(console: Console, pairs: Sequence[Comparison], reference: str) -> None:
    """Print the pairs in which ``reference`` is one: its accuracy minus the other's."""
    rows = [["against", "latents", "difference", "95 % interval", "p"]]
    for pair in pairs:
        if reference in (pair.first, pair.second):
            sign, other = (1, pair.second) if pair.first == reference else (-1, pair.first)
            low, high = sorted((sign * pair.difference.low, sign * pair.difference.high))
            estimate = f"{sign * pair.difference.estimate * 100:+.1f}"
            rows.append([other, pair.mode, estimate, f"{low * 100:+.1f} to {high * 100:+.1f}", p_text(pair.p_value)])
    if len(rows) > 1:
        console.print(f"\n{reference} minus each other method, in points of accuracy:", grid_of(rows), sep="\n")


def p_text(p_value: float) -> str:
    """Return a p-value with as many digits as it has meaning."""
    return f"<{_FEWEST}" if p_value < _FEWEST else f"{p_value:.3f}"


def _write_pairs(path: Path, pairs: Sequence[Comparison]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["latents", "first", "second", "difference", "low", "high", "p"])
        for pair in pairs:
            writer.writerow([pair.mode, pair.first, pair.second, *map("{:.5f}".format, pair.difference), pair.p_value])
