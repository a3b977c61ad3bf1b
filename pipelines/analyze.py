"""mixlm analyze: what latents and thoughts do, each analysis a table and a plot."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mixlm.data.samples import CheckName
from pipelines.shared.command import Results, command
from pipelines.shared.help import METHOD, OUTPUT, group
from pipelines.shared.loading import loading
from pipelines.shared.options import (
    answerer_of,
    batch_options,
    check_option,
    endpoint_options,
    kind_option,
    rows_options,
)
from pipelines.shared.progress import progress_bar
from pipelines.shared.terminal import echo, notice


if TYPE_CHECKING:
    from mixlm.analysis.finding import Finding

_FIRST = ("only", "interventions", "split", "limit", "check", "batch_size", "device", "engine", "out")


@command("analyze", first=_FIRST)
@click.argument("run", type=click.Path())
@click.argument("data", type=click.Path())
@group(
    METHOD,
    click.option(
        "--only",
        metavar="NAME,..",
        help="interventions, steer, sweep, codes, places, attention, outcomes, values.  "
        "[default: all that run and data allow]",
    ),
    click.option(
        "--interventions",
        metavar="KIND,..",
        help="noise:S (standard deviation S), noise:Sx (relative), zeros, shuffled, other, fewer, more, none.",
    ),
    click.option("--also", multiple=True, metavar="RUN", help="Further run for the sweep, e.g. one with another c."),
)
@rows_options
@check_option
@kind_option
@batch_options
@endpoint_options
@group(
    OUTPUT,
    click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for a .csv and a .png each."),
)
def main(
    run: str,
    data: str,
    out: Path,
    only: str | None,
    interventions: str | None,
    also: tuple[str, ...],
    split: str | None,
    limit: int | None,
    check: CheckName | None,
    device: str,
    **settings: Any,
) -> Results:
    """Analyse the run in the folder RUN on DATA, an encoded dataset or a file of samples.

    Interventions change latents at inference; steer gives a question those of another one, and tells whose answer
    comes out; a sweep varies their number; codes shows what each stands for; places shows which are learned, beside
    their text; attention compares what latents and text attend to; outcomes and values need rows of ProsQA's form. A
    server (--endpoint or --engine) gives the answers of interventions, but for those of other vectors, and of steer,
    sweep and outcomes; places, attention and values look into the model. A further run of the sweep is decoded here.
    """
    from mixlm.analysis.finding import require_matplotlib
    from mixlm.analysis.interventions import parse_interventions
    from mixlm.analysis.suite import Case, analyze, read_names
    from mixlm.analysis.sweep import check_comparable
    from mixlm.evaluation.inputs import open_rows
    from mixlm.evaluation.measuring.requests import with_length
    from mixlm.generation.engine import Engine
    from mixlm.generation.options import GenerationOptions
    from mixlm.run import load_run

    require_matplotlib()
    names = None if only is None else read_names(only)
    kinds = None if interventions is None else parse_interventions(interventions)
    _require_place(out, data)
    engine, others = Engine.load(run, device, loading), [load_run(other) for other in also]
    rows = open_rows(data, engine, split, limit)
    for other in others:
        check_comparable(engine.run, other, rows)
    if check is None:
        check = rows.check
        notice(f"answers are compared by --check {check}, {rows.why}")
    answerer = answerer_of(engine, settings)
    options = with_length(GenerationOptions(**settings), rows)
    case = Case(answerer, rows, options, check, kinds, others, say=notice)
    told: list[dict[str, Any]] = []
    with progress_bar("analysing", shorter="a lower --limit, or --only") as advance:
        analyze(case, names, advance, lambda finding: told.append(_shown(finding, out)))
    return {"findings": told}


def _require_place(out: Path, data: str) -> None:
    """Raise an ``InputError`` if nothing can be written into a folder, or it would be read with the rows."""
    from mixlm.data.reading import require_apart
    from vqvae.one_writer import require_writable

    require_apart(out, data)
    require_writable(out)


def _shown(finding: "Finding", out: Path) -> dict[str, Any]:
    """Print a finding and write it; returns it as results."""
    from pipelines.reports.analysis import print_finding

    print_finding(finding)
    table, picture = finding.write(out)
    echo(f"wrote {table} and {picture}")
    told = {"name": finding.name, "title": finding.title, "rows": finding.rows}
    return {**told, "table": table, "picture": picture}
