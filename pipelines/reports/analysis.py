"""The table of an analysis on a terminal."""

from typing import Any

from rich.table import Table

from mixlm.analysis.finding import Finding
from pipelines.shared.console import PlainConsole


LEAST_WIDTH, MOST_ROWS, LEAST_SHOWN = 140, 20, 0.001


def print_finding(finding: Finding) -> None:
    """Print the title and the first rows of a finding's table."""
    console = PlainConsole(LEAST_WIDTH)
    console.print(f"\n{finding.title}")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in finding.rows[0]:
        table.add_column(name, justify="left" if isinstance(finding.rows[0][name], str) else "right")
    for row in finding.rows[:MOST_ROWS]:
        table.add_row(*map(_cell, row.values()))
    console.print(table)
    if len(finding.rows) > MOST_ROWS:
        console.print(f".. and {len(finding.rows) - MOST_ROWS} more rows in the file")


def _cell(value: Any) -> str:
    """Return a value as short text; three decimals do for shares, bits and means alike."""
    if value is None:
        return "-"
    if isinstance(value, float) and 0 < abs(value) < LEAST_SHOWN:
        return f"{'<' if value > 0 else '>-'}{LEAST_SHOWN}"
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
