"""The figures of an evaluation on a terminal."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from pipelines.shared.console import PlainConsole
from pipelines.shared.terminal import echo


LEAST_WIDTH = 120
KINDS = {"text": "text", "latent": "latent", "delimiter": "delim.", "pause": "pause", "thought": "thought"}


def print_evaluation(result: dict[str, Any]) -> None:
    """Print the table of an evaluation, one row for each mode, then the losses."""
    console = PlainConsole(LEAST_WIDTH)
    answers = f"{result['rows']} rows" + (f" x {result['samples']} samples" if result["samples"] > 1 else "")
    limit = f"at most {result['max_new_tokens']} tokens" + (", kind first" if result["decoding"] == "kind" else "")
    by = f", decoded by {result['engine']}" if result.get("engine") else ""
    console.print(f"{result['method']}: {answers}, check {result['check']}, {limit}{by}")
    console.print(modes_table(result["modes"], result["samples"]))
    for line in _cut_off_lines(result):
        echo(line)
    if not result["loss"]:
        echo("loss: not known, as the server does not tell how likely given tokens are")
    for name, loss in result["loss"].items():
        echo(f"loss {name}: {loss['loss']:.4f} nats/token ({loss['nats']:.2f} an answer, {loss['rows']} rows)")


def _cut_off_lines(result: dict[str, Any]) -> Iterator[str]:
    """Yield for each mode what answers that were cut off do to its accuracy."""
    for mode, figures in result["modes"].items():
        if figures["cut_off"]:
            among = figures["finished_accuracy"]
            rest = "none came to its end" if among is None else f"{among:.1%} of those that ended are right"
            limit = f"{result['max_new_tokens']} tokens, or the end of the model's context"
            yield f"cut off: {mode}: {figures['cut_off']:.1%} of answers reached {limit}; {rest}"


def modes_table(modes: dict[str, dict[str, Any]], samples: int) -> Table:
    """Return a table with a row for each mode: accuracy, tokens of an answer by kind, share that was cut off.

    The papers' count of tokens is a column of its own where it is not the total. Where a row was answered several
    times, "solved" is the share of rows with a right answer among them.
    """
    kinds = [kind for kind in KINDS if any(figures["tokens"][kind] for figures in modes.values())]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("latents")
    counts = ["total", *kinds]
    if any(figures["tokens"]["paper_tokens"] not in (None, figures["tokens"]["total"]) for figures in modes.values()):
        counts.append("paper_tokens")
    titles = {"total": "tokens", "paper_tokens": "in papers", **KINDS}
    solved = ["solved"] if samples > 1 else []
    for name in ("accuracy", "95 % interval", *solved, *(titles[count] for count in counts), "cut off"):
        table.add_column(name, justify="right", no_wrap=True)
    for mode, figures in modes.items():
        low, high = figures["interval"]
        table.add_row(
            mode,
            f"{figures['accuracy']:.1%}",
            f"{low:.1%} - {high:.1%}",
            *(f"{figures[name]:.1%}" for name in solved),
            *(f"{figures['tokens'][count]:.1f}" for count in counts),
            f"{figures['cut_off']:.1%}",
        )
    return table
