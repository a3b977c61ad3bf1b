"""Measures how fast each stage is, as ratios within one run, and writes bench.json."""

import json
from collections.abc import Iterator, Sequence
from datetime import date
from importlib import import_module
from pathlib import Path

import click

from benchmarks.measuring import Figure, processor


PARTS = (
    "encoding",
    "stage1",
    "training",
    "packing",
    "generation",
    "compilation",
    "thoughts",
    "engines",
    "cost",
    "gpu",
)


def measured(parts: Sequence[str], turns: int) -> Iterator[Figure]:
    """Yield the figures of ``parts``, each as soon as it is there."""
    for part in parts:
        yield from import_module(f"benchmarks.{part}").figures(turns)


@click.command(help=__doc__)
@click.option("--only", "parts", multiple=True, type=click.Choice(PARTS), help="This part; may be given repeatedly.")
@click.option("--turns", default=20, show_default=True, help="Repeats of every measurement.")
@click.option("--out", default="bench.json", show_default=True, type=click.Path(path_type=Path), help="File to write.")
def main(parts: tuple[str, ...], turns: int, out: Path) -> None:
    """Measure, print and write."""
    import torch

    print(f"{'':52} {'ratio':>6}  {'target':8} {'met':4}")
    figures = []
    for figure in measured(parts or PARTS, turns):
        figures.append(figure.to_dict())
        met = "yes" if figure.met else "NO"
        print(f"{figure.name:52} {figure.ratio:6.2f}  {figure.target:8} {met:4} {figure.detail}", flush=True)
    hardware = {"cpu": processor(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    if torch.cuda.is_available():
        hardware["gpu"] = torch.cuda.get_device_name()
    print(f"medians of {turns} turns; {', '.join(f'{name} {value}' for name, value in hardware.items())}")
    report = {"figures": figures, "hardware": hardware, "date": date.today().isoformat()}
    out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
