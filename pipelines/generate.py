"""mixlm-generate: answer questions with a trained run."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from pipelines.decoding import decoding_options
from pipelines.options import command, progress_bar


@command("generate")
@click.argument("run", type=click.Path())
@click.argument("question", required=False)
@click.option("--input", "source", type=click.Path(), help="File of questions: .jsonl, .json or .parquet.")
@click.option("--output", type=click.Path(), help="Write a JSON line for each answer, in the order of the questions.")
@click.option("--latents", default="free", show_default=True, help="free, text (none), max:N or exact:N.")
@click.option("--max-new-tokens", default=512, show_default=True, type=click.IntRange(min=1), help="Longest answer.")
@decoding_options
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
    **decoding: Any,
) -> None:
    """Answer QUESTION, or every question of a file, with the model in the folder RUN."""
    if (question is None) == (source is None):
        raise click.UsageError("give either a QUESTION or --input FILE")
    if source and output and Path(source).resolve() == Path(output).resolve():
        raise click.UsageError(f"--output {output}: is the file of questions; choose another name")
    from mixlm.devices import pick_device
    from mixlm.explain import Reader
    from mixlm.generation import GenerationOptions
    from mixlm.latent_mode import parse_latent_mode
    from mixlm.questions import answer_questions, read_questions, single_question
    from mixlm.run import load_run
    from mixlm.whole_file import whole_file
    from pipelines.report_answers import print_answer, print_prompt_ids, write_answers

    opened = load_run(run)
    tokenizer = opened.tokenizer()
    questions = read_questions(source, tokenizer, opened) if source else [single_question(question, tokenizer, opened)]
    if print_prompt:
        print_prompt_ids(questions, opened, tokenizer, decoding["thoughts"])
        return
    options = GenerationOptions(latents=parse_latent_mode(latents), **decoding)
    place = pick_device(device)
    reader = Reader(opened, tokenizer) if explain else None
    with whole_file(output) if output else nullcontext() as file:
        model = opened.load_model().to(place)
        with progress_bar("answering") if source else nullcontext() as progress:
            answered = answer_questions(questions, model, tokenizer, opened, options, reader, progress)
        if file:
            write_answers(file, answered, options.latents, opened)
    if output:
        click.echo(f"wrote {output}: {len(answered)} answers")
    else:
        for one in answered:
            print_answer(one, opened, named=len(answered) > 1)
