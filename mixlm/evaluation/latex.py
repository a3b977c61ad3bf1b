r"""Answers as bare LaTeX, in a form that math-verify reads whole, and what tells two apart before it is asked.

math-verify reads a part of a text where it cannot read all of it; it drops dots, primes, the base of a numeral and the
brackets around a list. What is written otherwise here means the same; what it would lose is compared here.
"""

import re
from fractions import Fraction
from itertools import accumulate, chain, pairwise

from mixlm.data.texts.marks import open_boxes
from mixlm.evaluation.plain_text import SIGNS, WORD, is_unspaced, plain_text, plain_words, read_unit, without_vulgar


_MATH = re.compile(
    r"(?<!\\)(\${1,2})((?:\\.|[^$\\])+?)\1|\\\[(.+?)\\\]|(?<!\\)\\\((.+?)(?<!\\)\\\)",  # \\( ends a row of a matrix
    re.DOTALL,
)
_BOLD = re.compile(r"\*\*(.+?)\*\*", re.DOTALL)
_LONGEST = 4000  # letters of an answer that is looked at
_AROUND = re.compile(r"(?:[^\W\d_]|[\s,.:;'’*])*")
_END = re.compile(r"(?<!\\right)(?<!\\left)(?:[\s.,;:]|\\\\)+$")
_TEXT = r"\\(?:text[a-z]*|mathrm|mbox)\s*"
_UNIT = re.compile(
    rf"(?P<name>\s*{_TEXT}\{{[^{{}}]*\}}(?:\s*/\s*{_TEXT}\{{[^{{}}]*\}})?|\s+(?:sq\.?|square|cubic)?\s*[A-Za-z]{{2,}})"
    r"(?P<power>\s*\^\s*(?:\{\s*-?\d\s*\}|\d))?$"
)
_MEASURED = re.compile(r"[\d})]$|\\pi$")
_MIXED = re.compile(r"(?<![\w.,^/}])(\d+)\s+(\d+)\s*/\s*(\d+)(?![\w.]|\s+\d)")
_REPEATING = re.compile(r"(\d*)\.(\d*)\\(?:overline|bar)\s*\{?\s*(\d+)\s*\}?")
_NUMERAL = re.compile(r"([0-9A-Fa-f]+)_(\w+)")
_TIME, _RATIO = re.compile(r"\s*\d?\d\s*:\s*\d\d\s*"), re.compile(r"\s*\d+\s*:\s*\d+\s*")
_DATE = re.compile(r"\s*(?:\d{4}([-/])\d?\d\1\d?\d|\d?\d([-/])\d?\d\2\d{4})\s*")
_DOTS = re.compile(r"\\[lcdv]?dots(?![a-z])|…|\.{3}")
_JOINED, _THOUSANDS = (
    re.compile(r",?(?:\\text\{(?:and|or)\}|(?<![a-z\\])(?:and|or)(?![a-z]))"),
    re.compile(r"\d,\d{3}(?!\d)"),
)
_LISTED = re.compile(r"(?<=\d),\s+(?=\d{3}(?!\d))")  # 32, 348 is not 32,348
_UNSEEN = re.compile(r"(?<!\d)\s+|\s+(?!\d)|\\left(?![a-z])|\\right(?![a-z])|\\displaystyle")
_APART = re.compile(r"(?<![\w}\\.,])(?<!frac )(?<!binom )\d[\d.]*\s+\d")  # 1 2 is not 12, and no product
_DEGREES = re.compile(r"([\d.]+|\))\s*\^\s*\{?\s*\\circ(?![a-z])\s*\}?")
_WORDS = re.compile(r"[^\W\d_]+(?:[\s'’.,，、-]+[^\W\d_]+)*")
_SPELLED = [
    (re.compile(pattern), spelled)
    for pattern, spelled in (
        (r"\\\$", ""),
        (r"\b([apAP])\.\s?[mM]\b\.?", r"\1m"),  # p.m.
        (r"\$|(?<!\\)\\[()\[\]]", " "),
        (r"(?<=\d)(?:\\,|\{,\}|,\\!)(?=\d{3}(?!\d))", ","),
        (r"\\[!,;:]|\\q?quad(?![a-z])|~", " "),
        (r"√\s*(\d+)", r"\\sqrt{\1}"),
        (r"(?:√|\\?(?<![a-z])sqrt)\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"π", r"\\pi "),
        (r"∞", r"\\infty "),
        (r"≤|\\leqslant(?![a-z])", r"\\le "),
        (r"≥|\\geqslant(?![a-z])", r"\\ge "),
        (r"≠", r"\\ne "),
        (r"±", r"\\pm "),
        (r"∪", r"\\cup "),
        (r"×", r"\\times "),
        (r"·", r"\\cdot "),
        (r"°|\\degree(?![a-zA-Z])", r"^\\circ "),
        (r"^\s*(?:\\approx(?![a-z])|≈)", ""),
        (r"\\approx(?![a-z])|≈", "="),
        (r"\s+", " "),
    )
]


def bare_latex(text: str) -> str:
    r"""Return an answer as one line of LaTeX: without boxes, dollars and words around them, and without a full stop.

    >>> bare_latex(r"The answer is $\boxed{1 1/2}$.")
    '(1+\\frac{1}{2})'
    """
    if len(text) > _LONGEST:  # Python refuses to convert integers of more than 4,300 digits
        return text
    line = _marked_part(_BOLD.sub(r"\1", without_vulgar(text.translate(SIGNS))))
    for pattern, spelled in _SPELLED:
        line = pattern.sub(spelled, line)
    line = _REPEATING.sub(_as_fraction, _MIXED.sub(_as_sum, line))
    return _END.sub("", line).strip()


def split_unit(latex: str) -> tuple[str, str]:
    r"""Return bare LaTeX without the unit at its end, and that unit under one name for all its spellings.

    >>> split_unit(r"6\pi \text{ square inches}")
    ('6\\pi', 'in2/')
    """
    found = _UNIT.search(latex)
    if not found or not _MEASURED.search(latex[: found.start()]):
        return latex, ""
    name = plain_text(found["name"] + (found["power"] or ""))
    unit = read_unit(name)
    if not plain_words(name) or not (unit or "text" in found["name"] or "unit" in name):
        return latex, ""
    return latex[: found.start()].strip(), unit


def compact(latex: str) -> str:
    """Return LaTeX without what no reader sees: white space, but between digits, and commands that set sizes."""
    return _UNSEEN.sub("", _LISTED.sub("; ", latex)).replace("dfrac", "frac")


def words_of(text: str) -> str | None:
    r"""Return the words of an answer that is words and no formula, in lower case; None of any other.

    >>> words_of(r"\text{Evelyn}."), words_of("xy")
    ('evelyn', None)
    """
    plain = plain_text(text)
    written = any(len(word) > 3 or is_unspaced(word) for word in WORD.findall(plain))
    told = "\\text" in text or "\\mathrm" in text or written
    return plain.casefold() if told and _WORDS.fullmatch(plain) else None


def told_apart(gold: str, answer: str) -> bool:
    """Tell whether two answers as bare LaTeX differ in what math-verify does not see.

    That is the terms of a list with dots, white space within a number, the base of a numeral, a date, the time of a
    clock, a prime, how often a term stands in a list, and whether a list is a set or in order.
    """
    if _DOTS.search(gold) or _DOTS.search(answer):
        return compact(gold) != compact(answer)
    if _APART.search(gold) or _APART.search(answer):
        return True
    if any(map(_NUMERAL.fullmatch, map(_flat, (gold, answer)))):
        return not _same_numeral(_flat(gold), _flat(answer))
    if _DATE.fullmatch(gold) or (_TIME.fullmatch(gold) and _RATIO.fullmatch(answer)):
        return compact(gold) != compact(answer)
    if gold.count("'") != answer.count("'") and ("=" in gold) == ("=" in answer):
        return True
    terms = [len(_terms(latex)) for latex in (gold, answer)]
    if min(terms) > 1 and terms[0] != terms[1] and "\\pm" not in gold + answer:
        return True
    return {_brackets(gold), _brackets(answer)} in ({"{", "("}, {"{", "["})


def in_radians(latex: str) -> str:
    r"""Write degrees as parts of pi.

    >>> in_radians(r"30^\circ")
    '30\\cdot\\frac{\\pi}{180}'
    """
    return _DEGREES.sub(r"\1\\cdot\\frac{\\pi}{180}", latex)


def _marked_part(text: str) -> str:
    """Return what is boxed, and of that, or of all, what stands between dollars or brackets, if but words are around.

    Marks with more than words around them are dropped.
    """
    boxed, around = open_boxes(text)
    if boxed and _are_words(" ".join(around).replace("$", " ")):
        text = ", ".join(dict.fromkeys(boxed))
    else:
        text = "".join(chain(*zip(around, [*boxed, ""], strict=True)))
    parts = [next(filter(None, found.groups()[1:])).strip() for found in _MATH.finditer(text)]
    return ", ".join(dict.fromkeys(parts)) if parts and _are_words(_MATH.sub(" ", text)) else text


def _are_words(around: str) -> bool:
    """Tell whether there is nothing around an answer but words that leave it as it is, or that join its parts."""
    variable = re.search(r"(?<![\w'’])\w(?![\w'’])", around)
    return bool(_AROUND.fullmatch(around)) and not variable and plain_words(re.sub(r"\bor\b", "", around))


def _as_sum(found: re.Match[str]) -> str:
    whole, top, bottom = found.groups()
    return rf"({whole}+\frac{{{top}}}{{{bottom}}})" if int(top) < int(bottom) else found[0]


def _as_fraction(found: re.Match[str]) -> str:
    whole, start, repeated = found.groups()
    places = 10 ** len(start)
    value = Fraction(int(whole + start or 0), places) + Fraction(int(repeated), places * (10 ** len(repeated) - 1))
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


def _flat(latex: str) -> str:
    return re.sub(rf"{_TEXT}|[\s{{}}]", "", latex)


def _same_numeral(gold: str, answer: str) -> bool:
    """Compare numerals of which one at least names its base, which the answer need not repeat; 52 is 52 in base 10."""
    (digits, _, base), (others, _, other) = gold.partition("_"), answer.partition("_")
    return digits.lower() == others.lower() and other in ({"", base} if base else {"10", "ten"})


def _brackets(latex: str) -> str:
    """Return the bracket around a whole list, "" if there is none."""
    line = compact(latex).replace("\\{", "{").replace("\\}", "}")
    closing = {"(": ")", "[": "]", "{": "}"}.get(line[:1])
    if not closing or line[-1] not in ")]}" or not {",", ";"} & {*line}:
        return ""
    depths = _depths(line)
    return line[0] if 0 not in depths[:-1] else ""


def _terms(latex: str) -> list[str]:
    """Return the terms of a list that has no brackets around it; thousands are no terms."""
    line = _JOINED.sub(",", compact(latex).replace("\\{", "{").replace("\\}", "}"))
    commas = [place for place, depth in enumerate(_depths(line)) if line[place] in ",;" and not depth]
    cuts = [-1, *(place for place in commas if not _THOUSANDS.match(line[place - 1 :])), len(line)]
    return [line[start + 1 : end] for start, end in pairwise(cuts)]


def _depths(line: str) -> list[int]:
    """Return within how many brackets each letter stands; one that closes the last is outside."""
    return list(accumulate((letter in "([{") - (letter in ")]}") for letter in line))
