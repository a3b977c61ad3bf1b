"""The outcome of a comparison, on a terminal and in files."""

import csv
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from mixlm.comparison.plot import draw_pareto
from mixlm.comparison.summary import FREE, HERE, Pair, Summary, compare_all, summarize_results
from mixlm.shown import escaped
from pipelines.grid.plan import Plan
from pipelines.grid.run import finished_results
from pipelines.shared.console import PlainConsole
from pipelines.shared.terminal import echo
from vqvae.atomic_files import whole_file


_FEWEST = 0.001


def print_results(plan: Plan, against: str | None = None) -> None:
    """Print the table and the differences of what is finished, and write table, pairs and plot into the plan's folder.

    Args:
        plan: The plan.
        against: Label of the method that differences are printed against; None: the first that is finished.
    """
    labels, seeds = list(plan.grid.entries), plan.grid.seeds
    cells = sum(len(plan.grid.seeds_of(label)) for label in labels)
    results = finished_results(plan).values()
    known = [one for one in results if one["label"] in labels and one["seed"] in seeds]
    if not known:
        echo(f"{plan.out}: no cell is finished yet")
        return
    summaries = summarize_results(sorted(known, key=lambda one: labels.index(one["label"])))
    pairs = compare_all(summaries)
    title = f"{plan.grid.path.stem}: {known[0]['rows']} test rows, {len(known)} of {cells} cells"
    table = method_table(summaries)
    console = PlainConsole()
    _print_wide(console, title, table)
    print_differences(console, pairs, against or summaries[0].label)
    if against and against not in (one.label for one in summaries):
        echo(f"--against {against}: none of its cells is finished yet")
    with whole_file(plan.out / "table.md") as file:
        file.write(f"{escaped(title)}\n\n{markdown(table)}")
    _write_pairs(plan.out / "pairs.csv", pairs)
    pictures = draw_pareto(summaries, title, plan.out / "pareto")
    echo(f"wrote {', '.join(['table.md', 'pairs.csv', *(path.name for path in pictures)])} in {plan.out}")


def method_table(summaries: Sequence[Summary]) -> list[list[str]]:
    """Return the main table as text, titles first: one row for each method.

    Accuracy with its interval, tokens, latents and the time to answer are of free decoding; the accuracy in every
    other mode has a column of its own. Time before is processor time, which what else runs on a machine changes
    little. Where a row was answered several times, "solved" is the share of rows with a right answer among them. Where
    an engine has decoded any answers, the last column tells which.
    """
    modes = list(dict.fromkeys(mode for one in summaries for mode in one.points if mode != FREE))
    solved = ["solved"] if any(one.samples > 1 for one in summaries) else []
    rows = [["method", "seeds", "accuracy", "95 % interval", *solved, "tokens", "latents"]]
    rows[0] += [mode.removeprefix("exact:") for mode in modes] + ["stage 1, CPU s", "training, CPU s", "answer, ms"]
    told = {engine for one in summaries for engine in one.engines} - {HERE}
    rows[0] += ["decoded by"] if told else []
    for one in summaries:
        free, times = _free_cells(one, bool(solved)), [_seconds(one, "encode"), _seconds(one, "train")]
        others = [_percent(one.points[mode].accuracy.estimate) if mode in one.points else "" for mode in modes]
        engines = [", ".join(one.engines)] if told else []
        rows.append([one.label, str(len(one.seeds)), *free[:-1], *others, *times, free[-1], *engines])
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


def text_table(rows: Sequence[Sequence[str]]) -> Table:
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
