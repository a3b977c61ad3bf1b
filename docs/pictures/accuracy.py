"""Draw the README's picture, accuracy over tokens of an answer, from lines of docs/results.

python docs/pictures/accuracy.py [FOLDER]
"""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from mixlm.comparison.results import read_results
from mixlm.comparison.summary import Point, summarize_results


HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"
# File, label of its lines, mode, what the picture says, and where its text stands beside the point.
LINES = (
    ("chain-words-6", "assorted", "free", "assorted", (10, -4)),
    ("chain-words-6-cosine", "cot", "free", "text chain of thought (CoT)", (-10, -16)),
    ("chain-words-6", "paper", "free", "codes and draw of the paper's kind", (-10, -4)),
    ("chain-words-6", "reconstruction", "free", "assorted, codes that reconstruct", (10, -4)),
    ("chain-words-6", "random-codes", "free", "assorted, random codes", (10, 4)),
    ("chain-words-6", "matched-pauses", "free", "pauses in place of latents", (0, 18)),
    ("chain-words-6", "sol-only", "free", "no trace", (-14, 30)),
)
COLOURS = {"assorted": "C2", "text chain of thought (CoT)": "C0"}


def point(file: str, label: str, mode: str) -> Point:
    """Return a label decoded in a mode, over all its seeds in a file."""
    results = [result for result in read_results(RESULTS / f"{file}.jsonl") if result["label"] == label]
    return summarize_results(results)[0].points[mode]


def draw(folder: Path) -> Path:
    """Write ``accuracy.svg`` into ``folder``; returns its path."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    for file, label, mode, name, offset in LINES:
        found = point(file, label, mode)
        tokens, (accuracy, low, high) = found.tokens, (100 * share for share in found.accuracy)
        colour = COLOURS.get(name, "0.45")
        bars = [[max(accuracy - low, 0)], [max(high - accuracy, 0)]]
        axes.errorbar(tokens, accuracy, yerr=bars, fmt="o", color=colour, markersize=8, capsize=3)
        how = {"textcoords": "offset points", "xytext": offset, "color": colour}
        side = "right" if offset[0] < 0 and tokens > 30 else "left"
        axes.annotate(f"{name}: {accuracy:.0f} %, {tokens:.0f} tokens", (tokens, accuracy), ha=side, **how)
    axes.axhline(10, color="0.7", linewidth=1, linestyle=":", zorder=0)
    axes.text(62, 11.5, "a guess", color="0.5", ha="right")
    axes.set(xlim=(0, 62), ylim=(0, 108), xlabel="tokens of an answer, latents included", ylabel="accuracy, %")
    axes.spines[["top", "right"]].set_visible(False)
    path = folder / "accuracy.svg"
    figure.savefig(path, metadata={"Date": None})
    return path


if __name__ == "__main__":
    print(draw(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE))
