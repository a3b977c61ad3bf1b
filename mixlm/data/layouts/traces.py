"""The column that holds a row's trace, as a list of steps or a text, and what a response beside it reasons itself."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from mixlm.data.layouts.chats import chat_columns
from mixlm.data.layouts.choices import choice_answer, choices_of
from mixlm.data.layouts.columns import ANSWERS, CHAINS, RESPONSES, TRACES, is_blank, is_word, text_of
from mixlm.data.texts.marks import before_mark, marked
from mixlm.data.texts.responses import is_same
from mixlm.data.texts.thoughts import split_thought, thought_in
from mixlm.errors import InputError


_TRAJECTORY = re.compile(r"(?:\w+_)?thinking_trajector(?:y|ies)", re.IGNORECASE)
_EXPLANATION = "explanation"
_FLAG = re.compile(r"\s*[\w/+-]{0,12}\s*", re.ASCII)  # a word that turns reasoning on or off, or nothing


def trace_column(columns: Mapping[str, Any], where: str) -> str | None:
    """Return the column that holds the trace, if there is one.

    Beside a chat or a response, which may have the trace themselves, one that is blank, a flag or no text is none; of
    the names in ``CHAINS`` and s1K's trajectories such a one is none anywhere. An explanation is a trace where there
    is no other, nor a text that may have one.

    Raises:
        InputError: If a response that the answer is read from reasons before a closing tag, and says something else
            than the column, or two columns may be the trace.
    """
    chat = bool(chat_columns(columns))
    responds = any(isinstance(columns.get(one), str) for one in RESPONSES if one != "answer")
    name = _column(columns, chat or responds, where)
    given = not is_chain(name) and any(one in columns for one in ANSWERS)
    if name is None or chat or given:
        return name
    beside = response_column(columns, where, decides=not any(one in columns for one in ANSWERS))
    if not isinstance(columns.get(beside), str) or (beside == "answer" and not is_chain(name)):
        return name
    said, own = thought_in(columns[beside]), trace_text(columns, name, where)
    if said is not None and said.strip() and said.split() != own.split():
        raise InputError(
            f"{where}: column '{name}' ({own.strip()[:30]!r}) is not what '{beside}' reasons before its closing "
            "tag; remove or rename the one that is not the trace"
        )
    return name


def response_column(columns: Mapping[str, Any], where: str, decides: bool = True, words: bool = False) -> str | None:
    """Return the column that holds the response: of several the only one that reasons before a tag or says the answer.

    Args:
        columns: The columns.
        where: What messages call the row.
        decides: Whether it is the trace or the answer of the row; else of several none may be the one.
        words: Whether a word is a response, too, where the trace stands elsewhere.

    Raises:
        InputError: If none or several do, they say different things, and one of them decides.
    """
    names = [name for name in RESPONSES if name in columns]
    texts = [name for name in names if name != "answer" and isinstance(columns[name], str)]
    told = [name for name in texts if not is_blank(columns[name]) and (words or not is_word(columns[name]))]
    if len({" ".join(columns[name].split()) for name in told}) < 2:
        return next(iter(told or names), None)
    answer = given_answer(columns, where)
    thinking = [name for name in told if thought_in(columns[name]) is not None]
    found = thinking if len(thinking) == 1 else [name for name in told if _says(columns[name], answer)]
    if len(found) == 1 or not decides:
        return found[0] if len(found) == 1 else None
    raise InputError(
        f"{where}: columns {' and '.join(repr(name) for name in thinking or told)} may all be the response, and "
        "differ; rename or remove all but one"
    )


def given_answer(columns: Mapping[str, Any], where: str) -> str | None:
    """Return the answer that a row has beside a response; None if there is none, or only in a solution of its own."""
    name = next((name for name in ANSWERS if isinstance(columns.get(name), str | int | float | Decimal)), None)
    if name is None:
        return None
    answer = text_of({name: choice_answer(columns[name], choices_of(columns, where), where)}, name, where).strip()
    mark = marked(answer)
    if mark or "\n" in answer:
        return mark.answer if mark else None
    return answer or None


def _says(text: str, answer: str | None) -> bool:
    """Tell whether a text marks an answer, that of the row if it is known, or ends with that."""
    mark = marked(text)
    if answer is None:
        return mark is not None
    if mark is None:
        return re.search(rf"(?<![\w.]){re.escape(answer)}[\s.]*\Z", text) is not None
    return is_same(mark.answer, answer)


def response_beside_chat(columns: Mapping[str, Any], where: str) -> str | None:
    """Return the response beside a chat that ends with the user; an answer without a trace is none."""
    name = response_column(columns, where)
    text = columns.get(name)
    if name != "answer" or columns.get("steps") or trace_column(columns, where):
        return text if isinstance(text, str) else None
    return text if isinstance(text, str) and (marked(text) or thought_in(text) is not None) else None


def is_chain(name: str | None) -> bool:
    """Tell whether a column that holds the trace is one beside which the answer is told as in a response."""
    return name is not None and name not in TRACES


def _column(columns: Mapping[str, Any], beside: bool, where: str) -> str | None:
    """Return the column that holds the trace, given whether a chat or a response stands beside it."""
    name = next((one for one in TRACES if one in columns and not (beside and _says_nothing(columns[one]))), None)
    if name is not None and not is_blank(columns[name]):
        return name
    return _chain(columns, where) or name or (None if beside else _explanation(columns))


def _chain(columns: Mapping[str, Any], where: str) -> str | None:
    """Return the column of a chain of thought; an ``InputError`` if there are several, and differ."""
    names = [name for name in columns if name in CHAINS or _TRAJECTORY.fullmatch(name)]
    names = [name for name in names if _several(columns[name]) or not _says_nothing(_only(columns[name]))]
    if len({" ".join(trace_text(columns, name, where).split()) for name in names}) > 1:
        raise InputError(
            f"{where}: columns {' and '.join(repr(name) for name in names)} may be the trace, and differ; rename or "
            "remove all but one"
        )
    return names[0] if names else None


def _explanation(columns: Mapping[str, Any]) -> str | None:
    """Return the column that explains an answer, if that is one line and has no reasoning of its own."""
    name = next((one for one in columns if one.lower() == _EXPLANATION), None)
    if name is None or not isinstance(columns[name], str) or is_word(columns[name]):
        return None
    answer = str(next((columns[one] for one in ANSWERS if one in columns), ""))
    mark = marked(answer)
    alone = answer.strip() and not (before_mark(answer, mark).strip() if mark else "\n" in answer.strip())
    return name if alone and thought_in(answer) is None else None


def trace_text(columns: Mapping[str, Any], name: str, where: str) -> str:
    """Return a trace as text, without tags that are all around it.

    Raises:
        InputError: If it is no text, nor the only one of a list.
    """
    if is_chain(name) and _several(columns[name]):
        raise InputError(
            f"{where}: column '{name}' is several texts; name it 'steps' if they are steps, or give one as 'reasoning'"
        )
    text = text_of({name: _only(columns[name]) if is_chain(name) else columns[name]}, name, where)
    thought = thought_in(text)
    return text if thought is None or split_thought(text)[1].strip() else thought


def listed_steps(steps: Any, where: str) -> tuple[str, ...]:
    """Return a list of steps; those without text are none."""
    if not isinstance(steps, list | tuple):
        raise InputError(f"{where}: 'steps' is no list of strings; give a list, or one string as 'reasoning'")
    if odd := next((place for place, step in enumerate(steps, 1) if not isinstance(step, str)), None):
        kind = type(steps[odd - 1]).__name__.replace("NoneType", "null")
        raise InputError(f"{where}: 'steps' is no list of strings: step {odd} is {kind}; write it as text")
    return tuple(step for step in steps if step.strip())


def steps_beside_chat(steps: Any) -> tuple[str, ...]:
    """Return steps beside a chat, where any list may have that name; none if they are not texts."""
    texts = isinstance(steps, list | tuple) and all(isinstance(step, str) for step in steps)
    return tuple(step for step in steps if step.strip()) if texts else ()


def _several(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 1 and all(isinstance(one, str) for one in value)


def _only(value: Any) -> Any:
    """Return the only value of a list, as s1K has its traces; anything else as it is."""
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


def _says_nothing(value: Any) -> bool:
    return not isinstance(value, str) or _FLAG.fullmatch(value) is not None
