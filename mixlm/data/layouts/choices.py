"""The choices of a question: the forms that they come in, their lines in the question, and which one an answer is."""

import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from mixlm.errors import InputError


CHOICES = ("choices", "options", "answer_choices", "endings")
_COLUMN = re.compile(r"([A-Z])|(?:option_?|choice_?|op(?=[a-e]$))([A-Za-z0-9])")  # of one choice
Choices = Sequence[tuple[str, str]]  # label and text of each
_LETTERED = re.compile(r"\(?([A-Za-z])[).:]\s*\S")


def choices_of(row: Mapping[str, Any], where: str) -> Choices:
    """Return label and text of each of a row's choices; none if it has none, or has them as one text.

    They are a list of texts, lettered here unless they begin with their letters, a list of ``label`` and ``text``, an
    object of two such lists, an object with a text for each label, or columns of such names.

    Raises:
        InputError: If they are something else.
    """
    name = next((name for name in CHOICES if row.get(name) not in (None, "", [], {})), None)
    if name is not None and isinstance(row[name], str):
        return ()
    columns = _in_columns(row) if name is None else {}
    if name is None and len(columns) < 2:  # one column of such a name is something else
        return ()
    found = _labelled(columns or row[name])
    name = name or "A"
    if not found or not all(text.strip() for _, text in found):
        raise InputError(
            f"{where}: column '{name}' holds no choices that can be read; give a list of texts, or "
            "{'label': [..], 'text': [..]}"
        )
    return found


def _in_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the choices that have a column each, such as A, B, C or option_a, by their labels."""
    found = {match: row[name] for name in row if (match := _COLUMN.fullmatch(name))}
    labelled = {(match[1] or match[2]).upper(): value for match, value in found.items()}
    return dict(sorted(labelled.items())) if labelled.keys() & {"A", "0", "1"} else {}


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

    Among labels that are numbers it is such a label. Whatever else an answer is stays: a label, the text of a choice,
    or any text.

    Raises:
        InputError: If it is a number that is no place, a place and also the text of another choice, or no label where
            labels are numbers.
    """
    place, texts = _place(answer, choices), [text.strip() for _, text in choices]
    if place is None:
        return answer
    if any(label.isdigit() for label, _ in choices):
        if str(place) in texts or str(place) in {label for label, _ in choices}:
            return answer
        raise InputError(
            f"{where}: column 'answer' is {place}, and the labels of its choices are other numbers; give one"
        )
    inside, value = 0 <= place < len(choices), str(place) in texts
    if inside and not (value and texts[place] != str(place)):
        return choices[place][0]
    if value and not inside:
        return answer
    why = "the place of a choice and the text of another" if inside else f"no place among {len(choices)} choices"
    raise InputError(f"{where}: column 'answer' is {place}, {why}; give the label of the choice")


def _place(answer: Any, choices: Choices) -> int | None:
    """Return the place that an answer may be: a whole number, also as text that is neither label nor choice."""
    if not choices or isinstance(answer, bool):
        return None
    if isinstance(answer, float) and answer.is_integer():  # of a column in which some are null
        return int(answer)
    if isinstance(answer, str) and re.fullmatch(r"\s*[0-9]{1,4}\s*", answer):
        known = {text.strip() for choice in choices for text in choice}
        return None if answer.strip() in known else int(answer)
    return answer if isinstance(answer, int) else None
