"""What an analysis found: a table and a plot of it."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixlm.errors import InputError
from mixlm.shown import escaped
from vqvae.atomic_files import whole_file, whole_path


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Finding:
    """One result of an analysis.

    Attributes:
        name: Stem of its files, for example ``interventions``.
        title: One line above table and plot that says what was measured, on how many samples.
        rows: The table: every row has the same columns; values are text, numbers or None.
        draw: Draws the table on the matplotlib axes that it is given, with axis labels and units.
    """

    name: str
    title: str
    rows: Sequence[Mapping[str, Any]]
    draw: "Callable[[Axes], None]"

    def write(self, folder: Path) -> list[Path]:
        """Write the table as ``NAME.csv`` and the plot as ``NAME.png`` into ``folder``; returns both paths.

        Raises:
            InputError: If matplotlib is not installed.
        """
        folder.mkdir(parents=True, exist_ok=True)
        table, picture = folder / f"{self.name}.csv", folder / f"{self.name}.png"
        figure = self.figure()
        with whole_file(table) as file:
            writer = csv.DictWriter(file, fieldnames=list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        save_figure(figure, picture)
        return [table, picture]

    def figure(self) -> "Figure":
        """Return the plot as a matplotlib figure, as ``new_figure`` makes one."""
        figure, axes = new_figure(7, 4.5)
        self.draw(axes)
        axes.set_title(self.title, fontsize=10, wrap=True, parse_math=False)
        return figure


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure to a file, in the format that its name ends with."""
    with whole_path(path) as draft:
        figure.savefig(draft, format=path.suffix[1:], dpi=150)


def error_bars(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """Return how far the intervals ``low`` .. ``high`` reach below and above the estimates ``name``, (2, rows).

    Never negative, as error bars must be: rounding may put an estimate outside its interval. nan, which draws none,
    where there is no interval.
    """
    low, middle, high = (np.array([row[column] for row in rows], dtype=float) for column in ("low", name, "high"))
    return np.maximum(0, [middle - low, high - middle])


def in_a_plot(name: str) -> str:
    """Return a name as a label that matplotlib draws as it is, without formulas in it or signs that steer."""
    return escaped(name).replace("$", r"\$").lstrip("_")  # what begins so is left out of legends


def new_figure(width: float, height: float) -> "tuple[Figure, Axes]":
    """Return a figure of so many inches with its axes, drawn without a display.

    Raises:
        InputError: If matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def require_matplotlib() -> None:
    """Raise an ``InputError``, before anything long is computed, if plots cannot be drawn."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise InputError("plots need matplotlib: pip install matplotlib")
