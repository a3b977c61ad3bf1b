"""The figures of the demo: ``summary.json``, and the comparison on a terminal."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from mixlm.comparison.summary import FREE
from mixlm.encoding import MANIFEST, USAGE, VQVAE
from mixlm.encoding.judging import carried_by
from pipelines.demo_plan import MODELS, SUMMARY
from pipelines.shared.console import PlainConsole
from pipelines.shared.terminal import echo
from vqvae.atomic_files import whole_file


STAGE1 = (
    "used",
    "perplexity",
    "token_accuracy",
    "unigram_accuracy",
    "no_code_accuracy",
    "code_gap",
    "codebook_size",
    "next_with",
    "next_without",
    "solution_with",
    "solution_without",
)


def collect(out: Path) -> dict[str, Any]:
    """Return what the commands of the demo in the folder ``out`` measured.

    Returns:
        For "cot", "assorted" and "random" the ``accuracy``, its 95 % ``interval``, and mean ``tokens`` and ``latents``
        of an answer in free decoding, and the same for each of the ``modes``; "stage1": the figures of the codebook on
        held-out traces.
    """
    codebook = _read(out / "encoded" / MANIFEST)["codebook"]
    usage = _read(out / "encoded" / VQVAE / USAGE)
    figures = {name: _figures_of(_read(out / f"evaluation-{name}.json")["modes"]) for name in MODELS}
    stage1 = {name: codebook[name] for name in STAGE1} | {"distinct_chunks": usage["distinct_chunks"]}
    return {**figures, "stage1": stage1}


def write_summary(out: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``summary.json``, with seconds to a tenth, and return what it holds."""
    seconds = {name: round(value, 1) for name, value in summary["seconds"].items()}
    content = {**summary, "seconds": seconds}
    with whole_file(out / SUMMARY) as file:
        file.write(json.dumps(content, indent=2) + "\n")
    return content


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _figures_of(modes: Mapping[str, Any]) -> dict[str, Any]:
    brief = {
        mode: {
            "accuracy": figures["accuracy"],
            "interval": figures["interval"],
            "tokens": figures["tokens"]["total"],
            "latents": figures["latents"],
        }
        for mode, figures in modes.items()
    }
    return brief[FREE] | {"modes": brief}


def print_comparison(figures: Mapping[str, Any], rows: int) -> None:
    """Print a table with a row for each method and mode, and what the rows say.

    Args:
        figures: See ``collect``.
        rows: Number of test questions.
    """
    stage1 = figures["stage1"]
    echo(f"\nWhat came out, on {rows} test questions.", bold=True)
    table = Table("model", "latents", box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for title in ("accuracy", "95 % interval", "tokens", "latents an answer"):
        table.add_column(title, justify="right", no_wrap=True)
    for name in MODELS:
        for mode, measured in figures[name]["modes"].items():
            table.add_row(name if mode == FREE else "", mode, *_cells(measured))
    PlainConsole().print(table)
    echo(_verdict(figures["cot"], figures["assorted"]))
    echo(
        f"Stage 1 kept {stage1['codebook_size']} codes for {stage1['distinct_chunks']} different chunks; a code "
        f"carries {carried_by(stage1):.2f} nats of what follows it, random codes none."
    )


def _cells(figures: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = figures["interval"]
    accuracy, tokens, latents = figures["accuracy"], figures["tokens"], figures["latents"]
    return f"{accuracy:.1%}", f"{low:.1%} - {high:.1%}", f"{tokens:.1f}", f"{latents:.1f}"


def _verdict(cot: Mapping[str, Any], assorted: Mapping[str, Any]) -> str:
    saved = 1 - assorted["tokens"] / cot["tokens"]
    points = 100 * (assorted["accuracy"] - cot["accuracy"])
    return f"assorted against cot, decoding freely: {saved:.0%} fewer tokens, accuracy {points:+.1f} points."
