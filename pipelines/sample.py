"""mixlm data sample: traces of a served model for questions that have answers alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mixlm.data.samples import CHECK_NAMES
from pipelines.shared.command import Results, command
from pipelines.shared.help import DATA, DECODE, OUTPUT, SERVER, group
from pipelines.shared.options import SEED, Number, concurrency_option, positive
from pipelines.shared.progress import progress_bar
from pipelines.shared.resume import given_values, resume_option
from pipelines.shared.terminal import echo, notice


if TYPE_CHECKING:
    from mixlm.sampling.answering import AnsweringModel
    from mixlm.sampling.asking import Asking
    from mixlm.sampling.counts import Counts
    from mixlm.sampling.problems import Problems
    from mixlm.sampling.trace_file import TraceFile


_PROMPT = (
    "What a question is put into, with the field {question}; \\n is a new line.  [default: it asks for steps and a "
    "marked answer; chats of several turns go as they are]"
)
_PATTERN = (
    "Regular expression that finds the answer in what the model writes.  [default: the marks that docs/FORMATS.md "
    "lists]"
)


_FIRST = (
    *("endpoint", "model", "limit", "check", "prompt", "samples", "temperature", "max_new_tokens", "concurrency"),
    *("out", "resume"),
)


def _told(path: Path) -> dict[str, Any]:
    """Return what the command was told whose traces go to ``path``, as values of its parameters."""
    from mixlm.generation.kept.finished import arguments_of

    return {**arguments_of(path), "out": str(path)}


@command("sample", first=_FIRST)
@click.argument("questions", type=click.Path())
@group(
    SERVER,
    click.option("--endpoint", required=True, metavar="URL", help="Server of chats or completions, such as vLLM."),
    click.option("--model", metavar="NAME", help="What the server calls the model.  [default: its only one]"),
    click.option(
        "--completions", is_flag=True, help="Ask for the text that follows the prompt: models without a chat."
    ),
    concurrency_option,
)
@group(
    DATA,
    click.option("--limit", type=positive, help="Take the first rows only."),
    click.option(
        "--check", type=click.Choice(CHECK_NAMES), help="How answers are compared.  [default: as QUESTIONS mean]"
    ),
    click.option("--prompt", metavar="TEXT", help=_PROMPT),
    click.option("--answer-pattern", metavar="REGEX", help=_PATTERN),
    click.option("--skip-bad-rows", is_flag=True, help="Leave out malformed rows, and those without an answer."),
)
@group(
    DECODE,
    click.option(
        "--samples", default=4, show_default=True, type=positive, help="Answers to ask for, to each question."
    ),
    click.option("--temperature", default=0.8, show_default=True, type=Number(min=0), help="0 is greedy."),
    click.option(
        "--top-p", default=1.0, show_default=True, type=Number(0, 1, min_open=True), help="Of the likeliest."
    ),
    click.option("--max-new-tokens", default=1024, show_default=True, type=positive, help="Longest answer."),
    click.option("--seed", default=0, show_default=True, type=SEED, help="Each answer has a seed of its own by it."),
    click.option("--stop", metavar="TEXT", help="Text at which an answer ends; \\n is a new line."),
)
@group(OUTPUT, click.option("--out", required=True, type=click.Path(dir_okay=False), help="JSONL file to write."))
@resume_option("OUT", _told)
def main(
    questions: str,
    endpoint: str,
    out: str,
    model: str | None,
    check: str | None,
    limit: int | None,
    skip_bad_rows: bool,
    answer_pattern: str | None,
    concurrency: int,
    **settings: Any,
) -> Results:
    """Ask a served model for traces.

    Each of the QUESTIONS, rows with answers and with or without traces, is asked several times. Traces that end in
    the right answer are written, equal ones once, in rows that mixlm-encode and mixlm-train read. Answers are kept as
    they come: an interrupted call goes on after them when the same command is given again, or --resume OUT.
    """
    from mixlm.data.reading import require_apart
    from mixlm.data.texts.responses import tell_rules
    from mixlm.generation.server.model_server import ModelServer
    from mixlm.sampling.answering import AnsweringModel
    from mixlm.sampling.problems import Problems
    from mixlm.sampling.trace_file import TraceFile

    problems = Problems(questions, limit, skip_bad_rows)
    file = TraceFile(Path(out), problems, _asking(problems, check, settings), answer_pattern)
    for path in (file.path, file.counts_path):
        require_apart(path, questions)
    server = ModelServer(endpoint, concurrency, 5, notice)
    file.check(notice)
    if told := tell_rules(file.rules, len(file.digests)).partition(";")[0]:
        notice(f"right answers: {told}")
    if problems.skipped:
        rows = "row that is malformed or has" if problems.skipped == 1 else "rows that are malformed or have"
        echo(f"left out {problems.skipped} {rows} no answer")
    if (traces := _sampled(file, model)) is not None:
        return {"out": file.path, "traces": traces}
    return _write(file, AnsweringModel(server, file.asking, model, concurrency))


def _asking(problems: "Problems", check: str | None, settings: dict[str, Any]) -> "Asking":
    """Return how questions are asked, and say how their answers are compared if nobody has."""
    from mixlm.generation.options import GenerationOptions
    from mixlm.sampling.asking import Asking
    from mixlm.sampling.trace_file import check_of

    if not settings["temperature"] and settings["samples"] > 1:
        raise click.UsageError("--temperature 0: all answers to a question would be equal; add --samples 1")
    texts = {name: settings.pop(name) for name in ("prompt", "stop")}
    texts = {name: text and text.replace("\\n", "\n") for name, text in texts.items()}
    if not check:
        check = check_of(problems)
        notice(f"answers are compared by --check {check}, as {problems.source} means it")
    return Asking(check, completions=settings.pop("completions"), options=GenerationOptions(**settings), **texts)


def _sampled(file: "TraceFile", model: str | None) -> int | None:
    """Return how many traces are there already, whole, and say so; None if they are not."""
    from mixlm.generation.kept.lines import KeptLines

    finished = file.finished(model)
    if finished is None:
        return None
    KeptLines(file.path, {"identity": finished.identity}, file.count).clear()
    notice(f"{file.path}: already sampled, {finished.lines} traces; nothing to do")
    return finished.lines


def _write(file: "TraceFile", model: "AnsweringModel") -> Results:
    """Write traces to a file, or go on with it; returns what became of the answers."""
    from mixlm.generation.kept.keeping import Keeping, telling
    from mixlm.generation.kept.lines import KeptLines
    from vqvae.stopping import stop_when_asked

    header = {"identity": file.identity(model.name), "arguments": given_values(model.server)}
    kept = KeptLines(file.path, header, file.count, say=notice)
    with stop_when_asked() as stop, kept:
        try:
            with (
                telling(kept),
                progress_bar("sampling", shorter="a lower --limit, or fewer --samples") as advance,
            ):
                file.sample(model, Keeping(kept, file.count, advance, stop))
            counts = file.finish(kept)
        finally:
            if not kept.done:  # refusals alone are nothing to go on with
                kept.discard()
    _tell(file, counts)
    told = {"questions": counts.kept.total(), "answers": counts.fates, "questions_by_traces": counts.kept}
    return {"out": file.path, "traces": counts.fates["kept"], **told}


def _tell(file: "TraceFile", counts: "Counts") -> None:
    """Say what became of the answers; an ``InputError`` if some are missing, or none is a trace."""
    from mixlm.errors import InputError
    from pipelines.reports.sampling import print_counts

    missing, first = counts.fates["missing"], counts.examples.get("missing")
    if missing == file.count:
        raise InputError(f"none of {missing} answers was given, the first to {first}")
    print_counts(counts)
    kept = counts.fates["kept"]
    if kept:
        echo(f"wrote {file.path}: {kept} traces; counts by question are in {file.counts_path}")
    if missing:
        raise InputError(
            f"{missing} of {file.count} answers are missing, the first to {first}; the same command asks for them "
            "again"
        )
    if not kept:
        raise InputError(f"none of {file.count} answers is a trace to keep; nothing was written")
