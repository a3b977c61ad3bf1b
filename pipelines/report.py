"""mixlm report: one page of runs to look at."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mixlm.data.samples import CheckName
from pipelines.shared.command import Results, command
from pipelines.shared.help import DATA, OUTPUT, group
from pipelines.shared.loading import loading
from pipelines.shared.options import batch_options, check_option, positive
from pipelines.shared.progress import progress_bar
from pipelines.shared.terminal import echo, notice


if TYPE_CHECKING:
    from mixlm.run import Run


@command("report")
@click.argument("runs", nargs=-1, required=True, type=click.Path())
@group(
    DATA,
    click.option("--data", type=click.Path(), help="Rows to answer: an encoded dataset, or a file of samples."),
    click.option("--split", help="Part of DATA.  [default: valid of an encoded dataset, else train]"),
    click.option("--limit", type=positive, help="Show the first rows only.  [default: 500; all of an --evaluation]"),
    click.option(
        "--evaluation",
        "evaluations",
        multiple=True,
        type=click.Path(path_type=Path),
        help="Figures of mixlm evaluate of one of RUNS; its answers are shown, and that run answers nothing anew.",
    ),
)
@check_option
@batch_options
@group(
    OUTPUT,
    click.option(
        "--out", default="report.html", show_default=True, type=click.Path(path_type=Path), help="Page to write."
    ),
)
def main(
    runs: tuple[str, ...],
    data: str | None,
    split: str | None,
    limit: int | None,
    evaluations: tuple[Path, ...],
    check: CheckName | None,
    device: str,
    batch_size: int,
    out: Path,
) -> Results:
    """Write a page about one run or several: one HTML file that opens in a browser and needs nothing else.

    Without --data it shows training, settings and what codes stand for. With it the runs answer the rows, freely and
    as text, and the page shows every answer with its latents, how well each code is written, and accuracy against
    tokens. An interrupted call goes on after the answers that it has when the same command is given again.
    """
    from mixlm.data.reading import require_apart
    from mixlm.generation.engine import Engine
    from mixlm.processes import pick_device
    from mixlm.report.answering import Answering, read_evaluations
    from mixlm.report.page import page_of
    from mixlm.report.report import Report, names_of
    from mixlm.run import load_run
    from vqvae.atomic_files import whole_file

    for read in (*filter(None, [data]), *evaluations, *(figures.with_suffix(".jsonl") for figures in evaluations)):
        require_apart(out, read)
    opened = [load_run(run) for run in runs]
    answering = Answering(
        out, data, split, limit, check, batch_size, partial(progress_bar, shorter="a lower --limit"), notice
    )
    given = read_evaluations(evaluations, opened, limit)
    report = Report(data, _commands_of(opened, data), notice)
    with whole_file(out) as file:
        for name, run in zip(names_of(opened), opened, strict=True):
            engine = Engine(run, device=pick_device(device), loading=loading)
            rows = answering.rows(engine, evaluated=bool(given))
            answers = given.get(run.path) or (answering.answers(engine, name, rows) if rows else (None, ()))
            report.add(engine, name, rows, *answers)
        file.write(page_of(report.content()))
    answering.forget()
    echo(f"wrote {out}: open it in a browser")
    return {"out": out, "runs": names_of(opened)}


def _commands_of(runs: "Sequence[Run]", given: str | None) -> list[str]:
    """Return the commands that encoded the data of runs, where these are here, and that trained them; each once."""
    from mixlm.report.stage1 import encoded_data, stage1_of
    from pipelines import encode, train
    from pipelines.reports.commands import typed

    lines = []
    for run in (run for run in runs if run.arguments):
        data = stage1_of(run, given).path if run.method.needs_codes else next(iter(encoded_data(run)), None)
        if data is not None:
            lines.append(typed("mixlm-encode", encode.main, encode.told(data)))
        lines.append(typed("mixlm-train", train.main, train.told(run.path)))
    return list(dict.fromkeys(lines))
