"""Questions with their right answers, whether or not a trace stands beside them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from mixlm.data.layouts.chats import chat_columns, turns_of
from mixlm.data.layouts.choices import choice_answer, choices_of
from mixlm.data.layouts.columns import ANSWERS, KNOWN, RESPONSES, filled_text, is_blank, known_columns
from mixlm.data.layouts.traces import response_column
from mixlm.data.reading import RawRow, open_raw
from mixlm.data.samples import CheckName, Sample, read_question, to_sample
from mixlm.data.texts.marks import marked
from mixlm.data.texts.responses import COLUMN
from mixlm.data.texts.thoughts import split_thought
from mixlm.errors import InputError


@dataclass(frozen=True)
class Problem:
    """A question with its right answer.

    Attributes:
        row: Its number in its file, from 0.
        sample: Question and answer; a trace that the row has is not looked at.
    """

    row: int
    sample: Sample

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.sample.where

    def solved(self, trace: str, number: int, check: CheckName) -> dict[str, Any]:
        """Return a row with a trace, of the layout that the question came in: a chat, or columns.

        Args:
            trace: The trace, a line for each step.
            number: Number of the trace among those that were asked for, from 0.
            check: How its answer was compared.
        """
        own = {name: value for name, value in self.sample.columns.items() if name not in KNOWN}
        return {**self._asked(trace), "answer": self.sample.answer, **own, "check": check, "sample": number}

    def _asked(self, trace: str) -> dict[str, Any]:
        turns = self.sample.messages
        if turns and self.sample.whole:  # what a system column says, and the question
            return {"system": turns[0]["content"], "question": turns[1]["content"], "reasoning": trace}
        if turns:
            answer = {"role": "assistant", "content": self.sample.answer, "reasoning_content": trace}
            return {"messages": [*turns, answer]}
        return {"question": self.sample.question, "reasoning": trace}

    def require_readable(self) -> None:
        """Raise an ``InputError`` if a row with a trace would not be read as this question with this answer."""
        asked, read = self.sample, to_sample(self.solved("a trace", 0, "exact"), self.name)
        if (read.question, read.answer, read.messages) != (asked.question, asked.answer, asked.messages):
            what = "answer" if read.answer != asked.answer else "question"
            raise InputError(
                f"{self.name}: its {what} {getattr(asked, what)[:60]!r} would be read as {getattr(read, what)[:60]!r} "
                f"beside a trace; write the {what} plainly"
            )


class Problems:
    """The questions of a file, in their order; they are read anew whenever they are gone through.

    Args:
        source: See ``mixlm.data.reading.open_raw``.
        limit: Take the first rows only; None: all.
        skip_bad_rows: Leave out malformed rows, and those without an answer.
    """

    def __init__(self, source: str | Path, limit: int | None = None, skip_bad_rows: bool = False) -> None:
        self.source, self.limit, self.skip_bad_rows, self.skipped = source, limit, skip_bad_rows, 0

    def __iter__(self) -> Iterator[Problem]:
        """Yield them.

        Raises:
            InputError: If a row has no question or no answer and is not to be left out.
        """
        self.skipped = 0
        for number, (where, row) in enumerate(islice(open_raw(self.source), self.limit)):
            try:
                problem = Problem(number, _read(row, where))
                problem.require_readable()
            except InputError as error:
                if not self.skip_bad_rows:
                    raise InputError(f"{error}, or leave such rows out with --skip-bad-rows") from None
                self.skipped += 1
            else:
                yield problem


def _read(row: RawRow | InputError, where: str) -> Sample:
    if isinstance(row, InputError):
        raise row
    return replace(read_problem(row, where), where=where)


def read_problem(row: Mapping[str, Any], where: str = "row") -> Sample:
    """Read question and answer of a row of any layout, with a trace or without.

    Args:
        row: The row.
        where: What error messages call it.

    Raises:
        InputError: If it has no question or no answer.

    >>> read_problem({"question": "How many legs have 3 cats?", "answer": 12}).answer
    '12'
    """
    asked = read_question(row, where)
    try:
        return to_sample(row, where)
    except InputError:  # it may lack a trace alone
        answer, rule = _answer_alone(known_columns(row), where)
    return replace(asked, answer=answer, rule=rule)


def _answer_alone(columns: Mapping[str, Any], where: str) -> tuple[str, str]:
    """Return the answer of a row without a trace, and the rule that found it."""
    chat = chat_columns(columns)
    name = next((name for name in ANSWERS if name in columns and name not in chat), None)
    last = turns_of(columns, where)[-1] if chat else {}
    if name is None and last.get("role") == "assistant" and (last["content"] or "").strip():
        return _bare_answer(last["content"], f"{where}: column '{chat[-1]}': the last turn of the chat")
    if name is None:  # beside a chat that is answered a response may be any model's
        none = {one for one in RESPONSES if one in chat or (chat and _says_nothing(columns.get(one)))}
        name = response_column({one: value for one, value in columns.items() if one not in none}, where)
    if name:
        value = choice_answer(columns[name], choices_of(columns, where), where)
        return _bare_answer(filled_text({**columns, name: value}, name, where), f"{where}: column '{name}'")
    has = ", ".join(columns)
    raise InputError(f"{where}: has no answer that a trace could be checked by (it has {has}); give it as 'answer'")


def _says_nothing(value: Any) -> bool:
    return is_blank(value) or isinstance(value, list | tuple | Mapping)


def _bare_answer(text: str, where: str) -> tuple[str, str]:
    try:
        tail = split_thought(text)[1].strip()
    except ValueError as error:
        raise InputError(f"{where} {error}") from None
    if mark := marked(tail):
        return mark.answer, mark.rule
    if "\n" in tail or not tail:
        raise InputError(
            f"{where} has several lines and marks no answer; mark it, such as by '#### N' on the last line, or give "
            "the answer alone as 'answer'"
        )
    return tail, COLUMN
