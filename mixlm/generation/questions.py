"""From a file of questions to prompts, and from answers to the lines of an output file."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from mixlm.data.chat.prompts import closing_of
from mixlm.data.chat.rendering import clock_note
from mixlm.data.reading import read_rows
from mixlm.data.samples import read_question
from mixlm.data.template import Template
from mixlm.data.tokenization import tokenize_prompt
from mixlm.errors import InputError
from mixlm.generation.answers import Answer
from mixlm.generation.explain import Reader, Reading
from mixlm.generation.options import GenerationOptions, LatentMode
from mixlm.generation.plan import Answerer, Request
from vqvae.advance import Advance


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


def read_questions(source: str | Path, answerer: Answerer) -> list[Question]:
    """Read every row of ``source`` for whom will answer; traces and answers may be there, and are not looked at.

    Raises:
        InputError: If a row has no question, or there is no row.
    """
    samples = [(where, replace(read_question(row, where), where=where)) for where, row in read_rows(source)]
    if not samples:
        raise InputError(f"{source}: holds no questions")
    return [
        Question(where, number, sample.question, tokenize_prompt(answerer.tokenizer, answerer.run.template, sample))
        for number, (where, sample) in enumerate(samples)
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
    return [*filter(None, [clock_note(template, tokenizer)]), *opened]


def single_question(text: str, answerer: Answerer) -> Question:
    """Return a question that was typed."""
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


def answer_questions(
    answerer: Answerer,
    questions: Sequence[Question],
    options: GenerationOptions,
    reader: Reader | None = None,
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

    def readings(question: Question, answer: Answer) -> tuple[Reading, ...] | None:
        """Read the latents of one answer."""
        return tuple(reader.read(answer.codes, question.prompt_ids)) if reader and answer.codes is not None else None

    samples = options.samples
    asked = [Request(question.prompt_ids, question.name) for question in questions]
    owners = [question for question in questions for _ in range(samples)]
    return [
        Answered(question, place % samples, answer, readings(question, answer))
        for place, (question, answer) in enumerate(zip(owners, answerer.answer(asked, options, advance), strict=True))
    ]
