"""What MetaMathQA and DART-Math share: training rows that are many solutions to the questions of GSM8K and MATH."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mixlm.data.reading import RawRow, read_rows
from mixlm.errors import InputError
from mixlm.tasks.sources import text_of
from mixlm.tasks.splits import is_valid, require_split


SPLITS = ("train", "valid")
_QUESTIONS = ("question", "query", "problem")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Solved:
    """A question with one of its solutions.

    Attributes:
        question: The question.
        steps: The solution's lines.
        answer: The answer that the solution marks; None if it marks none.
        origin: The question that the row was made from: itself, or the one it rephrases.
        columns: The task's own columns.
    """

    question: str
    steps: list[str]
    answer: str | None
    origin: str
    columns: dict[str, str]


def rows_of(solved: Iterable[Solved], split: str, exclude: str | Path | None, task: str) -> Iterator[RawRow]:
    """Yield the rows of a split, and say on the log how many have no answer and are left out.

    Args:
        solved: All rows.
        split: "valid", the rows made from one question in a hundred, whose hash decides, or "train", the others.
        exclude: File of questions, see ``mixlm.data.reading.open_raw``; rows made from them are left out.
        task: What messages call the task.

    Raises:
        InputError: If there is no such split, ``exclude`` cannot be read, or no row marks its answer.
    """
    require_split(split, SPLITS)
    banned = {text_of(row, _QUESTIONS, where, "questions") for where, row in read_rows(exclude)} if exclude else set()
    given = unmarked = 0
    for row in solved:
        if is_valid(row.origin) != (split == "valid") or {row.origin, row.question} & banned:
            continue
        if row.answer is None:
            unmarked += 1
            continue
        given += 1
        yield {"question": row.question, "steps": row.steps, "answer": row.answer, **row.columns}
    if unmarked and not given:
        raise InputError(f"{task}: none of {unmarked} solutions marks its answer; give a file as published")
    if unmarked:
        _log.warning("%s: %d solutions mark no answer and were left out", task, unmarked)
