"""mixlm-generate: answer questions with a trained run."""

from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mixlm.processes import Processes
from pipelines.shared.command import Results, command, say
from pipelines.shared.help import DATA, DECODE, OUTPUT, group
from pipelines.shared.loading import loading, look_first
from pipelines.shared.options import answerer_of, decoding_options, endpoint_options, faster, positive
from pipelines.shared.progress import progress_bar
from pipelines.shared.resume import given_values, resume_option
from pipelines.shared.terminal import echo, notice


if TYPE_CHECKING:
    from mixlm.generation.engine import Engine
    from mixlm.generation.explain import LatentReader
    from mixlm.generation.kept.answer_file import AnswerFile
    from mixlm.generation.questions import Question


_FIRST = (
    *("source", "latents", "max_new_tokens", "temperature", "batch_size", "device"),
    *("engine", "endpoint", "output", "explain", "resume"),
)


def _told(path: Path) -> dict[str, Any]:
    """Return what the command was told whose answers go to ``path``, as values of its parameters."""
    from mixlm.generation.kept.finished import arguments_of

    return {**arguments_of(path), "output": str(path)}


@command("generate", shares=True, first=_FIRST)
@click.argument("run", type=click.Path())
@click.argument("question", required=False)
@group(
    DATA, click.option("--input", "source", type=click.Path(), help="File of questions: .jsonl, .json or .parquet.")
)
@group(
    DECODE,
    click.option("--latents", default="free", show_default=True, help="free, text (none), max:N or exact:N."),
    click.option("--max-new-tokens", default=512, show_default=True, type=positive, help="Longest answer."),
)
@decoding_options
@endpoint_options
@group(
    OUTPUT,
    click.option(
        "--output", type=click.Path(), help="Write a JSON line for each answer, in the order of the questions."
    ),
    click.option("--explain", is_flag=True, help="Read each latent back as text."),
    click.option("--print-prompt", is_flag=True, help="Show the exact prompt and its ids, and stop."),
)
@resume_option("OUTPUT", _told)
def main(
    run: str,
    question: str | None,
    source: str | None,
    output: str | None,
    latents: str,
    device: str,
    explain: bool,
    print_prompt: bool,
    **settings: Any,
) -> Results:
    """Answer QUESTION, or every question of a file, with the model in the folder RUN.

    Answers are kept beside --output as they come: an interrupted call (a kill, Ctrl-C, a server that is gone) goes on
    after them when the same command is given again, or --resume OUTPUT. Started by accelerate launch, several
    processes share the questions of a file.
    """
    _check_usage(question, source, output)
    look_first(run, source)
    from mixlm.generation.answers import require_answers
    from mixlm.generation.engine import Engine
    from mixlm.generation.kept.answer_file import AnswerFile
    from mixlm.generation.options import GenerationOptions
    from mixlm.generation.questions import Questions, answer_questions, single_question
    from pipelines.reports.answers import print_answers

    engine = Engine.load(run, device, loading)
    windows = Questions(source, engine) if source else [[single_question(question, engine)]]
    if print_prompt:
        return _prompts([*chain.from_iterable(windows)], engine, settings["thoughts"])
    answerer = answerer_of(engine, settings)
    options = GenerationOptions(latents=latents, **settings)
    reader = _reader(engine) if explain else None
    if output:
        return _write(AnswerFile(Path(output), windows, answerer, options, reader, Processes.current()))
    questions = [*chain.from_iterable(windows)]
    with progress_bar("answering", shorter=faster()) if source else nullcontext() as advance:
        answered = answer_questions(answerer, questions, options, reader, advance)
    print_answers(answered)
    require_answers([one.answer for one in answered], [one.question.name for one in answered])
    return {"answers": [one.record(options.latents, engine.run.template) for one in answered]}


def _reader(engine: "Engine") -> "LatentReader":
    """Return what reads latents of the run's answers back."""
    from mixlm.errors import InputError
    from mixlm.generation.explain import LatentReader

    reader = LatentReader(engine)
    if not reader.in_place:
        raise InputError(
            f"--explain: latents of method '{engine.run.method_name}' stand anywhere in an answer, and stage 1 reads "
            "each with all before it; leave it out (mixlm analyze --only codes tells what codes stand for)"
        )
    return reader


def _prompts(questions: "list[Question]", engine: "Engine", thoughts: int | None) -> Results:
    """Print what the model is given for each question; returns it as results."""
    from mixlm.generation.questions import prompt_notes
    from pipelines.reports.answers import print_prompts, prompt_of

    prompts = [prompt_of(one, engine, thoughts) for one in questions]
    print_prompts(prompts)
    for note in prompt_notes([one.prompt_ids for one in questions], engine):
        notice(note)
    return {"prompts": prompts}


def _write(file: "AnswerFile") -> Results:
    """Write answers to a file, or go on with it; returns where they are, if this process has written them."""
    from mixlm.generation.kept.keeping import Keeping, telling
    from mixlm.generation.kept.lines import KeptLines
    from vqvae.stopping import stop_when_asked

    file.check()
    first, header = file.processes.first, {"identity": file.identity, "arguments": given_values(file.answerer)}
    kept = KeptLines(file.path, header, file.count, processes=file.processes, say=notice)
    results = {"output": file.path, "count": file.count}
    if file.finished():
        kept.clear()
        say(f"{file.path}: already answered, {file.count} answers; nothing to do")
        return results if first else None
    with (
        stop_when_asked() as stop,
        kept,
        progress_bar("answering", shorter=faster()) if first else nullcontext() as advance,
    ):
        with telling(kept):
            file.answer(Keeping(kept, file.share, advance, stop))
        if not file.finish(kept):
            return None
        echo(f"wrote {file.path}: {file.count} answers")
        return results


def _check_usage(question: str | None, source: str | None, output: str | None) -> None:
    """Refuse a call without one thing to answer, or without a place for the answers."""
    if (question is None) == (source is None):
        raise click.UsageError("give either a QUESTION or --input FILE")
    if output and not Path(output).name:
        raise click.UsageError(f"--output {output}: is a folder; give the name of a file")
    if not (source and output):
        Processes.current().require_one("mixlm generate", "give --input FILE and --output FILE, which they share")
    if source and output:
        from mixlm.data.reading import require_apart

        require_apart(output, source)
