"""Who wrote the control tokens of a chat: the chat template, or a user.

Control tokens are the special tokens of a tokenizer; added tokens that are none, such as ``<think>`` in many
vocabularies, are words that anybody may type. A chat is rendered twice, the second time with private twins in place of
the letters and digits of its users: what is a control token still was written by the template. What the template looks
for in texts, such as ``</think>``, has no twins, so that it does the same with both.
"""

import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from mixlm.data.chat.rendering import words_of


if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase


ROLES = ("system", "developer", "user", "assistant", "tool")  # which a template may make control tokens of
_TWINS = 0xF0000  # what is added to a character to have its twin
_REPLACED = "\ufffd"
_BEFORE, _AFTER, _BESIDE, _MARK = (str(10**17 + secrets.randbelow(10**18)) for _ in range(4))  # that no user can know


class ControlToken(NamedTuple):
    """A control token in the text of a chat.

    Attributes:
        start: Its first character.
        end: That after its last.
        token: Its text.
        typed: Whether a user wrote it, or a part of it.
    """

    start: int
    end: int
    token: str
    typed: bool


class ControlTokens:
    """The control tokens of a tokenizer.

    Args:
        tokenizer: The tokenizer, which is not to change any more.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self.tokenizer = tokenizer
        added = [token for token in tokenizer.added_tokens_decoder.values() if token.content.strip()]
        self.texts = {token.content for token in added if token.special}
        self.scanner = _scanner([token.content for token in added])
        unknown = tokenizer.unk_token_id  # the one that the model may make of any text
        self.ids = {*tokenizer.convert_tokens_to_ids(sorted(self.texts))} - {unknown}
        letters = {letter for text in self.texts for letter in _letters(text)}
        self.to_twins = {ord(letter): chr(ord(letter) + _TWINS) for letter in letters if ord(letter) < 0x10000}
        self.to_letters = {ord(twin): chr(letter) for letter, twin in self.to_twins.items()}
        self.to_twins |= dict.fromkeys(self.to_letters, _REPLACED)

    def find(self, text: str) -> list[ControlToken]:
        """Return the control tokens of a text, as the tokenizer reads it."""
        found = self.scanner.encode(text, add_special_tokens=False)
        return [
            ControlToken(*place, token, typed=False)
            for place, token in zip(found.offsets, found.tokens, strict=True)
            if token in self.texts
        ]

    def find_typed(self, text: str, renderings: Iterable[str]) -> list[ControlToken] | None:
        """Return the control tokens of a chat, and tell which of them were typed; None if that cannot be told.

        Args:
            text: The chat.
            renderings: The same chat with twins, in one way or another.
        """
        places, read = self.find(text), []
        tokens = [place.token for place in places]
        for twins in renderings:
            found = [
                (place.token, self._is_typed(twins, place)) for place in self.find(twins.translate(self.to_letters))
            ]
            if [token for token, _ in found] == tokens:
                return [place._replace(typed=typed) for place, (_, typed) in zip(places, found, strict=True)]
            read.append([token for token, typed in found if not typed])
        return places if tokens in read else None  # then the template has taken out what was typed

    def _is_typed(self, twins: str, place: ControlToken) -> bool:
        written = twins[place.start : place.end]
        within = twins.endswith(_BEFORE, 0, place.start) and twins.startswith(_AFTER, place.end)
        beside = twins.endswith(_BESIDE, 0, place.start) or twins.startswith(_BESIDE, place.end)
        return within or beside or written != written.translate(self.to_letters)

    def count(self, ids: Sequence[int]) -> int:
        """Return how many of ``ids`` are control tokens, but for the one that stands for unknown text."""
        return sum(token in self.ids for token in ids)

    def expected(self, places: Sequence[ControlToken]) -> int:
        """Return what ``count`` is to be where exactly the control tokens at ``places`` are some that nobody typed."""
        return sum(not place.typed and place.token != self.tokenizer.unk_token for place in places)

    def ids_without_typed(self, text: str, places: Sequence[ControlToken]) -> list[int]:
        """Return the ids of a chat in which control tokens that were typed are text."""
        own = [place for place in places if not place.typed]
        cuts = [0, *(cut for place in own for cut in (place.start, place.end)), len(text)]
        pieces = [text[start:end] for start, end in pairwise(cuts)]
        tokenizer, names, back = self._renamed
        pieces[1::2] = [names[token] for token in pieces[1::2]]
        return [back.get(token, token) for token in tokenizer.encode("".join(pieces), add_special_tokens=False).ids]

    @cached_property
    def _renamed(self) -> tuple["Tokenizer", dict[str, str], dict[int, int]]:
        """The tokenizer with other names for control tokens, which nobody types; these names; the ids as they were.

        So their own names are text to it, and all else is as before: what it joins, and what it makes of white space.
        """
        from tokenizers import Tokenizer

        parts = json.loads(self.tokenizer.backend_tokenizer.to_str())
        parts |= {"post_processor": None, "truncation": None, "padding": None}
        names = {text: f"\ue000{_MARK}{number}\ue001" for number, text in enumerate(sorted(self.texts))}
        before = {names.get(token["content"], token["content"]): token["id"] for token in parts["added_tokens"]}
        for token in parts["added_tokens"]:
            token["content"] = names.get(token["content"], token["content"])
        tokenizer = Tokenizer.from_str(json.dumps(parts))
        return tokenizer, names, {tokenizer.token_to_id(name): token for name, token in before.items()}


def _scanner(tokens: Sequence[str]) -> "Tokenizer":
    """Return a tokenizer that finds ``tokens`` in a text, as any tokenizer finds those that were added to it."""
    from tokenizers import AddedToken, Tokenizer, models

    scanner = Tokenizer(models.WordLevel({"": 0}, unk_token=""))
    scanner.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in tokens])
    return scanner


def _letters(text: str) -> list[str]:
    """Return the letters and digits of a token, or what it has in their place."""
    return [letter for letter in text if letter.isalnum()] or [letter for letter in text if not letter.isspace()]


class TemplateWords:
    """The words of a chat template, which its messages may hold as well.

    Args:
        source: The chat template.
        controls: The control tokens.

    Attributes:
        names: Every name, those of a message's fields among them.
        strings: Every string.
        plain: Those without control tokens.
    """

    def __init__(self, source: str, controls: ControlTokens) -> None:
        self.controls = controls
        self.names, self.strings = words_of(source)
        self.plain = frozenset(string for string in self.strings if not controls.find(string))
        kept = sorted(filter(self._looked_for, self.strings), key=len, reverse=True)
        self.kept = re.compile(f"({'|'.join(map(re.escape, kept)) or '(?!)'})")

    def _looked_for(self, string: str) -> bool:
        """Tell whether a string is no common word, and no part of a control token that somebody might complete."""
        texts = self.controls.texts
        if string in texts or not string.strip() or string.replace("_", "").isalnum():
            return string in texts
        return not any(string in text or text in string for text in texts)

    def with_twins(self, value: Any, at_edges: bool = False) -> Any:
        """Return messages, tools or a part of them with twins in place of what their users wrote.

        Args:
            value: The messages, tools or part.
            at_edges: Leave a control token that the template looks for at the beginning or the end of a text there.
        """
        if isinstance(value, str):
            return value if value in self.plain else self._twins(value, at_edges)
        if isinstance(value, Mapping):
            known = self.names | self.plain
            names = {name: name if name in known else self._twins(name, at_edges) for name in value}
            twins = {names[name]: self.with_twins(each, at_edges) for name, each in value.items()}
            return twins | ({"role": value["role"]} if value.get("role") in ROLES else {})
        return [self.with_twins(each, at_edges) for each in value] if isinstance(value, list | tuple) else value

    def _twins(self, text: str, at_edges: bool) -> str:
        pieces = self.kept.split(text)  # by turns with twins and without
        pieces[::2] = [piece.translate(self.controls.to_twins) for piece in pieces[::2]]
        for place in range(1, len(pieces), 2):
            if pieces[place] in self.controls.texts:
                first, last = not any(pieces[:place]), not any(pieces[place + 1 :])
                pieces[place] = _marked(pieces[place], at_edges and first, at_edges and last)
        return "".join(pieces)


def _marked(token: str, first: bool, last: bool) -> str:
    """Mark a control token that was typed: on both sides, but not before the first or after the last of a text."""
    if first:
        return token + _BESIDE
    return _BESIDE + token if last else _BEFORE + token + _AFTER


@lru_cache(maxsize=2)
def control_tokens(tokenizer: "PreTrainedTokenizerBase", size: int) -> ControlTokens:
    """Return the control tokens of a tokenizer, which is another one when its size changes."""
    return ControlTokens(tokenizer)


@lru_cache(maxsize=8)
def template_words(source: str, controls: ControlTokens) -> TemplateWords:
    """Return the words of a chat template."""
    return TemplateWords(source, controls)
