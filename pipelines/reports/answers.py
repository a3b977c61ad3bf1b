"""Answers on a terminal and in files."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from mixlm.generation.answerer import Answerer
from mixlm.generation.explain import Reading
from mixlm.generation.questions import Answered, Question, readable_ids
from mixlm.model.special_tokens import latent_name
from pipelines.shared.console import PlainConsole
from pipelines.shared.terminal import echo_json


def prompt_of(question: Question, answerer: Answerer, thoughts: int | None = None) -> dict[str, Any]:
    """Return what the model is given for a question: the string with special tokens, and the ids."""
    ids = answerer.run.prompt(question.prompt_ids, thoughts)
    return {"prompt": readable_ids(ids, answerer.tokenizer), "prompt_ids": ids}


def print_prompts(prompts: Sequence[Mapping[str, Any]]) -> None:
    """Print prompts, a line of JSON each."""
    for prompt in prompts:
        echo_json(prompt)


def print_answers(answered: Sequence[Answered]) -> None:
    """Print answers, with their questions if there are several."""
    for one in answered:
        print_answer(one, named=len(answered) > 1)


def print_answer(answered: Answered, named: bool) -> None:
    """Print one answer: its latents, its text, how many tokens it took, and what the latents mean if they were read.

    Args:
        answered: The answer.
        named: Whether to print the question too, to tell several answers apart.
    """
    console, answer = PlainConsole(), answered.answer
    if named:
        console.print(f"{answered.question.name}  {answered.question.text}", style="bold", soft_wrap=True)
    if answer.codes:
        console.print(" ".join(map(latent_name, answer.codes)), style="cyan", soft_wrap=True)
    console.print(answer.text.strip("\n"), soft_wrap=True)
    parts = ", ".join(f"{count} {kind}" for kind, count in answer.counts.kinds().items() if count)
    parts = f": {parts}" if parts else ""
    ending = "" if answer.finished else "; cut off by the length limit"
    console.print(f"({answer.counts.total} tokens{parts}{ending})", style="dim", soft_wrap=True)
    if answered.readings:
        console.print(readings_table(answered.readings))
    if named:
        console.print()


def readings_table(readings: Sequence[Reading]) -> Table:
    """Return a table with a row for each latent: its decoded text, how sure the decoder is, what it stood for."""
    table = Table("latent", "reads as, for this prompt", "sure", "stood for in training", show_lines=True)
    for reading in readings:
        stood = "\n".join(f"{_one_line(text)} ({share:.0%})" for text, share in reading.chunks[:3])
        decoded = _one_line(reading.text)
        table.add_row(
            latent_name(reading.code), decoded, f"{reading.probability:.0%}", stood or "nothing that was counted"
        )
    return table


def _one_line(text: str) -> str:
    """Return text in quotes with its line breaks visible."""
    return json.dumps(text, ensure_ascii=False)
