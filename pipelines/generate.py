"""mixlm-generate: answer questions with a trained run."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from pipelines.shared.command import command
from pipelines.shared.options import answerer_of, decoding_options, endpoint_options
from pipelines.shared.progress import progress_bar
from pipelines.shared.terminal import echo


@command("generate")
@click.argument("run", type=click.Path())
@click.argument("question", required=False)
@click.option("--input", "source", type=click.Path(), help="File of questions: .jsonl, .json or .parquet.")
@click.option("--output", type=click.Path(), help="Write a JSON line for each answer, in the order of the questions.")
@click.option("--latents", default="free", show_default=True, help="free, text (none), max:N or exact:N.")
@click.option("--max-new-tokens", default=512, show_default=True, type=click.IntRange(min=1), help="Longest answer.")
@decoding_options
@endpoint_options
@click.option("--explain", is_flag=True, help="Read each latent back as text.")
@click.option("--print-prompt", is_flag=True, help="Show the exact prompt and its ids, and stop.")
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
) -> None:
    """Answer QUESTION, or every question of a file, with the model in the folder RUN.

    Started by accelerate launch, several processes share the questions of a file.
    """
    _check_usage(question, source, output)
    from mixlm.errors import InputError
    from mixlm.generation.answers import require_answers
    from mixlm.generation.engine import Engine
    from mixlm.generation.explain import Reader
    from mixlm.generation.kept.shared_file import SharedFile
    from mixlm.generation.options import GenerationOptions
    from mixlm.generation.questions import answer_questions, prompt_notes, read_questions, single_question
    from mixlm.processes import Processes
    from pipelines.reports.answers import print_answers, print_prompt_ids, write_answers

    engine = Engine.load(run, device)
    questions = read_questions(source, engine) if source else [single_question(question, engine)]
    if print_prompt:
        print_prompt_ids(questions, engine, settings["thoughts"])
        for note in prompt_notes([one.prompt_ids for one in questions], engine):
            echo(note, err=True)
        return
    answerer = answerer_of(engine, settings)
    options = GenerationOptions(latents=latents, **settings)
    reader = Reader(engine) if explain else None
    processes = Processes.current()
    if processes.count > 1 and not (source and output):
        raise InputError("several processes answer a file together; give --input FILE and --output FILE")
    file = SharedFile(output, processes) if output else None
    with progress_bar("answering") if source and processes.first else nullcontext() as advance:
        answered = answer_questions(answerer, processes.share(questions), options, reader, advance)
    if file:
        write_answers(file, answered, options, engine.run.template, len(questions))
    else:
        print_answers(answered)
    require_answers([one.answer for one in answered], [one.question.name for one in answered])


def _check_usage(question: str | None, source: str | None, output: str | None) -> None:
    """Refuse a call without one thing to answer, or without a place for the answers."""
    if (question is None) == (source is None):
        raise click.UsageError("give either a QUESTION or --input FILE")
    if source and output and Path(source).resolve() == Path(output).resolve():
        raise click.UsageError(f"--output {output}: is the file of questions; choose another name")
