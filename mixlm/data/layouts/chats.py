"""Chats in the forms that they are published in, and their turns as chat templates read them."""

from collections.abc import Mapping, Sequence
from typing import Any

from mixlm.data.layouts.columns import CHATS, QUESTIONS, RESPONSES, TRACES, refuse_unread, system_of
from mixlm.data.values import ailments, parse_json
from mixlm.errors import InputError


Turn = dict[str, Any]
_KEPT = ("name", "tool_calls", "tool_call_id", "reasoning_content", "reasoning", "thinking")  # beside role and content
THOUGHTS = ("reasoning_content", "thinking", "reasoning")
_FROM = {  # what ShareGPT calls roles
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "model", "bing", "bard"), "assistant"),
    **dict.fromkeys(("tool", "observation", "function_response"), "tool"),
    "system": "system",
}
_ASKS = ("user", "human")
_TEXTS = ("text", "input_text", "output_text")
_REASONING = ("thinking", "reasoning")


def chat_columns(row: Mapping[str, Any]) -> list[str]:
    """Return the names of the columns that hold the turns of a row, in order; none of a row that is no chat.

    They are messages, conversations that no question with a response stands beside, or prompt and completion, one of
    them in turns.
    """
    asks = [name for name in QUESTIONS if name in row][:1]
    plain = asks and any(name in row for name in ("steps", *TRACES, *RESPONSES))
    chats = [name for name in CHATS if name in row and (name == "messages" or not plain)]
    if chats or not asks:
        return chats[:1]
    both = [*asks, *[name for name in RESPONSES if name in row][:1]]
    return both if any(_in_turns(row[name]) for name in both) else []


def _in_turns(value: Any) -> bool:
    """Tell whether a value is a list of turns."""
    return bool(value) and isinstance(value, list | tuple) and all(isinstance(turn, Mapping) for turn in value)


def turns_of(row: Mapping[str, Any], where: str) -> list[Turn]:
    """Return the turns of a chat: role, content, and the fields of ``_KEPT`` that a turn has.

    Content in parts becomes one text; it is None in a turn that only calls tools. A system column is the first turn.

    Raises:
        InputError: If a turn has no role or content, or content that is no text, or a column beside them may belong
            to the question.
    """
    refuse_unread(row, where, chat=True)
    turns: list[Turn] = []
    for place, name in enumerate(chat_columns(row)):
        value = row[name]
        if isinstance(value, str) and name not in CHATS:  # one part of prompt and completion is a plain text
            turns.append({"role": ("user", "assistant")[place], "content": value})
        else:
            turns += _turns(value, f"{where}: column '{name}'")
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
    return [_turn(turn, f"{where}, turn {place}") for place, turn in enumerate(value, 1)]


def _parsed(text: str, where: str) -> Any:
    """Return a list that is written as JSON in a text."""
    try:
        value = parse_json(text)
    except ValueError:
        raise InputError(f"{where} is a text and no JSON list of turns; give turns with role and content") from None
    if reason := next(ailments(value), None):
        raise InputError(f"{where} is {reason}")
    return value


def _turn(turn: Any, where: str) -> Turn:
    """Return one turn."""
    if not isinstance(turn, Mapping):
        raise InputError(f"{where}: must be turns with role and content, and this is a {type(turn).__name__}")
    role = turn.get("role") or _FROM.get(str(turn.get("from")).lower())
    if not isinstance(role, str):
        has = f"from is {turn['from']!r}" if turn.get("from") else "it has " + (", ".join(map(str, turn)) or "nothing")
        raise InputError(
            f"{where}: must be turns with role and content ({has}); roles are user, assistant, system, tool"
        )
    content = turn.get("content") if turn.get("content") is not None else turn.get("value")
    kept = {name: turn[name] for name in _KEPT if turn.get(name) is not None and turn[name] not in ("", [], {})}
    if isinstance(content, list | tuple):
        content, thought = _text_of_parts(content, where)
        kept |= {"reasoning_content": thought} if thought and not any(name in kept for name in THOUGHTS) else {}
    elif content is None and not kept.get("tool_calls"):
        raise InputError(f"{where}: must be turns with role and content, and its content is missing; give it as text")
    elif content is not None and not isinstance(content, str):
        raise InputError(f"{where}: content is a {type(content).__name__}, not text; give a text, or parts of text")
    return {"role": role, "content": content, **kept}


def _text_of_parts(parts: Sequence[Any], where: str) -> tuple[str, str]:
    """Return content in parts as one text, and the reasoning among the parts as another.

    Raises:
        InputError: If a part is neither.
    """
    texts: list[str] = []
    thoughts: list[str] = []
    for part in parts:
        kind = "text" if isinstance(part, str) else part.get("type") or "text" if isinstance(part, Mapping) else None
        text = (
            part
            if isinstance(part, str)
            else next(
                (
                    part[name]
                    for name in ("text", "thinking", "reasoning")
                    if isinstance(part, Mapping) and part.get(name)
                ),
                "",
            )
        )
        if kind in _REASONING and not isinstance(text, str):
            text = _text_of_parts(text, where)[0] if isinstance(text, list | tuple) else None
        if kind not in (*_TEXTS, *_REASONING) or not isinstance(text, str):
            raise InputError(f"{where}: content has a part of type {kind!r}; only parts of text can be read")
        (thoughts if kind in _REASONING else texts).append(text)
    return "".join(texts), "\n".join(thoughts)


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
