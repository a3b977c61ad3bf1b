"""One turn of a chat as chat templates read it: role, content as one text, reasoning, calls of tools."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mixlm.data.layouts.columns import CHAINS, is_unread
from mixlm.data.texts.sentences import count_words
from mixlm.data.values import read_json
from mixlm.errors import InputError


Turn = dict[str, Any]
THOUGHTS = ("reasoning_content", "thinking", "reasoning")
_KEPT = ("name", "tool_call_id", *THOUGHTS)  # beside role and content
_IN_PARTS = ("reasoning_details", "thinking_blocks")  # the same as a text in one of THOUGHTS, where there is one
_READ = ("role", "from", "tool_calls", "function_call", "channel", *_IN_PARTS)
_FROM = {  # what ShareGPT calls roles
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "model", "bing", "bard"), "assistant"),
    **dict.fromkeys(("tool", "observation", "function_response"), "tool"),
    "system": "system",
}
_TEXTS = ("text", "input_text", "output_text")
_REASONING = ("thinking", "reasoning", "reasoning_text", "summary_text", "reasoning.text", "reasoning.summary")
_HIDDEN = ("reasoning.encrypted", "redacted_thinking")
_TOLD = ("text", "thinking", "reasoning", "content", "summary")  # where a part has its reasoning, the whole one first
_BESIDE = (  # about a turn, and nothing that is said in it
    *("annotations", "cache_control", "country", "created_at", "header", "info", "logprobs", "meta", "metadata"),
    *("model", "response_metadata", "state", "timestamp", "usage", "usage_metadata"),
)
_FEW_WORDS = 3  # of a label, a language or a date


def turn_of(turn: Any, where: str) -> Turn:
    """Return one turn: role, content, the fields of ``_KEPT`` that it has, and whether its ``channel`` is "analysis".

    Args:
        turn: The turn.
        where: What messages call it.

    Raises:
        InputError: If it has no role or content, content that is no text, or a field that may belong to the chat and
            that nothing reads.
    """
    if not isinstance(turn, Mapping):
        raise InputError(f"{where}: must be turns with role and content, and this is a {type(turn).__name__}")
    turn, thought, elsewhere = without_nulls(turn), "", ""
    if str(turn.get("from")).lower() == "function_call":
        turn = {"from": "gpt", "value": "", "function_call": turn.get("value")}
    role, content = _role(turn, where), turn.get("content", turn.get("value"))
    kept = {name: turn[name] for name in _KEPT if turn.get(name, "") not in ("", [], {})}
    kept |= {"tool_calls": calls} if (calls := _calls(turn, where)) else {}
    if isinstance(content, list | tuple):
        content, thought = _text_of_parts(content, where)
    elif content is None and not calls:
        raise InputError(f"{where}: must be turns with role and content, and its content is missing; give it as text")
    elif content is not None and not isinstance(content, str):
        raise InputError(f"{where}: content is a {type(content).__name__}, not text; give a text, or parts of text")
    if not any(name in kept for name in THOUGHTS):
        elsewhere, thought = ("", thought) if thought else _thought_elsewhere(turn, content or "", where)
        kept |= {"reasoning_content": thought} if thought else {}
    said = "\n".join([content or "", *(str(kept[name]) for name in THOUGHTS if name in kept)])
    _refuse_unread(turn, ("content" if "content" in turn else "value", elsewhere, *_KEPT, *_READ), said, where)
    return {"role": role, "content": content, **kept, **_channel(turn, role, content, calls, where)}


def _role(turn: Mapping[str, Any], where: str) -> str:
    role = turn.get("role") or _FROM.get(str(turn.get("from")).lower())
    if not isinstance(role, str):
        has = f"from is {turn['from']!r}" if turn.get("from") else "it has " + (", ".join(map(str, turn)) or "nothing")
        raise InputError(
            f"{where}: must be turns with role and content ({has}); roles are user, assistant, system, tool"
        )
    return "tool" if role == "function" else role  # which answers a function_call


def _calls(turn: Mapping[str, Any], where: str) -> list[Mapping[str, Any]]:
    """Return the calls of tools of a turn; an older ``function_call`` is one."""
    names = [name for name in ("tool_calls", "function_call") if turn.get(name)]
    if not names:
        return []
    calls = turn[names[0]]
    try:
        calls = read_json(calls) if isinstance(calls, str) else calls
    except ValueError:
        calls = [None]
    calls = [{"type": "function", "function": calls}] if names[0] == "function_call" else calls or []
    fit = isinstance(calls, list | tuple) and all(isinstance(call, Mapping) for call in calls)
    if len(names) > 1 or not fit or not all(isinstance(call.get("function", {}), Mapping) for call in calls):
        raise InputError(
            f"{where}: {' and '.join(repr(name) for name in names)} must be one list of calls, objects such as "
            "{'type': 'function', 'function': {'name': .., 'arguments': {..}}}"
        )
    return [*calls]


def _text_of_parts(parts: Sequence[Any], where: str) -> tuple[str, str]:
    """Return content in parts as one text, and the reasoning among the parts as another.

    Raises:
        InputError: If a part is neither, or has no text.
    """
    texts: list[str] = []
    thoughts: list[str] = []
    for part in parts:
        part = {"text": part} if isinstance(part, str) else part if isinstance(part, Mapping) else {}
        kind = part.get("type") or ("text" if "text" in part else None)
        thinks = kind in _REASONING or part.get("thought") is True  # as Gemini marks a part
        if not thinks and kind not in _TEXTS:
            raise InputError(f"{where}: content has a part of type {kind!r}; only parts of text can be read")
        told = next((part[name] for name in _TOLD if part.get(name)), "") if thinks else part.get("text")
        text = _reasoning_text(told, where) if thinks else told
        if not isinstance(text, str) or (thinks and not text.strip()):
            raise InputError(
                f"{where}: content has a part of type {kind!r} without a text; give it one, or remove the part"
            )
        _refuse_unread(part, ("type", *_TOLD) if thinks else ("type", "text"), text, where)
        (thoughts if thinks else texts).append(text)
    return "".join(texts), "\n".join(thoughts)


def _reasoning_text(value: Any, where: str) -> str:
    """Return reasoning that is a text, a list of texts or one of parts; "" if none of it is there to be read."""
    if isinstance(value, list | tuple):
        told = [part for part in value if not (isinstance(part, Mapping) and part.get("type") in _HIDDEN)]
        plain = all(isinstance(part, str) for part in told)
        return "\n".join(text for text in (told if plain else _text_of_parts(told, where)) if text)
    return value if isinstance(value, str) else ""


def _thought_elsewhere(turn: Mapping[str, Any], content: str, where: str) -> tuple[str, str]:
    """Return the field of a name that templates do not know in which a turn has its reasoning, and that reasoning.

    Both are empty where there is none, the reasoning also where the content says the same.
    """
    for name in (*_IN_PARTS, *CHAINS):
        if isinstance(turn.get(name), str | list | tuple) and turn[name]:
            text = _reasoning_text(turn[name], f"{where}: '{name}'").strip()
            if not text:
                raise InputError(f"{where}: '{name}' holds no text of the reasoning; give one, or remove it")
            return name, "" if text in content else text
    return "", ""


def _refuse_unread(said: Mapping[str, Any], read: Collection[str], content: str, where: str) -> None:
    """Raise an ``InputError`` if a turn or a part has a field that may say something and that nothing reads.

    Args:
        said: The turn or part.
        read: The fields that are read.
        content: What it says; what stands there as well is not lost.
        where: What messages call it.
    """
    for name, value in said.items():
        few = 0 if name in (*CHAINS, *_TOLD, "value") else _FEW_WORDS
        if name not in read and name not in _BESIDE and (is_unread(name, value) or _says_more(value, content, few)):
            raise InputError(
                f"{where}: field '{name}' may belong to the chat, and is read nowhere; put what it says into the "
                "content, or remove it where it does not"
            )


def _says_more(value: Any, content: str, few: int) -> bool:
    """Tell whether a value has a text of more than ``few`` words, or an object with any text, that content has not."""
    if isinstance(value, str):
        return count_words(value) > few and value.strip() not in content
    if isinstance(value, list | tuple):
        return any(_says_more(one, content, few) for one in value)
    told = value.values() if isinstance(value, Mapping) else ()
    return any(one.strip() not in content if isinstance(one, str) else _says_more(one, content, few) for one in told)


def _channel(
    turn: Mapping[str, Any], role: str, content: str | None, calls: Sequence[Any], where: str
) -> dict[str, str]:
    """Return the channel of a turn if it is gpt-oss's analysis; an ``InputError`` if it is none that can be read."""
    channel, told = turn.get("channel"), bool((content or "").strip())
    plain = role == "assistant" and told and not calls
    if (channel == "commentary" and (told or not calls)) or (channel == "analysis" and not plain):
        raise InputError(
            f"{where}: its channel is '{channel}'; give what is said to the user without a channel, calls as "
            "'tool_calls', and reasoning as text of the assistant in 'analysis'"
        )
    return {"channel": "analysis"} if channel == "analysis" else {}


def with_analysis(turns: Sequence[Turn], where: str) -> list[Turn]:
    """Return turns in which those of the channel "analysis" are the reasoning of the assistant's turn after them.

    Args:
        turns: As ``turn_of`` has them.
        where: What messages call their column.

    Raises:
        InputError: If no turn of the assistant follows, or one that has reasoning of its own.
    """
    made: list[Turn] = []
    thoughts: list[str] = []
    for place, turn in enumerate([*turns, {"role": "end"}], 1):
        if turn.get("channel"):
            thoughts.append(turn["content"])
        elif thoughts and (turn["role"] != "assistant" or _thinks_else(turn, thoughts)):
            raise InputError(
                f"{where}, turn {place - 1}: its channel is 'analysis', and no turn of the assistant without other "
                "reasoning follows; give that as its 'reasoning_content'"
            )
        else:
            own = {} if any(name in turn for name in THOUGHTS) else {"reasoning_content": "\n".join(thoughts)}
            made.append({**turn, **own} if thoughts else turn)
            thoughts = []
    return made[:-1]


def _thinks_else(turn: Turn, thoughts: Sequence[str]) -> bool:
    """Tell whether a turn has reasoning of its own that is another."""
    return any(turn[name].split() != "\n".join(thoughts).split() for name in THOUGHTS if name in turn)


def without_nulls(value: Any) -> Any:
    """Return a value without what is null in its objects: Parquet has all keys of all rows in each.

    >>> without_nulls({"a": [{"b": None, "c": 0}], "d": [None]})
    {'a': [{'c': 0}], 'd': [None]}
    """
    if isinstance(value, Mapping):
        return {name: without_nulls(each) for name, each in value.items() if each is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list | tuple) else value
