"""Ids of texts, word by word: of many rows almost every word has been seen before.

Tokenizers that part a text by a pattern give each part its ids, whatever stands around it. Where the pattern is one
that is known here, and a text is plain ASCII, for which Python reads it in the same way, the parts of a text are
looked up, and only new ones are tokenised. All else is tokenised as ever, and some texts of every block are both ways:
at the first difference nothing is looked up any more.
"""

import json
import re
from collections.abc import Callable, Sequence
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, NamedTuple


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


TRIED = 4  # texts of every block that are tokenised as ever, too
MOST_WORDS = 200_000  # that are remembered
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LATER = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}# ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LATER_HERE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]# ?[^\sA-Za-z0-9]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_PATTERNS = {  # by which tokenizers part texts, and the same for ASCII as Python reads it
    _GPT2: r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+",
    _LATER.replace("#", "{1,3}|"): _LATER_HERE.replace("#", "{1,3}|"),
    _LATER.replace("#", "|"): _LATER_HERE.replace("#", "|"),
}


class Placed(NamedTuple):
    """Token ids, and where in the text each begins, white space before it apart."""

    ids: list[int]
    starts: list[int]


class Words:
    """The words that a tokenizer has met.

    Args:
        tokenizer: Of transformers.
        place: Tokenises texts as ever: their ``Placed``.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", place: Callable[[Sequence[str]], list[Placed]]) -> None:
        self.place, self.ids, self.starts = place, {}, {}
        pattern, own = pattern_of(json.loads(tokenizer.backend_tokenizer.to_str()))
        self.parts = re.compile(pattern, re.ASCII).findall if pattern else None
        self.own = re.compile("|".join(map(re.escape, own))).search if own else None

    def of(self, texts: Sequence[str], begun: bool = True) -> list[Placed]:
        """Return the ids of texts, and where each begins if ``begun``."""
        known = [bool(self.parts) and text.isascii() and not (self.own and self.own(text)) for text in texts]
        found = self._looked_up([text for text, quick in zip(texts, known, strict=True) if quick], begun)
        others = self.place([text for text, quick in zip(texts, known, strict=True) if not quick], begun)
        quickly, slowly = iter(found), iter(others)
        placed = [next(quickly if quick else slowly) for quick in known]
        some = slice(None, None, max(len(texts) // TRIED, 1))
        if found and not _agree(self.place(texts[some]), placed[some], begun):
            self.parts = None
            return self.place(texts, begun)
        return placed

    def _looked_up(self, texts: Sequence[str], begun: bool) -> list[Placed]:
        parted = [self.parts(text) for text in texts]
        self._learn({*chain.from_iterable(parted)})
        return [self._joined(parts, begun) for parts in parted]

    def _joined(self, parts: Sequence[str], begun: bool) -> Placed:
        ids, starts = [*chain.from_iterable(map(self.ids.__getitem__, parts))], []
        if begun:
            begins = zip(accumulate(map(len, parts), initial=0), parts, strict=False)  # the last one is the end
            starts = [begin + start for begin, part in begins for start in self.starts[part]]
        return Placed(ids, starts)

    def _learn(self, words: set[str]) -> None:
        if len(self.ids) > MOST_WORDS:
            self.ids, self.starts = {}, {}
        new = [*(words - self.ids.keys())]
        for word, placed in zip(new, self.place(new), strict=True):
            self.ids[word], self.starts[word] = placed


def _agree(ever: Sequence[Placed], quick: Sequence[Placed], begun: bool) -> bool:
    """Tell whether texts have the same ids both ways, and begin at the same places."""
    pairs = zip(ever, quick, strict=True)
    return all(one.ids == two.ids and (one.starts == two.starts or not begun) for one, two in pairs)


def pattern_of(backend: dict[str, Any]) -> tuple[str | None, list[str]]:
    """Return the pattern by which a tokenizer parts ASCII texts, as Python reads it; None if it is not known.

    Args:
        backend: The tokenizer's parts, as the tokenizers library writes them.

    Returns:
        The pattern, and the added tokens that are found in a text before it is parted.
    """
    own = [token["content"] for token in backend["added_tokens"] if not token["special"]]
    plain = _keeps_ascii(backend["normalizer"]) and _keeps_places(backend["post_processor"])
    alone = backend["model"]["type"] == "BPE" and not backend["model"].get("dropout")
    pattern = _byte_pattern(backend["pre_tokenizer"]) if plain and alone else None
    return _PATTERNS.get(pattern), own


def _byte_pattern(parting: dict[str, Any] | None) -> str | None:
    """Return the pattern by which texts are parted before every part is read as bytes; None if that is not all."""
    parting = parting or {}
    steps = parting["pretokenizers"] if parting.get("type") == "Sequence" else [parting]
    *before, last = steps
    if last.get("type") != "ByteLevel" or last["add_prefix_space"]:
        return None
    if last["use_regex"]:
        return None if before else _GPT2
    if len(before) != 1 or before[0]["type"] != "Split":
        return None
    plain = before[0]["behavior"] == "Isolated" and not before[0]["invert"]
    return before[0]["pattern"].get("Regex") if plain else None


def _keeps_ascii(normalizer: dict[str, Any] | None) -> bool:
    return normalizer is None or normalizer["type"] == "NFC"


def _keeps_places(processor: dict[str, Any] | None) -> bool:
    """Tell whether what a tokenizer does to ids in the end depends on no place, special tokens apart."""
    if processor is None or processor["type"] == "TemplateProcessing":
        return True
    if processor["type"] == "Sequence":
        return all(map(_keeps_places, processor["processors"]))
    return processor["type"] == "ByteLevel" and not processor["add_prefix_space"]
