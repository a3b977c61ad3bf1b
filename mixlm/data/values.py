"""JSON as rows hold it: what no later part could take is marked where it is read."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mixlm.errors import InputError


DEEPEST = 100  # lists and objects within each other; at some hundreds Python gives up
_MARKS = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)  # brackets, and strings that may hold some
_MOST_DIGITS = 4300  # of a whole number, as Python has it


@dataclass(frozen=True)
class Unreadable:
    """Stands in the place of a value that cannot be read.

    Attributes:
        reason: What is the matter, and the remedy.
    """

    reason: str


def parse_json(text: str) -> Any:
    """Read JSON; a value that cannot be read, within one that can, is ``Unreadable``.

    Raises:
        json.JSONDecodeError: If the text is no JSON.
    """
    try:
        return _loaded(text)
    except RecursionError:  # what is left of it is nested too deep still, by a little
        return _loaded(_cut_below(text, DEEPEST + 2))


def read_json(text: str) -> Any:
    """Read JSON all of which can be read.

    Raises:
        ValueError: If it is none, or a value within it cannot be read.
    """
    value = parse_json(text)
    if reason := next(ailments(value), None):
        raise ValueError(f"holds {reason}")
    return value


def _loaded(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object, parse_int=_integer)


def _cut_below(text: str, depth: int) -> str:
    """Return JSON without all that lies more than ``depth`` lists and objects deep.

    >>> _cut_below('[{"a": [[1]], "]": "["}]', 2)
    '[{"a": [], "]": "["}]'
    """
    kept, within, start = [], 0, 0
    for mark in _MARKS.finditer(text):
        letter = text[mark.start()]
        if letter in "[{":
            within += 1
            if within == depth + 1:
                kept.append(text[start : mark.end()])
        elif letter in "]}":
            if within == depth + 1:
                start = mark.start()
            within -= 1
    return "".join([*kept, text[start:] if within <= depth else ""])


def depth_of(text: str) -> int:
    """Return how many lists and objects of JSON are within each other."""
    deepest = within = 0
    for mark in _MARKS.finditer(text):
        letter = text[mark.start()]
        within += (letter in "[{") - (letter in "]}")
        deepest = max(deepest, within)
    return deepest


def _integer(text: str) -> int | Unreadable:
    digits = len(text.removeprefix("-"))
    if digits <= _MOST_DIGITS:
        return int(text)
    return Unreadable(f"a whole number of {digits} digits, {_MOST_DIGITS} are the most; write it as text")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = {name: Unreadable("there twice; keep one of the two") for name in made if names.count(name) > 1}
        made |= twice
    return made


def as_row(value: Any, where: str) -> dict[str, Any] | InputError:
    """Return a value of JSON if it is an object that can be read, else the error."""
    if not isinstance(value, dict):
        hint = "; a file that is one list of objects is named .json" if isinstance(value, list) else ""
        example = "each row is an object such as {'question': .., 'steps': ..}"
        return InputError(f"{where}: is no JSON object; {example}{hint}")
    reason = ailment(value)
    return InputError(f"{where}: {reason}") if reason else value


def ailment(row: dict[str, Any]) -> str | None:
    """Return what is wrong with the first value of a row that nothing could take, and its column; None if all is well.

    >>> ailment({"question": "half an emoji \\ud83d"})
    "column 'question' is no text: it holds \\\\ud83d, half of a character; write the whole character"
    """
    for name, value in row.items():
        if not is_text(name) or "\0" in name:
            return f"the name of column {name!a} is no text that a table can hold; rename or remove the column"
        reason = next(ailments(value), None)
        if reason:
            return f"column '{name}' is {reason}"
    return None


def ailments(value: Any) -> Iterator[str]:
    """Yield what is wrong with a value and those within it, without recursion."""
    waiting = [(value, 1)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, Unreadable):
            yield value.reason
        elif isinstance(value, str):
            if not is_text(value):
                half = next(letter for letter in value if not is_text(letter))
                yield f"no text: it holds \\u{ord(half):x}, half of a character; write the whole character"
        elif isinstance(value, dict | list):
            if depth > DEEPEST:
                yield f"nested too deep; {DEEPEST} lists and objects within each other are the most"
                return
            inner = [*value, *value.values()] if isinstance(value, dict) else value
            waiting += [(one, depth + 1) for one in inner]


def is_text(text: str) -> bool:
    """Tell whether a text can be written as UTF-8: it has no half of a surrogate pair."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def is_missing(value: Any) -> bool:
    """Tell whether a column has no value: null, or what tables of numbers have in its place, NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))
