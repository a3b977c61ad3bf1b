"""mixlm-generate: answer questions with a trained run."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from pipelines.shared.command import command
from pipelines.shared.options import decoding_options
from pipelines.shared.progress import progress_bar


@command("generate")
@click.argument("run", type=click.Path())
@click.argument("question", required=False)
@click.option("--input", "source", type=click.Path(), help="File of questions: .jsonl, .json or .parquet.")
@click.option("--output", type=click.Path(), help="Write a JSON line for each answer, in the order of the questions.")
@click.option("--latents", default="free", show_default=True, help="free, text (none), max:N or exact:N.")
@click.option("--max-new-tokens", default=512, show_default=True, type=click.IntRange(min=1), help="Longest answer.")
@decoding_options
@click.option("--endpoint", metavar="URL", help="Let a server of completions decode, such as vLLM, that serves RUN.")
@click.option("--served-model", metavar="NAME", help="What the server calls RUN.  [default: its only model, or RUN]")
@click.option(
    "--concurrency", default=16, show_default=True, type=click.IntRange(min=1), help="Requests under way at once."
)
@click.option("--explain", is_flag=True, help="Read each latent back as text.")
@click.option("--print-prompt", is_flag=True, help="Show the exact prompt and its ids, and stop.")
def main(
    run: str,
    question: str | None,
    source: str | None,
    output: str | None,
    latents: str,
    device: str,
    endpoint: str | None,
    served_model: str | None,
    concurrency: int,
    explain: bool,
    print_prompt: bool,
    **decoding: Any,
) -> None:
    """Answer QUESTION, or every question of a file, with the model in the folder RUN.

    Started by accelerate launch, several processes share the questions of a file.
    """
    _check_usage(question, source, output)
    from mixlm.errors import InputError
    from mixlm.generation.endpoint import Endpoint, answer_remotely
    from mixlm.generation.explain import Reader
    from mixlm.generation.options import GenerationOptions, parse_latent_mode
    from mixlm.generation.questions import answer_questions, read_questions, single_question
    from mixlm.generation.shared_file import SharedFile
    from mixlm.processes import Processes, pick_device
    from mixlm.run import load_run
    from pipelines.reports.answers import print_answers, print_prompt_ids, require_all, write_answers

    opened = load_run(run)
    tokenizer = opened.tokenizer()
    questions = read_questions(source, tokenizer, opened) if source else [single_question(question, tokenizer, opened)]
    if print_prompt:
        print_prompt_ids(questions, opened, tokenizer, decoding["thoughts"])
        return
    options = GenerationOptions(latents=parse_latent_mode(latents), **decoding)
    place = pick_device(device)
    reader = Reader(opened, tokenizer) if explain else None
    processes = Processes.current()
    if processes.count > 1 and not (source and output):
        raise InputError("several processes answer a file together; give --input FILE and --output FILE")
    server = Endpoint(endpoint, opened, tokenizer, options, served_model, concurrency) if endpoint else None
    file = SharedFile(output, processes) if output else None
    model = None if server else opened.load_model().to(place)
    mine = processes.share(questions)
    with progress_bar("answering") if source and processes.first else nullcontext() as progress:
        if server:
            answered = answer_remotely(mine, server, reader, progress)
        else:
            answered = answer_questions(mine, model, tokenizer, opened, options, reader, progress)
    if file:
        write_answers(file, answered, options, opened, len(questions))
    else:
        print_answers(answered, opened)
    require_all(answered)


def _check_usage(question: str | None, source: str | None, output: str | None) -> None:
    """Find out whether there is one thing to answer, and a place for the answers.

    Raises:
        click.UsageError: If not.
    """
    if (question is None) == (source is None):
        raise click.UsageError("give either a QUESTION or --input FILE")
    if source and output and Path(source).resolve() == Path(output).resolve():
        raise click.UsageError(f"--output {output}: is the file of questions; choose another name")
