"""From a row of any accepted layout to a sample: question, steps, answer."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

from mixlm.data.layouts.chats import chat_columns, question_turn, refuse_history, tells_template, thought_of, turns_of
from mixlm.data.layouts.choices import choice_answer, choices_of
from mixlm.data.layouts.columns import (
    ANSWERS,
    CHATS,
    FIGURE,
    RESPONSES,
    filled_text,
    first_of,
    joined,
    known_columns,
    question_of,
    text_of,
)
from mixlm.data.layouts.traces import (
    given_answer,
    is_chain,
    listed_steps,
    response_beside_chat,
    response_column,
    steps_beside_chat,
    trace_column,
    trace_text,
)
from mixlm.data.reading import RawRow, read_rows
from mixlm.data.texts.marks import marked
from mixlm.data.texts.responses import COLUMN, LONG, WHOLE, Found, read_response, read_tail
from mixlm.data.texts.thoughts import split_thought, thought_in
from mixlm.errors import InputError


Pattern = re.Pattern[str] | None
CheckName = Literal["exact", "number", "math", "maze"]
CHECKED_ROWS = 1000  # of a file are looked at to find out its check
CHECK_NAMES: tuple[CheckName, ...] = get_args(CheckName)
_WIDER: tuple[CheckName, ...] = ("exact", "number", "math")  # each also finds right what those before it do
_LATEX = re.compile(r"\\[a-zA-Z]{2}|^\$[^$]+\$$")
_EQUATIONS = re.compile(r"\s*(?:<<[^<>]*>>[^\S\n]*){2,}\s*")


@dataclass(frozen=True)
class Sample:
    """One problem with its reasoning.

    Attributes:
        question: The question; for a chat its last user turn.
        steps: The reasoning trace; may be empty.
        answer: The final answer.
        messages: Every turn of a chat before the answer, as ``mixlm.data.layouts.chats.turns_of`` has them, or what a
            system column says and the question; None for a plain question.
        columns: The row's own columns.
        from_text: Whether the trace came as one text, whose lines are the steps, and not as a list of them.
        rule: How the answer was found, a key of ``mixlm.data.texts.responses.RULES``.
        whole: Whether ``question`` says all that ``messages`` do.
        where: What error messages call it, such as ``rows.jsonl:17``; "" if it came from no file.
    """

    question: str
    steps: tuple[str, ...]
    answer: str
    messages: tuple[Mapping[str, Any], ...] | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    from_text: bool = False
    rule: str = COLUMN
    whole: bool = False
    where: str = field(default="", compare=False)

    @property
    def check(self) -> CheckName:
        """How answers to it are to be compared.

        As its column ``check`` says. Else "math" of an answer in LaTeX or in a box; "number" of a number found
        in a text, as after "####", beside a response with a box or "####", or beside GSM8K's calculations; "exact" of
        any other.
        """
        told = self.columns.get("check")
        if told in CHECK_NAMES:
            return told
        if self.rule == "boxed" or _LATEX.search(self.answer):
            return "math"
        if not FIGURE.fullmatch(self.answer):
            return "exact"
        in_text = self.rule != COLUMN or any("<<" in step for step in self.steps) or self._in_response
        return "number" if in_text else "exact"

    @property
    def _in_response(self) -> bool:
        """Whether a response of the row marks its answer as mathematics does, which then has a column as well."""
        texts = (str(self.columns.get(name)) for name in (*RESPONSES, *CHATS))
        return any(mark in text for text in texts for mark in ("\\boxed{", "#### "))

    @property
    def needs_chat(self) -> bool:
        """Whether something was asked that only a chat template renders: earlier turns, tools, texts of its own."""
        return not self.whole and (
            len(self.messages or ()) > 1 or bool(self.messages) and tells_template(self.columns)
        )


def to_sample(row: Mapping[str, Any], where: str = "row", pattern: Pattern = None) -> Sample:
    """Read a row of any layout in ``LAYOUTS`` of ``mixlm.data.layouts.columns``; docs/FORMATS.md has all rules.

    Args:
        row: The row; columns that are None count as missing, as Parquet has every column in every row.
        where: What error messages call it.
        pattern: Finds the answer in a response, in place of the marks that are known.

    Raises:
        InputError: If the row fits no layout, or a column has the wrong type.
    """
    columns = known_columns(row)
    if chat_columns(columns):
        return _from_chat(columns, where, pattern)
    asked = _from_question(columns, where)
    if "steps" in columns:
        return replace(asked, steps=listed_steps(columns["steps"], where), **_answer_beside(columns, where, pattern))
    trace = trace_column(columns, where)
    if trace:
        steps = _lines(trace_text(columns, trace, where))
        return replace(asked, steps=steps, from_text=True, **_answer_beside(columns, where, pattern, is_chain(trace)))
    if "steps" in row and not any(name in columns for name in RESPONSES[:-1]):
        where = f"{where}: column 'steps' is null, [] is an empty trace"
    return _with(asked, _response(columns, where, pattern))


def read_question(row: Mapping[str, Any], where: str = "row") -> Sample:
    """Read the question of a row of any layout, as a sample without the rest; an ``InputError`` if it has none."""
    columns = known_columns(row)
    if not chat_columns(columns):
        return _from_question(columns, where)
    turns = turns_of(columns, where)
    return _asked(turns[:-1] if turns[-1]["role"] == "assistant" else turns, columns, where)


def read_samples(source: str | Path, split: str | None = None, pattern: Pattern = None) -> Iterator[Sample]:
    """Yield the samples of ``source``.

    Args:
        source: See ``mixlm.data.reading.open_raw``.
        split: See ``mixlm.data.reading.open_raw``.
        pattern: See ``to_sample``.

    Raises:
        InputError: As ``open_raw`` and ``to_sample``.
    """
    return (replace(to_sample(row, where, pattern), where=where) for where, row in read_rows(source, split))


def widest_check(samples: Iterable[Sample]) -> CheckName:
    """Return the check for rows together: the one that all mean, else the widest that any does, math before number."""
    checks = {sample.check for sample in islice(samples, CHECKED_ROWS)}
    if len(checks) == 1:
        return checks.pop()
    return max(checks & {*_WIDER} or {"exact"}, key=_WIDER.index)


def try_sample(
    row: RawRow | InputError, where: str, skip_bad_rows: bool, pattern: Pattern = None
) -> Sample | InputError:
    """Read a row as ``to_sample`` does, or return its error if bad rows are to be left out.

    Raises:
        InputError: If the row is malformed and is not to be left out.
    """
    try:
        if isinstance(row, InputError):
            raise row
        return replace(to_sample(row, where, pattern), where=where)
    except InputError as error:
        if skip_bad_rows:
            return error
        raise InputError(f"{error}, or leave such rows out with --skip-bad-rows") from None


def _from_question(columns: Mapping[str, Any], where: str) -> Sample:
    """Return the question of a row in columns; what a system column says is a turn before it, and begins its text."""
    question, system = question_of(columns, where)
    refuse_history(columns, question, where)
    if not system:
        return Sample(question, (), "", columns=columns)
    turns = {"role": "system", "content": system}, {"role": "user", "content": question}
    return Sample(joined([system, question]), (), "", turns, columns, whole=True)


def _asked(turns: list[dict[str, Any]], columns: Mapping[str, Any], where: str) -> Sample:
    """Return the question of a chat, given its turns before the answer."""
    question = question_turn(turns, f"{where}: column '{chat_columns(columns)[0]}'")
    return Sample(question, (), "", tuple(turns), columns)


def _from_chat(columns: Mapping[str, Any], where: str, pattern: Pattern) -> Sample:
    *before, last = turns_of(columns, where)
    if last["role"] == "user" and (told := response_beside_chat(columns, where)):  # a chat up to its answer
        before, last = [*before, last], {"role": "assistant", "content": told}
    if last["role"] != "assistant" or not before:
        names = " and ".join(f"'{name}'" for name in chat_columns(columns))
        found = "" if not before else f"; its role is {last['role']!r}"
        raise InputError(f"{where}: {names} must be turns with role and content, the last one the assistant's{found}")
    asked, thought, content = _asked(before, columns, where), thought_of(last, where), last["content"] or ""
    end = f"{where}: column '{chat_columns(columns)[-1]}': the last turn of the chat"
    if not content.strip() and last.get("tool_calls"):
        raise InputError(f"{end} calls a tool and answers nothing; end it with an answer")
    given = None if {*chat_columns(columns)} & {*ANSWERS} else given_answer(columns, where)
    if steps := steps_beside_chat(columns.get("steps")):
        own = thought_in(content) if thought is None else thought
        if own is not None and own.split() != " ".join(steps).split():
            raise InputError(f"{end} thinks otherwise than column 'steps' says; leave one of them out")
        found = _found(content, end, pattern, given, "")
        return replace(asked, steps=steps, answer=found.answer, rule=found.rule)
    if thought is None and thought_in(content) is None and (trace := trace_column(columns, where)):
        thought = trace_text(columns, trace, where)
    return _with(asked, _found(content, end, pattern, given, thought))


def _with(asked: Sample, found: Found) -> Sample:
    """Return a sample with the trace and the answer that a text has."""
    return replace(asked, steps=_lines(found.trace), answer=found.answer, from_text=True, rule=found.rule)


def _found(text: str, where: str, pattern: Pattern, given: str | None, thought: str | None = None) -> Found:
    """Return trace and answer of a text; ``thought`` is the trace where it stands elsewhere."""
    try:
        if thought is None:
            return read_response(text, pattern, given)
        tail = split_thought(text)[1]
        answer, rule = (given, COLUMN) if given is not None and not pattern else read_tail(tail, pattern)
        return Found(thought, answer, rule)
    except ValueError as error:
        raise InputError(f"{where} {error}") from None


def _response(columns: Mapping[str, Any], where: str, pattern: Pattern) -> Found:
    """Return trace and answer of a row whose response has both."""
    alone = next((name for name in ANSWERS if name in columns), None)
    if alone and not any(name in columns for name in RESPONSES):
        raise InputError(
            f"{where}: column '{alone}' has the answer, and no column its trace (it has {', '.join(columns)}); name "
            "that 'steps', 'reasoning' or 'response', or give 'steps' as [] if there is none"
        )
    name = response_column(columns, where) or first_of(columns, RESPONSES, where)
    given = None if name == "answer" else given_answer(columns, where)
    text = text_of(columns, name, where) if given is not None else filled_text(columns, name, where)
    return _found(text, f"{where}: column '{name}'", pattern, given)


def _answer_beside(columns: Mapping[str, Any], where: str, pattern: Pattern, in_text: bool = False) -> dict[str, str]:
    """Return the answer, and the rule that found it, of a row whose trace has a column of its own.

    Args:
        columns: The columns.
        where: What messages call the row.
        pattern: See ``to_sample``.
        in_text: Whether the answer is told as in a response, also where its column has the name of one.
    """
    name = next((name for name in ANSWERS if name in columns), None)
    alone = name is None
    response = response_column(columns, where, alone, alone) if alone or in_text else None
    if response is not None and (name is None or (in_text and response != "answer")):
        text, given = text_of(columns, response, where), given_answer(columns, where)
        found = _found(text, f"{where}: column '{response}'", pattern, given, "")
        if name is None or found.rule not in (WHOLE, LONG):
            return {"answer": found.answer, "rule": found.rule}
    name = name or "answer"
    value = choice_answer(columns.get(name), choices_of(columns, where), where)
    answer = filled_text({**columns, name: value}, name, where)
    if in_text:
        found = _found(answer, f"{where}: column '{name}'", pattern, None, "")
        return {"answer": found.answer, "rule": COLUMN if found.rule in (WHOLE, LONG) else found.rule}
    mark = marked(answer)
    if mark and mark.rule == "hashes":  # a whole solution, as GSM8K has it, for which a trace was written beside
        return {"answer": mark.answer, "rule": mark.rule}
    return {"answer": answer}


def _lines(text: str) -> tuple[str, ...]:
    """Return the lines of a trace that are not blank; of GSM8k-Aug's equations, which are in one, each."""
    if _EQUATIONS.fullmatch(text):
        return tuple(re.findall(r"<<[^<>]*>>", text))
    lines = text.strip().replace("\r\n", "\n").split("\n")
    return tuple(line for line in lines if line.strip())
