"""From a row of any accepted layout to a sample: question, steps, answer."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixlm.data.reading import RawRow, read_rows
from mixlm.errors import InputError


LAYOUTS = (
    "question + steps (a list) or reasoning (a string) + answer; "
    "question + answer that ends in '#### N'; query + response; messages; "
    "question + response with <think> .. </think>"
)
QUESTIONS = ("question", "query", "prompt", "problem", "instruction")
RESPONSES = ("response", "completion", "solution", "output", "answer")
_THINK = re.compile(r"<think>(.*?)</think>", re.DOTALL)
_META_MATH = re.compile(r"(.*)\n?The answer is:?\s*(.+?)\s*$", re.DOTALL)
_LAST_MARK = re.compile(r"\n?####[^\n]*\s*$")


@dataclass(frozen=True)
class Sample:
    """One problem with its reasoning.

    Attributes:
        question: The question; for a chat its last user turn.
        steps: The reasoning trace; may be empty.
        answer: The final answer.
        messages: Every turn of a chat before the answer; None for a plain question.
        columns: The row's own columns.
        from_text: Whether the trace came as one text, whose lines are the steps, and not as a list of them.
    """

    question: str
    steps: tuple[str, ...]
    answer: str
    messages: tuple[Mapping[str, str], ...] | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    from_text: bool = False


def to_sample(row: Mapping[str, Any], where: str = "row") -> Sample:
    """Read a row of any layout in ``LAYOUTS``.

    Args:
        row: The row; columns that are None count as missing, as Parquet has every column in every row.
        where: What error messages call it.

    Raises:
        InputError: If the row fits no layout, or a column has the wrong type.
    """
    row = {name: value for name, value in row.items() if value is not None}
    if "messages" in row:
        return _from_messages(row, where)
    question = _text(row, _first(row, QUESTIONS, where), where)
    if "steps" in row:
        steps = row["steps"]
        if not isinstance(steps, list | tuple) or not all(isinstance(step, str) for step in steps):
            raise InputError(f"{where}: 'steps' is no list of strings; give a list, or one string as 'reasoning'")
        return Sample(question, tuple(steps), _text(row, "answer", where), columns=row)
    if "reasoning" in row:
        steps = _lines(_text(row, "reasoning", where))
        return Sample(question, steps, _text(row, "answer", where), columns=row, from_text=True)
    response = _text(row, _first(row, RESPONSES, where), where)
    steps, answer = _split_response(response, where)
    return Sample(question, steps, answer, columns=row, from_text=True)


def read_samples(source: str | Path, split: str = "train") -> Iterator[Sample]:
    """Yield the samples of ``source``.

    Args:
        source: See ``mixlm.data.reading.open_raw``.
        split: See ``mixlm.data.reading.open_raw``.

    Raises:
        InputError: As ``open_raw`` and ``to_sample``.
    """
    return (to_sample(row, where) for where, row in read_rows(source, split))


def try_sample(row: RawRow | InputError, where: str, skip_bad_rows: bool) -> Sample | InputError:
    """Read a row as ``to_sample`` does, or return its error if bad rows are to be left out.

    Raises:
        InputError: If the row is malformed and is not to be left out.
    """
    try:
        if isinstance(row, InputError):
            raise row
        return to_sample(row, where)
    except InputError as error:
        if skip_bad_rows:
            return error
        raise InputError(f"{error}, or leave such rows out with --skip-bad-rows") from None


def _first(row: Mapping[str, Any], names: tuple[str, ...], where: str) -> str:
    found = next((name for name in names if name in row), None)
    if found is None:
        raise InputError(
            f"{where}: no column {' or '.join(names)} (it has {', '.join(row) or 'none'}); accepted: {LAYOUTS}"
        )
    return found


def _text(row: Mapping[str, Any], name: str, where: str) -> str:
    """Return a column as text; numbers and booleans are written out."""
    value = row.get(name)
    if isinstance(value, bool | int | float):
        return str(value)
    if not isinstance(value, str):
        kind = "missing" if value is None else f"a {type(value).__name__}"
        raise InputError(f"{where}: column '{name}' is {kind}, not text; accepted: {LAYOUTS}")
    return value


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line for line in text.strip().split("\n") if line.strip())


def _split_response(response: str, where: str) -> tuple[tuple[str, ...], str]:
    """Split a response into steps and final answer by whichever mark it has."""
    if thought := _THINK.search(response):
        return _lines(thought[1]), response[thought.end() :].strip()
    found = _META_MATH.fullmatch(response)
    if found and "####" not in found[2]:  # where both marks stand, as in MetaMathQA, the last one counts
        return _lines(_LAST_MARK.sub("", found[1])), found[2]
    if "####" in response:
        trace, _, answer = response.rpartition("####")
        return _lines(trace), answer.strip()
    raise InputError(
        f"{where}: the response has no trace: no <think> .. </think>, no '#### N', no 'The answer is: N'; "
        "give the trace as 'steps' or 'reasoning' and the result as 'answer'"
    )


def _from_messages(row: Mapping[str, Any], where: str) -> Sample:
    messages = row["messages"]
    well_formed = isinstance(messages, list | tuple) and all(
        isinstance(turn, Mapping) and isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)
        for turn in messages
    )
    if not well_formed or len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise InputError(f"{where}: 'messages' must be turns with role and content, the last one the assistant's")
    *before, last = messages
    question = next((turn["content"] for turn in reversed(before) if turn["role"] == "user"), None)
    if question is None:
        raise InputError(f"{where}: 'messages' has no user turn; give the question as a turn with role 'user'")
    thought = last.get("reasoning_content") or last.get("thinking")
    if thought and not isinstance(thought, str):
        raise InputError(f"{where}: the reasoning of the last turn is a {type(thought).__name__}; give it as text")
    if thought:
        steps, answer = _lines(thought), last["content"].strip()
    else:
        steps, answer = _split_response(last["content"], where)
    turns = tuple({"role": turn["role"], "content": turn["content"]} for turn in before)
    return Sample(question, steps, answer, turns, row, from_text=True)
