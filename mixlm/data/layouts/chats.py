"""Chats in the forms that they are published in: which columns hold them, and their turns."""

from collections.abc import Mapping, Sequence
from typing import Any

from mixlm.data.layouts.choices import refuse_untold_choices
from mixlm.data.layouts.columns import (
    CHAINS,
    CHATS,
    QUESTIONS,
    RESPONSES,
    TRACES,
    is_blank,
    is_word,
    refuse_unread,
    system_of,
)
from mixlm.data.layouts.turns import THOUGHTS, Turn, turn_of, with_analysis, without_nulls
from mixlm.data.texts.thoughts import thought_in
from mixlm.data.values import ailments, parse_json, read_json
from mixlm.errors import InputError


TEMPLATE_ARGUMENTS = "chat_template_kwargs"
"""The column of what a row tells its chat template beside messages and tools, by names, as TRL reads it."""
_ASKS = ("user", "human")


def chat_columns(row: Mapping[str, Any]) -> list[str]:
    """Return the names of the columns that hold the turns of a row, in order; none of a row that is no chat.

    They are messages, conversations that no question with a response stands beside, or that alone reason, or prompt
    (or input) and completion, one of them in turns.
    """
    asks = [name for name in (*QUESTIONS, "input") if name in row and (name != "input" or not is_blank(row[name]))][:1]
    plain = asks and any(name in row for name in ("steps", *TRACES, *RESPONSES))
    chats = [name for name in CHATS if name in row and (name == "messages" or not plain or _alone_thinks(row, name))]
    if chats or not asks:
        return chats[:1]
    both = [*asks, *[name for name in RESPONSES if name in row][:1]]
    return both if any(_in_turns(row[name]) for name in both) else []


def _alone_thinks(row: Mapping[str, Any], name: str) -> bool:
    """Tell whether the last turn of a chat reasons before a closing tag, and nothing else of the row is a trace."""
    traced = any(other in row for other in ("steps", *TRACES)) or not all(is_word(row.get(other)) for other in CHAINS)
    if traced or not _in_turns(row[name]):
        return False
    last = row[name][-1]
    texts = [last.get("content") or last.get("value"), *(row.get(other) for other in RESPONSES)]
    alone, *beside = (isinstance(text, str) and thought_in(text) is not None for text in texts)
    return alone and not any(beside)


def template_arguments(row: Mapping[str, Any]) -> Any:
    """Return what a row tells its chat template by names, without nulls; it may be written as JSON in a text."""
    told = row.get(TEMPLATE_ARGUMENTS)
    try:
        return read_json(told.strip() or "{}") if isinstance(told, str) else without_nulls(told)
    except ValueError:
        return told


def tells_template(row: Mapping[str, Any]) -> bool:
    """Tell whether a row tells its chat template of tools, or texts and lists by names; flags change no question."""
    told = template_arguments(row)
    values = told.values() if isinstance(told, Mapping) else ()
    return bool(row.get("tools")) or any(value and isinstance(value, str | list | tuple) for value in values)


def _in_turns(value: Any) -> bool:
    """Tell whether a value is a list of turns."""
    return bool(value) and isinstance(value, list | tuple) and all(isinstance(turn, Mapping) for turn in value)


def turns_of(row: Mapping[str, Any], where: str) -> list[Turn]:
    """Return the turns of a chat, as ``mixlm.data.layouts.turns.turn_of`` has them.

    Content in parts becomes one text; it is None in a turn that only calls tools. A system column is the first turn.

    Raises:
        InputError: If a turn cannot be read, or a column beside them may belong to the question.
    """
    turns: list[Turn] = []
    chats = chat_columns(row)
    for place, name in enumerate(chats):
        value = row[name]
        if isinstance(value, str) and name not in CHATS:  # one part of prompt and completion is a plain text
            turns.append({"role": ("user", "assistant")[place], "content": value})
        else:
            turns += _turns(value, f"{where}: column '{name}'")
    beside = {name: value for name, value in row.items() if name not in chats}
    said = "\n".join(turn["content"] or "" for turn in turns)
    refuse_unread(beside, where, said, chat=True)
    refuse_untold_choices(beside, where, said)
    _refuse_other_question(row, turns, where)
    system = system_of(row, where)
    if not system or (turns and turns[0] == {"role": "system", "content": system}):
        return turns
    if turns and turns[0]["role"] == "system":
        raise InputError(f"{where}: column 'system' differs from the system turn of the chat; remove one of them")
    return [{"role": "system", "content": system}, *turns]


def _refuse_other_question(row: Mapping[str, Any], turns: Sequence[Turn], where: str) -> None:
    """Raise an ``InputError`` if a column of a question holds a text beside a chat that no turn says."""
    said = [_flat(turn["content"] or "") for turn in turns]
    for name in QUESTIONS:
        text = row.get(name)
        if isinstance(text, str) and name not in chat_columns(row) and not any(_flat(text) in turn for turn in said):
            raise InputError(
                f"{where}: column '{name}' may belong to the question, and no turn of the chat says it; put it into "
                "one, or rename or remove the column"
            )


def refuse_history(row: Mapping[str, Any], question: str, where: str) -> None:
    """Raise an ``InputError`` if conversations beside a question are more than that question and its answer."""
    name = next((name for name in CHATS if _in_turns(row.get(name))), None)
    turns = [turn for turn in row[name] if (turn.get("role") or turn.get("from")) in _ASKS] if name else []
    said = [_flat(str(turn.get("content") or turn.get("value"))) for turn in turns]
    if len(said) > 1 or any(_flat(question) not in turn and turn not in _flat(question) for turn in said):
        raise InputError(
            f"{where}: column '{name}' may belong to the question, and has turns that are not in it; give all turns "
            "as 'messages', or rename or remove the column"
        )


def _flat(text: str) -> str:
    return " ".join(text.split())


def _turns(value: Any, where: str) -> list[Turn]:
    """Return the turns of one column."""
    if isinstance(value, str):
        value = _parsed(value, where)
    if not isinstance(value, list | tuple) or not value:
        raise InputError(f"{where} must be turns with role and content, the last one the assistant's")
    turns = [turn_of(turn, f"{where}, turn {place}") for place, turn in enumerate(value, 1)]
    return with_analysis(turns, where)


def _parsed(text: str, where: str) -> Any:
    """Return a list that is written as JSON in a text."""
    try:
        value = parse_json(text)
    except ValueError:
        raise InputError(f"{where} is a text and no JSON list of turns; give turns with role and content") from None
    if reason := next(ailments(value), None):
        raise InputError(f"{where} is {reason}")
    return value


def question_turn(turns: Sequence[Turn], where: str) -> str:
    """Return the text of the last user turn; an ``InputError`` if there is none."""
    question = next((turn["content"] for turn in reversed(turns) if turn["role"] == "user"), None)
    if not question or not question.strip():
        raise InputError(
            f"{where}: the chat has no user turn with a text; give the question as a turn with role 'user'"
        )
    return question


def thought_of(turn: Turn, where: str) -> str | None:
    """Return the reasoning that a turn has in a field of its own, None without; an ``InputError`` if it is no text."""
    thought = next((turn[name] for name in THOUGHTS if turn.get(name)), None)
    if thought is not None and not isinstance(thought, str):
        raise InputError(f"{where}: the reasoning of the last turn is a {type(thought).__name__}; give it as text")
    return thought
