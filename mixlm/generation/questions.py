"""From a file of questions to prompts, and from answers to the lines of an output file."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from mixlm.data.chat.prompts import closing_of
from mixlm.data.chat.rendering import clock_note
from mixlm.data.reading import RawRow, read_rows
from mixlm.data.samples import read_question
from mixlm.data.template import Template
from mixlm.data.tokenization import tokenize_prompts
from mixlm.errors import InputError
from mixlm.generation.answerer import Answerer, Request
from mixlm.generation.answers import Answer
from mixlm.generation.explain import LatentReader, Reading
from mixlm.generation.options import GenerationOptions, LatentMode
from vqvae.advance import Advance


WINDOW = 2048  # questions that are read and planned together; those of like length among them share batches


@dataclass(frozen=True)
class Question:
    """A question to answer.

    Attributes:
        name: What messages call it, for example ``questions.jsonl:17``.
        row: Its number in its file, from 0.
        text: The question; of a chat its last user turn.
        prompt_ids: The prompt P.
    """

    name: str
    row: int
    text: str
    prompt_ids: list[int]


class Questions:
    """The questions of a file for whom will answer, in their order.

    They are read anew whenever they are gone through, some at a time, so that of many no more are in memory than of
    few. Traces and answers may be there, and are not looked at.

    Args:
        source: The file.
        answerer: Whose template and tokenizer render them.
    """

    def __init__(self, source: str | Path, answerer: Answerer) -> None:
        self.source, self.answerer = source, answerer

    def __iter__(self) -> Iterator[list[Question]]:
        """Yield them, ``WINDOW`` at a time.

        Raises:
            InputError: If a row has no question, or there is no row.
        """
        rows, first = read_rows(self.source), 0
        while block := [*islice(rows, WINDOW)]:
            yield self._rendered(block, first)
            first += len(block)
        if not first:
            raise InputError(f"{self.source}: holds no questions")

    def _rendered(self, block: Sequence[tuple[str, RawRow]], first: int) -> list[Question]:
        samples = [replace(read_question(row, where), where=where) for where, row in block]
        prompts = tokenize_prompts(self.answerer.tokenizer, self.answerer.run.template, samples)
        return [
            Question(sample.where, number, sample.question, prompt)
            for number, (sample, prompt) in enumerate(zip(samples, prompts, strict=True), first)
        ]


def prompt_notes(prompts: Sequence[Sequence[int]], answerer: Answerer) -> list[str]:
    """Return lines about prompts which they do not show: their date, and what closes the thoughts that they open."""
    tokenizer, template = answerer.tokenizer, answerer.run.template
    closings = dict.fromkeys(closing_of(tokenizer, template, prompt) for prompt in prompts)
    opened = [
        f"note: prompts open a thought; answers close it by {closing} before the solution, as in training"
        for closing in closings
        if closing
    ]
    return [*filter(None, [clock_note(template)]), *opened]


def single_question(text: str, answerer: Answerer) -> Question:
    """Return a question that was typed; an ``InputError`` if it is blank."""
    if not text.strip():
        raise InputError("the question is empty; write one")
    asked = answerer.request(text)
    return Question(asked.name, 0, text, asked.prompt_ids)


def readable_ids(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """Return ids as text with every special token written out, latents too."""
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


@dataclass(frozen=True)
class Answered:
    """One answer to one question.

    Attributes:
        question: What was asked.
        sample: Number of the answer among those to the question, from 0.
        answer: What the model wrote.
        readings: Its latents read back; None if nobody asked.
    """

    question: Question
    sample: int
    answer: Answer
    readings: tuple[Reading, ...] | None = None

    def record(self, mode: LatentMode, template: Template) -> dict[str, Any]:
        """Return one line of an output file, as JSON values."""
        record = {
            "row": self.question.row,
            "sample": self.sample,
            "latents": str(mode),
            "question": self.question.text,
            "answer": template.find_answer(self.answer.text),
            "text": self.answer.text,
            "codes": self.answer.codes,
            "tokens": self.answer.counts.to_dict(),
            "finished": self.answer.finished,
        }
        if self.answer.error:
            record["error"] = self.answer.error
        if self.readings is not None:
            record["readings"] = [asdict(reading) for reading in self.readings]
        return record


def answered(question: Question, sample: int, answer: Answer, reader: LatentReader | None = None) -> Answered:
    """Return an answer to a question, with its latents read back if there is a reader and they are known."""
    read = reader is not None and answer.codes is not None
    return Answered(question, sample, answer, tuple(reader.read(answer.codes, question.prompt_ids)) if read else None)


def answer_questions(
    answerer: Answerer,
    questions: Sequence[Question],
    options: GenerationOptions,
    reader: LatentReader | None = None,
    advance: Advance | None = None,
) -> list[Answered]:
    """Answer ``questions``.

    Args:
        answerer: Who answers, here or on a server.
        questions: What to ask.
        options: How to decode.
        reader: Reads the latents back, where they are known; None: nobody asked.
        advance: Called with (done, total).

    Returns:
        The answers in the order of the questions, ``options.samples`` to each.

    Raises:
        InputError: As ``Answerer.answer``.
    """

    samples = options.samples
    asked = [Request(question.prompt_ids, question.name) for question in questions]
    owners = [question for question in questions for _ in range(samples)]
    return [
        answered(question, place % samples, answer, reader)
        for place, (question, answer) in enumerate(zip(owners, answerer.answer(asked, options, advance), strict=True))
    ]
