"""From a file of questions to prompts, and from answers to the lines of an output file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mixlm.data.reading import read_rows
from mixlm.data.samples import Sample, to_sample
from mixlm.data.template import extract_answer
from mixlm.data.tokenization import tokenize_prompt
from mixlm.errors import InputError
from mixlm.generation.explain import Reader, Reading
from mixlm.generation.generate import generate
from mixlm.generation.options import GenerationOptions, LatentMode
from mixlm.generation.progress import ReportProgress, RunningTotal
from mixlm.run import Run


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


def read_questions(source: str | Path, tokenizer: Any, run: Run) -> list[Question]:
    """Read every row of ``source``; traces and answers may be there, and are not looked at.

    Raises:
        InputError: If a row has no question, or there is no row.
    """
    samples = [(where, to_question(row, where)) for where, row in read_rows(source)]
    if not samples:
        raise InputError(f"{source}: holds no questions")
    return [
        Question(where, number, sample.question, tokenize_prompt(tokenizer, run.template, sample))
        for number, (where, sample) in enumerate(samples)
    ]


def single_question(text: str, tokenizer: Any, run: Run) -> Question:
    """Return a question that was typed."""
    return Question("the question", 0, text, tokenize_prompt(tokenizer, run.template, text))


def to_question(row: Mapping[str, Any], where: str) -> Sample:
    """Read the question of a row of any layout, as a sample without trace and answer.

    Raises:
        InputError: If the row has no question.
    """
    turns = row.get("messages")
    if not isinstance(turns, list | tuple):
        return to_sample({**row, "steps": [], "answer": ""}, where)
    if turns and isinstance(turns[-1], Mapping) and turns[-1].get("role") == "assistant":
        turns = turns[:-1]
    unanswered = {"role": "assistant", "content": "", "reasoning_content": "\n"}
    return to_sample({"messages": [*turns, unanswered]}, where)


def readable_ids(ids: Sequence[int], tokenizer: Any) -> str:
    """Return ids as text with every special token written out, latents too."""
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


@dataclass(frozen=True)
class Answered:
    """One answer to one question.

    Attributes:
        question: What was asked.
        sample: Number of the answer among those to the question, from 0.
        answer: What the model wrote; from a server that returns no ids a ``mixlm.generation.endpoint.RemoteText``.
        readings: Its latents read back; None if nobody asked.
    """

    question: Question
    sample: int
    answer: Any
    readings: tuple[Reading, ...] | None = None

    @property
    def error(self) -> str | None:
        """Why there is no answer; None if there is one."""
        return getattr(self.answer, "error", None)

    def record(self, mode: LatentMode, run: Run) -> dict[str, Any]:
        """Return one line of an output file, as JSON values."""
        record = {
            "row": self.question.row,
            "sample": self.sample,
            "latents": str(mode),
            "question": self.question.text,
            "answer": extract_answer(self.answer.text, run.template.solution),
            "text": self.answer.text,
            "codes": self.answer.codes,
            "tokens": self.answer.counts.to_dict(),
            "finished": self.answer.finished,
        }
        if self.error:
            record["error"] = self.error
        if self.readings is not None:
            record["readings"] = [asdict(reading) for reading in self.readings]
        return record


def answer_questions(
    questions: Sequence[Question],
    model: Any,
    tokenizer: Any,
    run: Run,
    options: GenerationOptions,
    reader: Reader | None = None,
    progress: ReportProgress | None = None,
) -> list[Answered]:
    """Answer ``questions``.

    Args:
        questions: What to ask.
        model: The run's causal LM.
        tokenizer: The run's tokenizer.
        run: The run.
        options: How to decode.
        reader: Reads the latents back; None: nobody asked.
        progress: Called with (done, total) after every batch.

    Returns:
        The answers in the order of the questions, ``options.samples`` to each.

    Raises:
        InputError: As ``generate``.
    """
    counted = RunningTotal(progress, len(questions) * options.samples)
    prompts, names = [question.prompt_ids for question in questions], [question.name for question in questions]
    answers = generate(model, tokenizer, run, prompts, options, names=names, progress=counted)
    return with_questions(questions, answers, options.samples, reader)


def with_questions(
    questions: Sequence[Question], answers: Sequence[Any], samples: int = 1, reader: Reader | None = None
) -> list[Answered]:
    """Put answers beside their questions, ``samples`` to each, and read their latents back if there is a reader."""

    def readings(question: Question, answer: Any) -> tuple[Reading, ...] | None:
        """Read the latents of one answer."""
        return tuple(reader.read(answer.codes, question.prompt_ids)) if reader and answer.codes is not None else None

    owners = [question for question in questions for _ in range(samples)]
    return [
        Answered(question, place % samples, answer, readings(question, answer))
        for place, (question, answer) in enumerate(zip(owners, answers, strict=True))
    ]
