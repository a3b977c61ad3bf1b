"""Where sentences of a text end."""

import re
from itertools import pairwise


_WIDE = "。！？"  # end a sentence without white space
UNPARTED = (  # a pattern's ranges, Thai to Chinese: letters of scripts that set no spaces between words
    r"\u0e00-\u109f\u1780-\u17ff\u2e80-\u2fff\u3005-\u3007\u3031-\ua4cf\uf900-\ufaff\uff66-\uff9f"
    r"\U00020000-\U0003ffff"
)
_UNPARTED = re.compile(f"[{UNPARTED}]")
_CLOSING = r"[\"'”’»)\]}$」』）】〉》]*"
_END = re.compile(rf"(?:[.!?]{_CLOSING}\s+|[{_WIDE}]++{_CLOSING}+\s*+)(?=\S)")
_OPENING = (*"\"'“‘«([$", r"\(", r"\[")
_ABBREVIATIONS = frozenset("mr mrs ms dr prof st mt vs cf e.g i.e approx resp viz".split())
_NUMBERED = frozenset("no nos fig figs eq eqs sec ch vol p pp art".split())  # abbreviations before a number
_LAST_WORD = re.compile(r"[A-Za-z](?:[A-Za-z.]*[A-Za-z])?\Z")
_ITEM = re.compile(r"\s*\(?\d+\Z")


def split_sentences(text: str) -> list[str]:
    """Cut a text into sentences; joined they are the text.

    A sentence ends with ".", "!" or "?" and what closes after it, if white space and a capital, a digit or something
    that opens (a quote, a bracket, a formula) come next; or with "。", "！" or "？". White space after it is its own.
    A full stop ends none after another one ("..."), an abbreviation, a capital alone (an initial), or the number of an
    item ("2. Add 5").

    >>> split_sentences("It costs 2.50. Mr. Li pays! Is No. 3 right?  (Yes.) ... or 4.")
    ['It costs 2.50. ', 'Mr. Li pays! ', 'Is No. 3 right?  ', '(Yes.) ... or 4.']
    """
    starts = [0]
    for end in _END.finditer(text):
        following = text[end.end()]
        opens = following.isupper() or following.isdigit() or text.startswith(_OPENING, end.end())
        if text[end.start()] in _WIDE:
            starts.append(end.end())
        elif opens and (text[end.start()] != "." or _stops(text[starts[-1] : end.start()], following)):
            starts.append(end.end())
    return [text[start:end] for start, end in pairwise([*starts, len(text)])]


def count_words(text: str) -> int:
    """Return how many words a text has; of letters that no spaces part two are one.

    >>> count_words("12 more pens"), count_words("還有十二支筆")
    (3, 3)
    """
    return max(len(text.split()), len(_UNPARTED.findall(text)) // 2)


def _stops(before: str, following: str) -> bool:
    """Tell whether a full stop ends the sentence that stands ``before`` it, given the first character after it."""
    if before.endswith(".") or _ITEM.match(before):
        return False
    found = _LAST_WORD.search(before)
    word = found[0] if found else ""
    if len(word.rpartition(".")[2]) == 1 and word[-1].isupper():
        return False
    return word.lower() not in _ABBREVIATIONS and not (following.isdigit() and word.lower() in _NUMBERED)
