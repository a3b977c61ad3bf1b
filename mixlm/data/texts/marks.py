r"""Where a text marks its answer, and what stands before the mark.

The first of these that is there counts: ``<answer>``, "####" on the last line, "The answer is" on the last line, the
last whole ``\boxed{..}``, "The answer is" elsewhere. A box behind one of the others is opened; boxes that but a comma,
"and" or "or" part hold one answer. "The answer is" without a colon is no mark where numbers follow its sentence, for
then the reasoning goes on, nor where it tells how the answer is found.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

from mixlm.data.texts.sentences import split_sentences


_TAGGED = re.compile(r"<((?:final_)?answer)(?:\s[^<>]*)?>((?:(?!<\1[\s>]).)*?)</\1>", re.DOTALL | re.IGNORECASE)
OPENS_ANSWER = re.compile(r"<(?:final_)?answer(?:\s[^<>]*)?(?<!/)>", re.IGNORECASE)
_HASHES = re.compile(r"(?<!#)####(?!#)\s*(\S[^\n]*)\s*\Z")
_SAID = (
    r"(?:\*\*)?\b{}he (?:final |correct )?answer is\b(?:,?[ \t]*\b(?:therefore|thus|then|hence|simply)\b,?)*"
    r"[ \t]*[:：]?"
)
_LABEL = r"^[ \t>#*_]*(?:final )?answer[ \t]*(?:[*_]*[:：][*_]*|[*_]*[ \t]*$)"
_HOW = re.compile(  # an answer is come by, and not which it is
    r"\s*(?:given|found|obtained|computed|calculated|determined|derived)\s+(?:by|from|in|as|using|through|above|below)\b"
)
_PLAIN = re.compile(f"{_SAID.format('T')}|(?i:{_LABEL})", re.MULTILINE)
_LOOSE = re.compile(f"{_SAID.format('[Tt]')}|(?i:{_LABEL})", re.MULTILINE)
_BRACE = re.compile(r"[{}]")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_BARE = re.compile(r"[^\s$]+")
_BOLD = re.compile(r"(?<![A-Za-z0-9_)\]}])\*\*(?!\s)([^*\n]+?)(?<!\s)\*\*(?![A-Za-z0-9_(])")  # and no powers
_REASON = re.compile(r",?\s+(?:because|since)\s.*\Z", re.DOTALL)  # behind an answer
_FULL_STOP = re.compile(r"(?<!\.)(?<!\.[A-Za-z])\.\Z|[。．]\Z")  # neither of "..." nor of "p.m."
_LEAD = re.compile(r"(?:\b(?:so|thus|therefore|hence|and|finally)\b,?\s*)+\Z", re.IGNORECASE)
_OPENING = re.compile(r"(\$\$?|\\\[|\\\(|\*\*)\s*\Z")
_LAST_HASHES = re.compile(r"\n?####[^\n]*\s*\Z")
_GOES_ON = re.compile(r"[\d=]")  # in what follows an answer: it was the beginning of a reasoning
_RESULT = re.compile(r".*[\d$\\]|\(?[A-Za-z]\)?\Z", re.DOTALL)  # a number, a formula or a letter
_POLITE = re.compile(r"\W*(?:i hope|hope|let me know|please|feel free|thank)", re.IGNORECASE)  # ends an answer
_SPACE = r"(?:[\s$*~]|\\[,;:!()\[\]]|\\q?quad(?![a-z]))*"
_JOINT = re.compile(rf"{_SPACE}(?:(?:[,;&]|(?:\\text\{{\s*)?\b(?:and|(or))\b(?:\s*\}})?){_SPACE})+")  # between boxes
_ITEM = re.compile(r"\s*(?:[-*+•]|\(?(?:\d+|[A-Za-z]|[ivx]+)[.)])\s+")  # what a list puts before its items
_SENTENCE_END = re.compile(r"[\"'”’)\]]*(?:[.!?。！？]|\s*\Z)")
_PRAISE = re.compile(  # of an answer, and none itself
    r"(?:indeed |now )?(?:correct|right|verified|confirmed|clear|valid|consistent|reasonable|unique|boxed|an integer|"
    r"(?:see |as |shown |given |boxed |the one )?(?:above|below))",
    re.IGNORECASE,
)
_VERDICT = re.compile(r"(?:yes|no|true|false)[.,;!]", re.IGNORECASE)


class Mark(NamedTuple):
    """An answer that a text marks.

    Attributes:
        start: Where the mark begins.
        end: Where the answer ends.
        answer: The answer.
        rule: The name of the mark, a key of ``RULES`` of ``mixlm.data.texts.responses``.
    """

    start: int
    end: int
    answer: str
    rule: str


def marked(text: str) -> Mark | None:
    """Return the answer that a text marks."""
    return _tagged(text) or _hashed(text) or _said_last(text) or _boxed(text) or _said(text, _LOOSE)


def _said_last(text: str) -> Mark | None:
    """Return what "The answer is" says on the last line; that it is correct counts only where nothing is boxed."""
    mark = _said(text, _PLAIN, last=True)
    return mark if mark and not (_PRAISE.fullmatch(mark.answer) and _boxed(text)) else None


def _tagged(text: str) -> Mark | None:
    found = [tag for tag in _TAGGED.finditer(text) if _inside(tag[2])]
    return Mark(*found[-1].span(), _inside(found[-1][2]), "answer") if found else None


def _inside(text: str) -> str:
    """Return what stands between tags: what is in its box or all in bold, else all of it, without a last full stop."""
    if box := _boxed(text):
        return box.answer
    text = text.strip()
    bold = re.fullmatch(r"\*\*((?:(?!\*\*).)*)\*\*", text, re.DOTALL)
    text = (bold[1] if bold else text).strip()
    return _without_stop(text)


def _without_stop(text: str) -> str:
    """Return a text without its full stop, unless it is several sentences."""
    return text if len(split_sentences(text)) > 1 else _FULL_STOP.sub("", text).strip()


def _hashed(text: str) -> Mark | None:
    start = text.rstrip().rfind("\n") + 1
    found = _HASHES.search(text, start)
    if not found:
        return None
    inner = _boxed(found[1]) or _said(found[1], _LOOSE)
    return Mark(*found.span(), inner.answer if inner else _without_stop(found[1].strip()), "hashes")


def _said(text: str, phrase: re.Pattern[str], last: bool = False) -> Mark | None:
    """Return what follows the last "The answer is".

    Args:
        text: The text.
        phrase: What counts as such.
        last: Whether nothing but the answer may follow.
    """
    boxes = [(box.start, box.end) for box in _boxes(text)]
    for said in reversed([*phrase.finditer(text)]):
        if any(start < said.start() < end for start, end in boxes):
            continue
        sentence, colon = "answer is" in said[0].lower(), said[0].endswith((":", "："))
        loose = sentence and not colon
        if loose and _HOW.match(text, said.end()):
            continue
        told = statement(text[said.end() :])
        if told and _is_part(told, text[said.end() :]):
            continue
        answer, end = _opened(told), text.index(told, said.end()) + len(_first_sentence(told))
        more = loose and not _RESULT.match(answer) and re.search(r"\w", text[end:]) and not _POLITE.match(text, end)
        goes_on = (more or _GOES_ON.search(text, end)) and not (sentence and colon)
        if answer and not goes_on and not (last and text[said.end() :].strip() != told):
            return Mark(said.start(), end, answer, "boxed" if last_box(told) else "said")
    return None


def _is_part(told: str, rest: str) -> bool:
    """Tell whether a line is the beginning of code, of a table, or of a list, which goes on with the next one."""
    before, _, behind = rest.partition(told)
    after = behind.lstrip("\n")
    listed = bool(_ITEM.match(told) and _ITEM.match(after)) and not re.match(r"\(?[A-Z][.)]", told)  # a choice
    return "\n" in before and (told.startswith(("```", "~~~")) or told[0] == after[:1] == "|" or listed)


def statement(rest: str) -> str:
    """Return the line that a text begins with, and further ones as long as something that it opens is not closed."""
    lines, left, dollars = rest.strip().split("\n"), [0] * len(_PAIRS), 0
    for count, line in enumerate(lines, 1):
        line = _ESCAPED.sub("", line)
        left = [open_ + line.count(pair[0]) - line.count(pair[1]) for open_, pair in zip(left, _PAIRS, strict=True)]
        dollars += line.count("$$")
        if max(left) <= 0 and dollars % 2 == 0:
            return "\n".join(lines[:count]).rstrip()
    return lines[0].rstrip()


_PAIRS = ((r"\begin{", r"\end{"), (r"\[", r"\]"), ("{", "}"))
_ESCAPED = re.compile(r"\\\\|\\[{}]")  # ends of rows, which brackets with a height may follow; braces to be shown


def _opened(statement: str) -> str:
    """Return the answer in what stands behind a mark: in its box, or in bold, or its first sentence."""
    if box := _boxed(statement):
        return box.answer
    sentence = _REASON.sub("", _first_sentence(statement).strip())
    sentence = _BOLD.sub(r"\1", sentence.strip("*") if sentence.count("**") == 1 else sentence)
    return _FULL_STOP.sub("", sentence).strip()


def _first_sentence(statement: str) -> str:
    return split_sentences(f"is {statement}")[0].removeprefix("is ")  # a number alone would be that of an item


def last_box(text: str) -> Mark | None:
    r"""Return the last whole ``\boxed{..}`` of a text that holds something; None if there is none.

    >>> last_box(r"first \boxed{1}, then \boxed{x^{2}} and \boxed{").answer
    'x^{2}'
    """
    return next(_boxes(text), None)


def _boxes(text: str) -> Iterator[Mark]:
    """Yield the whole boxes of a text that hold something, the last one first."""
    for box in reversed([*_BOX.finditer(text)]):
        end = _end_of_box(text, box.end())
        content = text[box.end() : end].strip()
        content = content[1:-1].strip() if content.startswith("{") else content
        if content:
            yield Mark(box.start(), end, content, "boxed")


def _boxed(text: str) -> Mark | None:
    r"""Return the last box, and those before it that but commas, "and" or "or" part: they hold one answer.

    >>> _boxed(r"It is \boxed{1} and \boxed{2}.").answer
    '1, 2'
    """
    boxes = [*_boxes(text)]
    return _joined(text, boxes[::-1]) if boxes else None


def _joined(text: str, marks: Sequence[Mark]) -> Mark:
    """Return the last of several marks, with those before it that hold parts of one answer."""
    joined = [marks[-1]]
    for mark in reversed(marks[:-1]):
        joint = _JOINT.fullmatch(text, mark.end, joined[0].start)
        shape = _shape if mark.rule == "boxed" else partial(re.sub, r"\d+", "0")  # 5 hours or 300 minutes is one
        if not (joint and (not joint[1] or shape(mark.answer) == shape(joined[0].answer))):
            break
        joined.insert(0, mark)
    answer = ", ".join(dict.fromkeys(mark.answer for mark in joined))
    return Mark(joined[0].start, joined[-1].end, answer, joined[-1].rule)


def _shape(latex: str) -> str:
    r"""Return LaTeX with all numbers and words alike: 15\frac{39}{40} or \frac{639}{40} is one number in two forms."""
    return re.sub(r"[-+\s]", "", re.sub(r"\d+", "0", re.sub(r"(?<![\\A-Za-z])[A-Za-z]+", "a", latex)))


def open_boxes(text: str) -> tuple[list[str], list[str]]:
    r"""Return what stands in each whole box of a text, and the text around the boxes, in one part more.

    >>> open_boxes(r"is \boxed{7}.")
    (['7'], ['is ', '.'])
    """
    contents, around, place = [], [], 0
    for box in _BOX.finditer(text):
        end = _end_of_box(text, box.end()) if box.start() >= place else box.end()
        content = text[box.end() : end].strip()
        if content:
            contents.append(content[1:-1].strip() if content.startswith("{") else content)
            around.append(text[place : box.start()])
            place = end
    return contents, [*around, text[place:]]


def _end_of_box(text: str, start: int) -> int:
    r"""Return where a box ends: at the brace that closes it or, as in ``\boxed 7``, after one word."""
    if text[start : start + 1] != "{":
        word = _BARE.match(text, start)
        return word.end() if word else start
    return _closings(text).get(start, start)


@lru_cache(maxsize=4)
def _closings(text: str) -> dict[int, int]:
    """Return behind which place each brace of a text is closed, found in one pass however many boxes there are."""
    opened, closed = [], {}
    for brace in _BRACE.finditer(text):
        place = brace.start()
        if text[place - 1] == "\\" and text[place - 2] != "\\":
            continue
        if brace[0] == "{":
            opened.append(place)
        elif opened:
            closed[opened.pop()] = place + 1
    return closed


def last_bold(text: str) -> Mark | None:
    """Return the last bold text that may be an answer.

    If it is words, and others may be the answer as well, nobody can tell which of them is.
    """
    found = [Mark(*bold.span(), _opened(bold[1]), "bold") for bold in _BOLD.finditer(text) if _may_answer(text, bold)]
    told = found and (_RESULT.match(found[-1].answer) or len({mark.answer for mark in found}) == 1)
    return _joined(text, found) if told else None


def _may_answer(text: str, bold: re.Match[str]) -> bool:
    """Tell whether bold text is a result, or words that end a sentence, and neither a heading nor begins an item."""
    start, end = text.rfind("\n", 0, bold.start()) + 1, text.find("\n", bold.end())
    before, after = text[start : bold.start()], text[bold.end() : end if end >= 0 else len(text)]
    heading = not before.strip("# >") and not after.strip() and text[bold.end() :].strip()
    label = after.startswith((":", "：")) or bold[1].rstrip().endswith((":", "："))
    answer = _opened(bold[1])
    if heading or label or not answer or _ITEM.fullmatch(before):
        return False
    if _RESULT.match(answer):
        return True
    alone = before.strip() or not after.strip(".!?。！？ ")  # else it is a heading that its text follows
    ends = bold[1][-1] in ".!?。！？" or _SENTENCE_END.match(after)
    return bool(alone and ends or _VERDICT.match(bold[1] + after))


def before_mark(text: str, mark: Mark) -> str:
    """Return what stands before a mark, without the words and signs that only lead to it."""
    before = text[: mark.start].rstrip()
    if mark.rule == "boxed":
        opening = _OPENING.search(before)
        while opening and (opening[1].startswith("\\") or before.count(opening[1]) % 2):
            before = before[: opening.start()].rstrip()
            opening = _OPENING.search(before)
    if mark.rule in ("boxed", "said"):
        said = [found for found in _LOOSE.finditer(before) if not before[found.end() :].strip(" \t\n:：*")]
        before = before[: said[0].start()] if said else before
    if mark.rule == "said":
        before = _LAST_HASHES.sub("", before)
    return _LEAD.sub("", before) if mark.rule in ("boxed", "said") else before
