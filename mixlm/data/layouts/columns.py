"""The columns that rows have by custom, and how those that belong to a question are joined to it."""

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from mixlm.data.layouts.choices import CHOICES, choice_lines, is_choice, is_said
from mixlm.data.texts.sentences import UNPARTED
from mixlm.data.values import is_missing
from mixlm.errors import InputError


LAYOUTS = (
    "question + steps (a list) or reasoning (a string) + answer; "
    "question + response that marks its answer (</think>, '#### N', 'The answer is: N', \\boxed{N}); "
    "messages or conversations; prompt + completion"
)
QUESTIONS = ("question", "query", "prompt", "problem", "instruction")
TRACES = ("reasoning", "reasoning_content", "thinking", "rationale")
CHAINS = ("cot", "complex_cot", "chain_of_thought", "thought", "thoughts", "rationales")  # traces beside full answers
RESPONSES = ("response", "completion", "solution", "generated_solution", "output", "answer")
ANSWERS = ("answer", "final_answer", "expected_answer", "answerkey")
CHATS = ("messages", "conversations", "conversation")
SYSTEMS = ("system", "system_prompt")
_BEFORE = (
    *("context", "contexts", "passage", "passages", "article", "document", "paragraph", "paragraphs"),
    *("background", "situation", "story", "narrative", "body", "facts", "premise", "premises", "hypothesis"),
    *("evidence", "supports"),
    *("theory", "sql_context", "problem_statement", "pre_text", "post_text"),
)
_JOINED = (*SYSTEMS, *_BEFORE, "input", *CHOICES)
_NO_INPUT = "<noinput>"  # in Alpaca's kin
# where a mere word names a kind
_NAMING = ("code", "rules", "scenario", "schema", "support", "knowledge", "text", "answers")
_UNREAD = {
    **dict.fromkeys(("image", "images", "picture", "audio", "audios", "video", "videos"), "which is no text"),
    **dict.fromkeys(("hint", "hints", "examples", "table", "documents", "starter_code"), "which is read nowhere"),
    **dict.fromkeys(("history", "chat_history", "dialogue"), "which is read nowhere; give the turns as 'messages'"),
    "tools": "which only a chat has; give the question as 'messages'",
    "functions": "which only a chat has; give the question as 'messages', and name them 'tools'",
    **dict.fromkeys(_NAMING, "which is read nowhere"),
    "answers": "or be right answers, all of them; name choices 'choices'",
}
# names that mean another beside one of some columns, where no response or answer is there
_ALIASES = {"content": ("response", TRACES), "correct": ("answer", CHOICES)}
_CHOICES = ("candidates", "choice", "option")  # which choices are called where the answer is one of them
FIGURE = re.compile(r"[-+−]?\s*\$?\s*\d[\d,]*(?:\.\d*)?(?:\s?/\s?\d+)?\s*%?\.?")
"""An answer that is a number and nothing else."""
_NOTHING = ("[]", "{}", "null")
_EMPTY = (None, "", False, [], {}, ())
_WORD = re.compile(rf"\s*[^\s{UNPARTED}]*\s*")  # or a path; but for scripts without spaces
KNOWN = frozenset((*QUESTIONS, *TRACES, *CHAINS, *RESPONSES, *ANSWERS, *CHATS, *_JOINED, "steps"))
"""Columns that become part of a sample; all others are kept beside it as they are."""


def known_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a row that have a value, those that are known under the names they have here.

    Columns that are null count as missing, as Parquet has every column in every row, and so does NaN, which is what
    tables of numbers have in their place. Capitals make no difference: "Question" is the question.
    """
    found = {name: value for name, value in row.items() if not is_missing(value)}
    for name in [*found]:
        lower = name.lower()
        if lower not in found and (lower in KNOWN or lower in _UNREAD or lower in _ALIASES or lower in _CHOICES):
            found[lower] = found.pop(name)
    for name in _UNREAD:  # an empty list that is written as JSON in a text
        if isinstance(found.get(name), str) and found[name].strip() in _NOTHING:
            del found[name]
    for name in _CHOICES:
        value = found.get(name)
        if not found.keys() & {*CHOICES, *CHATS} and _are_choices(value, found) and not _are_figures(value):
            found["choices"] = found.pop(name)
    for name, (meant, beside) in _ALIASES.items():
        there = any(not is_word(found.get(one)) for one in beside)
        value = found.get(name)
        place = meant == "answer" and isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        if (isinstance(value, str) or place) and there and not found.keys() & {*RESPONSES, *ANSWERS}:
            found[meant] = found.pop(name)
    return found


def _are_choices(value: Any, row: Mapping[str, Any]) -> bool:
    """Tell whether a list is of texts to choose from, of which a row's answer is one, and no other is in the row."""
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) and text.strip() for text in value):
        return False
    texts = {text.strip() for text in value}
    differ = len(texts) == len(value) > 1 and max(map(len, texts)) > 1  # as neither drawn answers nor labels do
    asked = any(isinstance(row.get(name), str) for name in (*QUESTIONS, "input"))
    others = sum(map(is_choice, row)) > 1
    return differ and asked and not others and any(str(row[name]).strip() in texts for name in ANSWERS if name in row)


def _are_figures(texts: Sequence[str]) -> bool:
    """Tell whether all texts are numbers, as answers are that were drawn several times, but choices may be, too."""
    return all(FIGURE.fullmatch(text.strip()) for text in texts)


def first_of(row: Mapping[str, Any], names: Sequence[str], where: str) -> str:
    """Return the first of ``names`` that a row has; an ``InputError`` if it has none."""
    found = next((name for name in names if name in row), None)
    if found is None:
        has = ", ".join(row) or "none"
        raise InputError(
            f"{where}: no column {' or '.join(names)} (it has {has}); accepted: {LAYOUTS}; rename yours to such ones"
        )
    return found


def text_of(row: Mapping[str, Any], name: str, where: str) -> str:
    """Return a column as text; numbers and booleans are written out.

    Raises:
        InputError: If it is missing, or something else.
    """
    value = row.get(name)
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if not isinstance(value, str):
        if value is None:
            raise InputError(
                f"{where}: column '{name}' is missing (null, NaN or not there), not text; accepted: {LAYOUTS}"
            )
        kind = str(value) if isinstance(value, float) else f"a {type(value).__name__}"
        raise InputError(f"{where}: column '{name}' is {kind}, not text; write it as text")
    return value


def filled_text(row: Mapping[str, Any], name: str, where: str) -> str:
    """Return a column as ``text_of`` does; an ``InputError`` if it is blank."""
    text = text_of(row, name, where)
    if not text.strip():
        raise InputError(f"{where}: column '{name}' is empty; complete the row or leave it out")
    return text


def question_of(row: Mapping[str, Any], where: str) -> tuple[str, str]:
    """Return the question of a row with all that belongs to it, and what its system column says, or nothing.

    Parts are joined by a blank line, in this order: an instruction beside another question, context, the question
    itself, input, and choices, a line each, which are lettered unless they are so already.

    Raises:
        InputError: If there is no question, two columns may be it, or a column that may change it is read nowhere.
    """
    name = _question_column(row, where)
    question = filled_text(row, name, where)
    refuse_unread(row, where, question)
    _refuse_drawn(row, where)
    before = [text for column in _BEFORE if (text := _untold(_material(row, column, where), question))]
    if name != "instruction" and "instruction" in row:
        before.insert(0, _untold(text_of(row, "instruction", where), question))
    after = [_untold(_material(row, "input", where), question)] if name != "input" else []
    after.append(choice_lines(row, question, where))
    return joined([*before, question, *after]), system_of(row, where)


def _refuse_drawn(row: Mapping[str, Any], where: str) -> None:
    """Raise an ``InputError`` if a column holds figures of which nobody can tell whether they are choices."""
    name = next((name for name in _CHOICES if not row.keys() & {*CHOICES} and _are_choices(row.get(name), row)), None)
    if name is not None:
        raise InputError(
            f"{where}: column '{name}' may be choices or answers that were drawn; name choices 'choices', and rename "
            "or remove answers"
        )


def _untold(part: str, question: str) -> str:
    """Return a part of a question, or nothing where the question has the same lines."""
    lines, told = (
        "\n".join(["", *(" ".join(line.split()) for line in text.splitlines()), ""]) for text in (part, question)
    )
    return "" if lines.strip() and lines in told else part


def joined(parts: Sequence[str]) -> str:
    """Return parts with blank lines between them; one alone stays as it is."""
    there = [part for part in parts if part.strip()]
    return there[0] if len(there) == 1 else "\n\n".join(part.strip() for part in there)


def _question_column(row: Mapping[str, Any], where: str) -> str:
    """Return the name of the column that is the question."""
    asks = [name for name in QUESTIONS if name in row]
    if "input" in row and (not asks or asks == ["instruction"] and is_blank(row["instruction"])):
        return "input"
    name = first_of(row, QUESTIONS, where)
    for other in QUESTIONS[:-1]:  # an instruction is joined
        if other != name and other in row and row[other] != row[name]:
            raise InputError(
                f"{where}: columns '{name}' and '{other}' may both be the question, and differ; rename or remove the "
                "one that is not, or name it 'context' if it belongs to the question"
            )
    return name


def system_of(row: Mapping[str, Any], where: str) -> str:
    """Return what the system column of a row says; empty if there is none."""
    texts = {text for name in SYSTEMS if (text := _material(row, name, where))}
    if len(texts) > 1:
        raise InputError(f"{where}: columns 'system' and 'system_prompt' differ; remove one of them")
    return next(iter(texts), "")


def _material(row: Mapping[str, Any], name: str, where: str) -> str:
    """Return a column that belongs to the question as text, that of a list with blank lines; empty if it is not there.

    Raises:
        InputError: If it is neither.
    """
    value = row.get(name)
    if value is None or (isinstance(value, list | tuple | dict) and not value):
        return ""
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return "\n\n".join(one.strip() for one in value)
    text = text_of(row, name, where)
    return text if text.strip() not in ("", _NO_INPUT) else ""


def is_blank(value: Any) -> bool:
    """Tell whether a value is a text without words."""
    return isinstance(value, str) and not value.strip()


def refuse_unread(row: Mapping[str, Any], where: str, said: str, chat: bool = False) -> None:
    """Raise an ``InputError`` if a row has a column that may change its question and that nothing reads.

    Args:
        row: The row.
        where: What messages call it.
        said: Its question, or what the turns of its chat say; what stands there as well is not lost.
        chat: Whether those turns are all of the question. Then columns that would be joined to one are such, too, and
            tools are read.
    """
    joined = dict.fromkeys((*_BEFORE, "input"), "which no turn of the chat holds; put it into one")
    for name, why in {**_UNREAD, **(joined if chat else {})}.items():
        if (chat and name == "tools") or _says_nothing(name, row.get(name)):
            continue
        value, flat = row[name], " ".join(said.split())
        text, listed = " ".join(str(value).split()), chat and isinstance(value, list | tuple)
        told = text in flat or (listed and all(is_said(str(one), said) for one in value))
        if (chat or name in _NAMING) and told or name == "text" and (chat or flat in text):
            continue  # told already, or all of the row written out
        remedy = "" if ";" in why else f"; put what it says into {'a turn' if chat else repr('context')}"
        raise InputError(
            f"{where}: column '{name}' may belong to the question, {why}{remedy}, or rename or remove the column "
            "where it does not"
        )


def is_unread(name: str, value: Any) -> bool:
    """Tell whether a column or field may belong to a question, and nothing reads one of its name."""
    return name in _UNREAD and not _says_nothing(name, value)


def _says_nothing(name: str, value: Any) -> bool:
    if name == "answers":  # a list of texts may be choices, and anything else none
        return not (isinstance(value, list | tuple) and len({one for one in value if isinstance(one, str)}) > 1)
    return is_word(value) if name in _NAMING else value in _EMPTY


def is_word(value: Any) -> bool:
    """Tell whether a value is no text of words, nor a list or object: a number, a date, a flag, a name, or nothing."""
    if isinstance(value, str):
        return _WORD.fullmatch(value) is not None
    return not value or not isinstance(value, list | tuple | Mapping)
