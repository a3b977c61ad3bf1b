"""Rows of text as a table: on a terminal, in Markdown, in LaTeX."""

import re
from collections.abc import Sequence

from rich.table import Table


Rows = Sequence[Sequence[str]]
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$"}
_LATEX |= {sign: f"\\{sign}" for sign in "&%$#_{}"}


def text_table(rows: Rows) -> Table:
    """Return rows of text as a table for the terminal."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, title in enumerate(rows[0]):
        table.add_column(title, justify="right" if place else "left", no_wrap=True)
    for row in rows[1:]:
        table.add_row(*row)
    return table


def markdown(rows: Rows) -> str:
    """Return rows of text as a Markdown table."""
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    return "".join(f"| {' | '.join(row)} |\n" for row in [rows[0], rule, *rows[1:]])


def latex(rows: Rows, caption: str) -> str:
    r"""Return rows of text as a LaTeX table, which needs ``\usepackage{booktabs}``.

    >>> print(latex([["method", "accuracy"], ["cot", "98.0%"]], "K = 8 & r_1"), end="")
    \begin{table}
      \centering
      \caption{K = 8 \& r\_1}
      \begin{tabular}{lr}
        \toprule
        method & accuracy \\
        \midrule
        cot & 98.0\% \\
        \bottomrule
      \end{tabular}
    \end{table}
    """
    lines = [" & ".join(map(latex_text, row)) + r" \\" for row in rows]
    inside = [r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{latex_text(caption)}}}",
            rf"  \begin{{tabular}}{{l{'r' * (len(rows[0]) - 1)}}}",
            *(f"    {line}" for line in inside),
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def latex_text(text: str) -> str:
    """Return text in which no sign means anything but itself to LaTeX; a dash between figures is one of a range."""
    escaped = re.sub(r"[\\~^<>&%$#_{}]", lambda sign: _LATEX[sign[0]], text)
    return escaped.replace(" - ", "--")
