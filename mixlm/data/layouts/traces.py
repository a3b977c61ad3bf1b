"""The column that holds a row's trace, and what a response beside it reasons itself."""

from collections.abc import Mapping
from typing import Any

from mixlm.data.layouts.chats import chat_columns
from mixlm.data.layouts.columns import RESPONSES, TRACES, text_of
from mixlm.data.responses import split_thought
from mixlm.errors import InputError


def trace_column(columns: Mapping[str, Any], where: str, said: str | None = None) -> str | None:
    """Return the column that holds the trace, if there is one; a blank one beside a response is none.

    Args:
        columns: The row.
        where: What messages call it.
        said: What a chat's last turn reasons itself; None: nothing, or there is no chat.

    Raises:
        InputError: If a response reasons before a closing tag, and says something else than the column.
    """
    response = next((name for name in RESPONSES[:-1] if name in columns), None)
    beside = said is not None or response is not None or bool(chat_columns(columns))
    name = next((one for one in TRACES if one in columns and not (beside and _is_blank(columns[one]))), None)
    if name is None:
        return None
    if response and not chat_columns(columns):
        said = thought_in(text_of(columns, response, where), f"{where}: column '{response}'")
    own = trace_text(columns, name, where)
    if said is not None and said.strip() and said.split() != own.split():
        raise InputError(
            f"{where}: column '{name}' ({own.strip()[:30]!r}) is not what the response reasons before its closing "
            "tag; remove or rename the one that is not the trace"
        )
    return name


def trace_text(columns: Mapping[str, Any], name: str, where: str) -> str:
    """Return a trace as text, without tags that are all around it."""
    text = text_of(columns, name, where)
    thought = thought_in(text, f"{where}: column '{name}'")
    return text if thought is None or split_thought(text)[1].strip() else thought


def _is_blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()


def thought_in(text: str, where: str) -> str | None:
    """Return what a text reasons before a closing tag, None if it has none; an ``InputError`` if one stays open."""
    try:
        return split_thought(text)[0]
    except ValueError as error:
        raise InputError(f"{where} {error}") from None
