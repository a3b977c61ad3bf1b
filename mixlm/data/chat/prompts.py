"""Prompts of chats: what the tokenizer's chat template makes of the messages, as a server gives it to a model.

The ids are those of ``apply_chat_template``, but for one thing: a control token that a user typed is text.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mixlm.data.chat.control_tokens import ROLES, ControlToken, control_tokens, template_words
from mixlm.data.chat.rendering import Messages, chat_source, render_chat, short, where_of
from mixlm.data.layouts.chats import TEMPLATE_ARGUMENTS, template_arguments
from mixlm.data.layouts.turns import without_nulls
from mixlm.data.samples import Sample
from mixlm.data.template import Template
from mixlm.data.texts.thoughts import THOUGHT_BEGIN, closing_tag
from mixlm.data.values import read_json
from mixlm.errors import InputError


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


_OPENED = re.compile(rf"({THOUGHT_BEGIN})\s*\Z")
_SEEN = 40  # tokens at the end of a prompt among which an opened thought is looked for


def chat_prompts(
    tokenizer: "PreTrainedTokenizerBase", template: Template, samples: Sequence[Sample]
) -> list[list[int]]:
    """Return the ids of each chat up to the assistant's turn.

    Args:
        tokenizer: The tokenizer.
        template: Tells the date that a chat template sees which reads the clock.
        samples: The samples; one without messages is a chat of its question alone.

    Raises:
        InputError: If there is no chat template, or it refuses a chat or leaves out its question, or it cannot be told
            which control tokens are its own.
    """
    chats = [_Chat(tokenizer, template.date, sample) for sample in samples]
    places = [chat.control_tokens() for chat in chats]
    texts = [chat.text for chat in chats]
    whole = tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
    return [chat.ids(*found) for chat, *found in zip(chats, places, whole, strict=True)]


class _Chat:
    """A chat up to the assistant's turn, as text.

    Args:
        tokenizer: Has the chat template.
        date: What the chat template is told if it reads the clock; None: the time.
        sample: The sample.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", date: str | None, sample: Sample) -> None:
        self.tokenizer, self.date, self.sample = tokenizer, date, sample
        turns = sample.messages or ({"role": "user", "content": sample.question},)
        self.messages: Messages = [{name: turn[name] for name in turn if turn[name] is not None} for turn in turns]
        self.tools, self.arguments = tools_of(sample), arguments_of(sample)
        self.controls = control_tokens(tokenizer, len(tokenizer))
        self.messages, self.text = self._rendered()
        self.words = template_words(chat_source(tokenizer, self.tools), self.controls)
        self._check_turns()

    def _rendered(self) -> tuple[Messages, str]:
        """Return the messages with the arguments of calls as objects, as servers give them, and the text of the chat.

        A template that refuses objects, as one that joins arguments to texts, has them as they are.
        """
        served = [_with_objects(turn) for turn in self.messages]
        try:
            return served, self._render(served)
        except InputError:
            if served == self.messages:
                raise
            return self.messages, self._render(self.messages)

    def _render(self, messages: Messages, *given: Any) -> str:
        """Return the text of messages with the chat's tools and arguments, or with those that are given."""
        return render_chat(self.tokenizer, messages, self.sample, *(given or (self.tools, self.arguments)), self.date)

    def _check_turns(self) -> None:
        """Raise an ``InputError`` if the template leaves out the question, or a turn whose role it does not know."""
        asked = max((place for place, turn in enumerate(self.messages) if turn.get("role") == "user"), default=-1)
        for place, turn in enumerate(self.messages):
            role = turn.get("role")
            if place != asked and (role in ROLES or role in self.words.strings):
                continue  # of these turns it may leave out what it will, reasoning or all
            if self._leaves_out(place):
                what = "the question" if place == asked else f"turns of the role {role!r}, as there is one before"
                raise InputError(
                    f"{where_of(self.sample)}the tokenizer's chat template leaves out {what} "
                    f"{short(self.sample.question)}; change or leave out the row, or use a plain prompt template"
                )

    def _leaves_out(self, place: int) -> bool:
        """Tell whether the text is the same with any other content of a turn."""
        turn = self.messages[place]
        content = turn.get("content")
        if not isinstance(content, str) or not content.strip() or content.strip() in self.text:
            return False
        messages = [*self.messages[:place], {**turn, "content": f"{content}?"}, *self.messages[place + 1 :]]
        return self._render(messages) == self.text

    def control_tokens(self) -> list[ControlToken]:
        """Return the control tokens of the chat."""
        found = self.controls.find_typed(self.text, self._renderings())
        if found is None:
            raise self._unclear()
        return found

    def _renderings(self) -> Iterator[str]:
        """Yield the chat with twins, in all ways that differ."""
        before = None
        for at_edges in (False, True):
            said = [self.words.with_twins(said, at_edges) for said in (self.messages, self.tools, self.arguments)]
            if said != before:
                yield self._render(*said)
            before = said

    def ids(self, places: Sequence[ControlToken], whole: list[int]) -> list[int]:
        """Return the ids of the chat.

        Args:
            places: Its control tokens.
            whole: The ids if nobody had typed any.
        """
        written = self.controls.expected(places)
        if not any(place.typed for place in places) and self.controls.count(whole) == written:
            return whole
        ids = self.controls.ids_without_typed(self.text, places)
        if self.controls.count(ids) != written:
            raise self._unclear()
        return ids

    def _unclear(self) -> InputError:
        return InputError(
            f"{where_of(self.sample)}in the chat {short(self.sample.question)} it cannot be told which control tokens "
            "were typed and which are the chat template's; change or leave out the row"
        )


def tools_of(sample: Sample) -> list[dict[str, Any]] | None:
    """Return what the assistant may call, from the row's column ``tools``; None without any.

    Raises:
        InputError: If it is no list of JSON objects.
    """
    tools = sample.columns.get("tools")
    try:
        tools = read_json(tools.strip() or "[]") if isinstance(tools, str) else without_nulls(tools)
    except ValueError:
        tools = ""
    if tools in (None, [], ()):
        return None
    if isinstance(tools, list | tuple) and all(isinstance(tool, Mapping) for tool in tools):
        return [dict(tool) for tool in tools]
    raise InputError(
        f"{where_of(sample)}the tools of the chat {short(sample.question)} are no list of JSON schemas; give one, or "
        "leave 'tools' out"
    )


def arguments_of(sample: Sample) -> dict[str, Any]:
    """Return what a row tells its chat template beside messages and tools: its column ``chat_template_kwargs``.

    Raises:
        InputError: If it is no object, or names what is told to the tokenizer and not to its template.
    """
    given = template_arguments(sample.columns)
    taken = sorted(_OTHERS & {*given}) if isinstance(given, Mapping) else []
    if given is None or (isinstance(given, Mapping) and not taken):
        return dict(given or {})
    raise InputError(
        f"{where_of(sample)}column '{TEMPLATE_ARGUMENTS}' of the chat {short(sample.question)} "
        + (f"names {taken[0]}, which is no argument of a template" if taken else "is no object")
        + "; leave it out"
    )


_OTHERS = {"conversation", "messages", "tools", "documents", "chat_template", "tokenize", "add_generation_prompt"}
_OTHERS |= {"continue_final_message", "padding", "truncation", "max_length", "return_tensors", "return_dict"}


def _with_objects(turn: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a turn with the arguments of its calls as objects: read from JSON, and empty where there are none."""
    calls = turn.get("tool_calls")
    if not calls or not isinstance(calls, list | tuple):
        return turn
    return {**turn, "tool_calls": [_with_object(call) for call in calls]}


def _with_object(call: Any) -> Any:
    """Return a call with its arguments as an object, if they are one; it may be within a field ``function``."""
    if not isinstance(call, Mapping):
        return call
    if "function" in call:
        return {**call, "function": _with_object(call["function"])}
    arguments = call.get("arguments") or {}
    try:
        told = read_json(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        told = None
    return {**call, "arguments": told if isinstance(told, Mapping) else arguments}


def closing_ids(tokenizer: "PreTrainedTokenizerBase", template: Template, prompt_ids: Sequence[int]) -> list[int]:
    """Return what closes the thought that a chat's prompt opens, as ``<think>`` at its end does; else nothing.

    It stands between trace and solution, so that the trace is what is thought. A solution that closes it itself, by
    its template, needs no more.
    """
    closing = closing_of(tokenizer, template, prompt_ids)
    return tokenizer(f"\n{closing}\n\n", add_special_tokens=False)["input_ids"] if closing else []


def closing_of(tokenizer: "PreTrainedTokenizerBase", template: Template, prompt_ids: Sequence[int]) -> str:
    """Return the mark that closes what a prompt opens, such as ``</think>``; "" if there is nothing to close."""
    if not template.chat:
        return ""
    end = tokenizer.decode(prompt_ids[-_SEEN:], skip_special_tokens=False, clean_up_tokenization_spaces=False)
    found = _OPENED.search(end)
    closing = closing_tag(found[1]) if found else ""
    return "" if closing.lower() in template.solution.lower() else closing
