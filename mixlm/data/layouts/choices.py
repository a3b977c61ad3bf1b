"""The choices of a question: the forms that they come in, their lines in the question, and which one an answer is."""

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from string import ascii_uppercase
from typing import Any

from mixlm.errors import InputError


CHOICES = ("choices", "options", "answer_choices", "endings")
_COLUMN = re.compile(  # of one choice; an S would make a plural
    r"([A-Z])|(opt(?:ion)?[_ ]?|choice[_ ]?|ending[_ ]?|ans(?:wer)?[_ ]?|op(?=[a-e]$))([A-RT-Z]|[0-9]{1,2})",
    re.IGNORECASE,
)
_NONE = (None, "", False, [], {}, ())
Choices = Sequence[tuple[str, str]]  # label and text of each
_FIRST = {"A", "0", "1"}
_LETTERED = re.compile(r"\(?([A-Za-z])[).:]\s*\S")


def choices_of(row: Mapping[str, Any], where: str) -> Choices:
    """Return label and text of each of a row's choices; none if it has none, or has them as one text.

    They are a list of texts, lettered here unless they begin with their letters, a list of ``label`` and ``text``, an
    object of two such lists, an object with a text for each label, or columns of such names.

    Raises:
        InputError: If they are something else.
    """
    name = next((name for name in CHOICES if row.get(name) not in _NONE), None)
    if name is not None and isinstance(row[name], str):
        return ()
    columns = _in_columns(row, where) if name is None else {}
    if name is None and not columns:
        return ()
    found = _labelled({label: row[column] for label, column in columns.items()} if columns else row[name])
    name = name or next(iter(columns.values()))
    if not found or not all(text.strip() for _, text in found):
        raise InputError(
            f"{where}: column '{name}' holds no choices that can be read; give a list of texts, or "
            "{'label': [..], 'text': [..]}"
        )
    return found


def is_choice(name: str) -> bool:
    """Tell whether a column has the name of one choice, such as A or option_a."""
    return _COLUMN.fullmatch(name) is not None


def is_said(text: str, said: str) -> bool:
    """Tell whether a text stands in another one, and in no longer word of Latin letters."""
    flat = re.escape(" ".join(text.split()))
    return re.search(rf"(?<!\w){flat}(?!\w)", " ".join(said.split()), re.ASCII) is not None


def refuse_untold_choices(row: Mapping[str, Any], where: str, said: str) -> None:
    """Raise an ``InputError`` if a row has choices, in one column or in several, that its chat does not say."""
    for name in (name for name in CHOICES if row.get(name) not in _NONE):
        one, alone = row[name], {name: row[name]}
        texts = [one] if isinstance(one, str) else [text for _, text in choices_of(alone, where)]
        if not all(is_said(text, said) for text in texts):
            raise InputError(
                f"{where}: column '{name}' may belong to the question, which no turn of the chat holds; put it into "
                "one, or rename or remove the column"
            )
    untold = [text for _, text in choices_of(row, where) if not is_said(text, said)]
    if untold:
        raise InputError(
            f"{where}: the choice {untold[0][:30]!r} has a column of its own, and no turn of the chat says it; put "
            "the choices into one, or rename or remove their columns"
        )


def _in_columns(row: Mapping[str, Any], where: str) -> dict[str, str]:
    """Return the columns of choices that have one each, such as A, B, C or option_a, by their labels.

    Small letters alone are such if they are a, b, c and so on, and texts: fewer, or numbers, may be anything.

    Raises:
        InputError: If columns such as answer1, answer2 may be choices, or answers all of which are right.
    """
    kinds: dict[str, dict[str, str]] = {}
    for name in row:
        if match := _COLUMN.fullmatch(name):
            kind = (match[2] or ("a" if name.islower() else "")).lower().strip("_ ")
            kinds.setdefault(kind, {})[(match[1] or match[3]).upper()] = name
    for kind, columns in kinds.items():
        texts = all(isinstance(row[name], str) for name in columns.values())
        small = kind != "a" or (len(columns) > 2 and texts and {*columns} == {*ascii_uppercase[: len(columns)]})
        if len(columns) < 2 or not columns.keys() & _FIRST or not small:  # one column of such a name is something else
            continue
        if kind in ("ans", "answer") and not columns.keys() & {"A", "0"}:
            raise InputError(
                f"{where}: columns {' and '.join(repr(name) for name in columns.values())} may be choices or answers; "
                "name choices 'option1', 'option2' .., and rename or remove answers"
            )
        return dict(sorted(columns.items(), key=lambda column: (len(column[0]), column[0])))
    return {}


def _labelled(value: Any) -> Choices:
    """Return labels and texts of any form of choices; none if it is no form that is known."""
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        texts = value["text"]
        labels = value.get("label") or [*ascii_uppercase[: len(texts)]]
    elif isinstance(value, dict):
        there = {label: text for label, text in value.items() if text is not None}
        labels, texts = [*there], [*there.values()]
    elif isinstance(value, list | tuple) and all(isinstance(one, dict) for one in value):
        labels, texts = [one.get("label") for one in value], [one.get("text") for one in value]
    elif isinstance(value, list | tuple):
        labels, texts = [*ascii_uppercase[: len(value)]], value
    else:
        return ()
    if not isinstance(labels, list | tuple):
        return ()
    plain = all(isinstance(one, str | int | float) for one in (*labels, *texts))
    fit = plain and len(labels) == len(texts)
    return [(str(label), str(text)) for label, text in zip(labels, texts, strict=True)] if fit else ()


def choice_lines(row: Mapping[str, Any], question: str, where: str) -> str:
    """Return a row's choices as lines; empty if there are none, or the question has them."""
    choices = choices_of(row, where)
    if not choices:
        return next((row[name] for name in CHOICES if isinstance(row.get(name), str)), "")
    if all(re.search(rf"\b{re.escape(label)}[).:]+\s*{re.escape(text.strip())}", question) for label, text in choices):
        return ""
    if all((mark := _LETTERED.match(text)) and mark[1].upper() == label for label, text in choices):
        return "\n".join(text.strip() for _, text in choices)
    return "\n".join(f"{label}. {text.strip()}" for label, text in choices)


def choice_answer(answer: Any, choices: Choices, where: str) -> Any:
    """Return an answer that is the place of a choice, counted from 0, as the label of that choice.

    Among labels that are numbers it is such a label; a number that one of the choices is becomes its text. Whatever
    else an answer is stays: a label, the text of a choice, or any text.

    Raises:
        InputError: If it is a number that is no place, a place and also another choice, or no label where labels are
            numbers.
    """
    place, numbers = _place(answer, choices), [_number(text) for _, text in choices]
    if place is None:
        return answer
    if any(label.isdigit() for label, _ in choices):
        if str(place) in {label for label, _ in choices}:
            return place
        if place in numbers:
            return choices[numbers.index(place)][1]
        raise InputError(
            f"{where}: column 'answer' is {place}, and the labels of its choices are other numbers; give one"
        )
    inside, value = 0 <= place < len(choices), place in numbers
    if inside and not (value and numbers[place] != place):
        return choices[place][0]
    if value and not inside:
        return choices[numbers.index(place)][1]
    why = "the place of a choice and the text of another" if inside else f"no place among {len(choices)} choices"
    if place == len(choices):
        why += ", counted from 0; if the file counts from 1, the answers of all its rows are one off"
    raise InputError(f"{where}: column 'answer' is {place}, {why}; give the label of the choice")


def _place(answer: Any, choices: Choices) -> int | None:
    """Return the place that an answer may be: a whole number, also as text that is neither label nor choice."""
    if not choices or isinstance(answer, bool):
        return None
    if isinstance(answer, str):
        known = {text.strip() for choice in choices for text in choice}
        whole = re.fullmatch(r"\s*([0-9]{1,4})(?:\.0)?\s*", answer)
        return int(whole[1]) if whole and answer.strip() not in known else None
    if isinstance(answer, float | Decimal):  # of a column in which some are null, say
        return int(answer) if math.isfinite(answer) and answer == int(answer) else None
    return answer if isinstance(answer, int) else None


def _number(text: str) -> float | None:
    """Return the number that a text is; None if it is none."""
    return float(text) if re.fullmatch(r"\s*[-+]?[0-9]+(?:\.[0-9]*)?\s*", text) else None
