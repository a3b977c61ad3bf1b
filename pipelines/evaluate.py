"""mixlm evaluate: accuracy and length of a run's answers, with latents decoded freely or in given numbers."""

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mixlm.data.samples import CheckName
from mixlm.errors import InputError
from mixlm.processes import Processes
from pipelines.shared.command import Results, command, say
from pipelines.shared.help import DECODE, MODEL, OUTPUT, group
from pipelines.shared.loading import loading, look_first
from pipelines.shared.options import (
    answer_pattern_option,
    answerer_of,
    check_option,
    decoding_options,
    endpoint_options,
    faster,
    rows_options,
    template_of,
    template_options,
)
from pipelines.shared.progress import progress_bar
from pipelines.shared.resume import given_values, resume_option, told_values
from pipelines.shared.terminal import echo, notice


if TYPE_CHECKING:
    from mixlm.data.template import Template
    from mixlm.evaluation.measuring.evaluation import Evaluation
    from mixlm.generation.engine import Engine
    from vqvae.advance import Advance


_FIRST = (
    *("base", "split", "limit", "check", "latents", "max_new_tokens", "samples", "batch_size", "device", "engine"),
    *("out", "resume"),
)


def _told(path: Path) -> dict[str, Any]:
    """Return what the command was told whose figures go to ``path``, as values of its parameters."""
    from mixlm.generation.kept.finished import arguments_of

    return {**arguments_of(path.with_suffix(".jsonl")), "out": str(path)}


@command("evaluate", shares=True, first=_FIRST)
@click.argument("run", type=click.Path())
@click.argument("data", type=click.Path())
@group(
    MODEL,
    click.option(
        "--base", is_flag=True, help="RUN is a model that was not trained here: a folder, Hub id or .gguf file."
    ),
)
@rows_options
@check_option
@answer_pattern_option
@template_options
@group(
    DECODE,
    click.option(
        "--latents",
        default="free",
        show_default=True,
        help="free, text, max:N, exact:N, direct (the answer at once), or several: exact:0%,50%,100% (shares of each "
        "sample's own codes).",
    ),
)
@decoding_options
@endpoint_options
@group(
    OUTPUT,
    click.option(
        "--out", type=click.Path(path_type=Path), help="A .json for figures; answers go to the .jsonl beside it."
    ),
)
@resume_option("OUT", _told)
def main(
    run: str,
    data: str,
    split: str | None,
    latents: str,
    check: CheckName | None,
    answer_pattern: str | None,
    limit: int | None,
    device: str,
    base: bool,
    out: Path | None,
    **settings: Any,
) -> Results:
    """Measure the run in the folder RUN on DATA, an encoded dataset or a file of samples.

    Each mode of --latents is a row of the table; with exact:0%,25%,50%,100% they are a curve of accuracy over length.
    With several --samples, "solved" is the share of rows with a right answer among theirs. A server (--endpoint), or
    an engine that is started (--engine), gives the same figures where it is greedy, but for the seconds. With --base
    an untrained model is asked by the template; if its text lacks the answer's marker, its last number is the answer
    where the check is number, and for math what it marks otherwise. What is measured is kept beside --out as it comes:
    an interrupted call goes on after it when the same command is given again, or --resume OUT.
    """
    _check_usage(data, out)
    look_first(None if base else run, data)
    from mixlm.evaluation.evaluate import evaluate
    from mixlm.evaluation.inputs import open_rows, tell_unread
    from mixlm.evaluation.measuring.evaluation import Evaluation
    from mixlm.evaluation.measuring.requests import read_modes
    from mixlm.generation.options import GenerationOptions
    from pipelines.reports.evaluation import print_evaluation

    engine = _opened(run, template_of(settings), base, device, out)
    modes = read_modes([latents], engine.run)
    processes = Processes.current()
    tell = notice if processes.first else lambda line: None
    opened = open_rows(data, engine, split, limit, answer_pattern, tell)
    rows = opened.rows
    if check is None:
        check = opened.check
        tell(f"answers are compared by --check {check}, {opened.why}")
    tell_unread(rows, engine, check, tell)
    answerer = answerer_of(engine, settings)
    options = GenerationOptions(**settings)
    if out is None:
        with _bar() as advance:
            figures = evaluate(answerer, rows, options, modes, check, advance)
        print_evaluation(figures)
        return {name: value for name, value in figures.items() if name != "records"}
    evaluation = Evaluation(answerer, rows, options, modes, check, processes)
    return _write(evaluation, out, {"run": run, "data": data, "split": split})


def _check_usage(data: str, out: Path | None) -> None:
    """Refuse a file of figures whose name leaves that of the answers open, or either that would be lost."""
    from mixlm.data.reading import require_apart
    from mixlm.generation.kept.finished import require_unsealed

    if out and out.suffix != ".json":
        raise click.UsageError(f"--out {out}: give a name that ends in .json")
    if not out:
        Processes.current().require_one("mixlm evaluate", "give --out FILE.json, for which they share the work")
    for file in (out, out.with_suffix(".jsonl")) if out else ():
        require_apart(file, data)
    if out:
        require_unsealed(out.with_suffix(".jsonl"))


def _bar() -> "AbstractContextManager[Advance]":
    """Return what shows how far the measurement is."""
    return progress_bar("evaluating", shorter=faster("a lower --limit", "fewer --latents"))


def _opened(run: str, template: "Template", base: bool, device: str, out: Path | None) -> "Engine":
    """Open the run, or the model that was not trained here, which alone may be asked by a template."""
    from mixlm.data.template import Template
    from mixlm.generation.engine import Engine
    from mixlm.generation.kept.finished import begun_date

    if not base and template != Template():
        raise InputError(f"{run}: a run has the template that it was trained with; leave yours out, or add --base")
    if not base:
        return Engine.load(run, device, loading)
    begun = begun_date(out.with_suffix(".jsonl"), Path(run), told_values()) if out else None
    return Engine.base(run, template, device, loading, begun)


def _write(evaluation: "Evaluation", out: Path, about: dict[str, Any]) -> Results:
    """Write figures and answers, or go on with them; returns the figures, if this process has written them.

    Args:
        evaluation: What is measured.
        out: The file of figures.
        about: What figures tell of the command.
    """
    from mixlm.generation.kept.finished import Finished, disown, is_whole, read_figures, write_figures
    from mixlm.generation.kept.keeping import Keeping, telling
    from mixlm.generation.kept.lines import KeptLines, require_place
    from vqvae.stopping import stop_when_asked

    evaluation.look()
    answers, processes = out.with_suffix(".jsonl"), evaluation.processes
    identity = evaluation.identity(data=about["data"], split=about["split"])  # of the run it has the content, no path
    header = {"identity": identity, "arguments": given_values(evaluation.answerer)}
    notes = evaluation.batches
    kept = KeptLines(answers, header, evaluation.count, notes, processes, notice)
    if is_whole(answers, identity):
        kept.clear()
        say(f"{out}: already evaluated, {evaluation.count} answers in {answers}; nothing to do")
        return _shown(read_figures(out), out) if processes.first else None
    require_place(out)
    with stop_when_asked() as stop, kept:
        with (
            _bar() if processes.first else nullcontext() as advance,
            telling(kept),
        ):
            evaluation.run(Keeping(kept, evaluation.total, advance, stop))
            if not kept.complete():  # others are still at work, and the last one writes
                return None
            figures = about | evaluation.figures(kept)
        digest = kept.join(partial(disown, answers))
        write_figures(out, figures, Finished(identity, evaluation.count, digest, header["arguments"]))
        kept.discard()
    results = _shown(figures, out)
    echo(f"wrote {out} and {answers}")
    return results


def _shown(figures: dict[str, Any], out: Path) -> dict[str, Any]:
    """Print figures; returns them as results, with the place where they are."""
    from mixlm.generation.kept.finished import KEY
    from pipelines.reports.evaluation import print_evaluation

    print_evaluation(figures)
    return {"out": out} | {name: value for name, value in figures.items() if name != KEY}
