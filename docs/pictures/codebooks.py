"""Draw how the codes of two encoded datasets are used, side by side: docs/FIGURES.md says how to make the two.

python docs/pictures/codebooks.py HEALTHY COLLAPSED [FOLDER]
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure


if TYPE_CHECKING:
    from matplotlib.axes import Axes

HERE = Path(__file__).parent


def draw_usage(axes: "Axes", encoded: Path, colour: str) -> None:
    """Draw how often each code stands in the traces, the most frequent first."""
    codes = json.loads((encoded / "manifest.json").read_text())["codebook"]
    totals = json.loads((encoded / "vqvae" / "usage.json").read_text())["totals"]
    counts = sorted(totals.values(), reverse=True)
    size = codes["codebook_size"]
    shares = [100 * count / sum(counts) for count in counts] + [0.0] * (size - len(counts))
    axes.bar(range(size), shares, width=0.9, color=colour)
    figures = f"{codes['codes_used']} of {size} codes used, perplexity {codes['perplexity']:.1f}"
    carried = f"a code carries {codes['code_gap']:.2f} nats a token"
    axes.set_title(f"{encoded.name}\n{figures}\n{carried}", fontsize=9)
    axes.set(xlabel="codes, by frequency", ylabel="% of the trace's chunks")


def draw_curves(axes: "Axes", folders: list[tuple[Path, str]]) -> None:
    """Draw how many codes were in use while stage 1 was trained."""
    for encoded, colour in folders:
        lines = map(json.loads, (encoded / "vqvae" / "curve.jsonl").read_text().splitlines())
        curve = [(line["step"], line["codes_used"]) for line in lines if "codes_used" in line]
        axes.plot(*zip(*curve, strict=True), marker="o", markersize=3, color=colour, label=encoded.name)
    axes.set_title("codes in use in training\n(0: not yet quantised)", fontsize=9)
    axes.set(xlabel="step of stage 1", ylabel="codes", ylim=(-2, None))
    axes.legend(frameon=False, fontsize=8)


def draw(healthy: Path, collapsed: Path, folder: Path) -> Path:
    """Write ``codebooks.svg`` into ``folder``; returns its path."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    draw_usage(left, healthy, "C2")
    draw_usage(middle, collapsed, "C3")
    draw_curves(right, [(healthy, "C2"), (collapsed, "C3")])
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
    path = folder / "codebooks.svg"
    figure.savefig(path, metadata={"Date": None})
    return path


if __name__ == "__main__":
    print(draw(*map(Path, sys.argv[1:3]), Path(sys.argv[3]) if len(sys.argv) > 3 else HERE))
