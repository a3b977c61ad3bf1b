"""The column that holds a row's trace, and what a response beside it reasons itself."""

import re
from collections.abc import Mapping
from typing import Any

from mixlm.data.layouts.chats import chat_columns
from mixlm.data.layouts.columns import ANSWERS, RESPONSES, TRACES, text_of
from mixlm.data.responses import split_thought
from mixlm.errors import InputError


_FLAG = re.compile(r"\s*[\w/+-]{0,12}\s*", re.ASCII)  # a word that turns reasoning on or off, or nothing


def trace_column(columns: Mapping[str, Any], where: str) -> str | None:
    """Return the column that holds the trace, if there is one.

    Beside a chat or a response, which may have the trace themselves, one that is blank, a flag or no text is none.

    Raises:
        InputError: If a response that the answer is read from reasons before a closing tag, and says something else
            than the column.
    """
    response = next((name for name in RESPONSES[:-1] if isinstance(columns.get(name), str)), None)
    beside = response is not None or bool(chat_columns(columns))
    name = next((one for one in TRACES if one in columns and not (beside and _says_nothing(columns[one]))), None)
    if name is None or response is None or chat_columns(columns) or any(one in columns for one in ANSWERS):
        return name
    said, own = thought_in(columns[response]), trace_text(columns, name, where)
    if said is not None and said.strip() and said.split() != own.split():
        raise InputError(
            f"{where}: column '{name}' ({own.strip()[:30]!r}) is not what '{response}' reasons before its closing "
            "tag; remove or rename the one that is not the trace"
        )
    return name


def trace_text(columns: Mapping[str, Any], name: str, where: str) -> str:
    """Return a trace as text, without tags that are all around it."""
    text = text_of(columns, name, where)
    thought = thought_in(text)
    return text if thought is None or split_thought(text)[1].strip() else thought


def thought_in(text: str) -> str | None:
    """Return what a text reasons before a closing tag; None if nothing is closed there."""
    try:
        return split_thought(text)[0]
    except ValueError:
        return None


def _says_nothing(value: Any) -> bool:
    return not isinstance(value, str) or _FLAG.fullmatch(value) is not None
