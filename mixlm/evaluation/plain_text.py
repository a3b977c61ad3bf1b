r"""Answers without what only dresses them: marks of LaTeX and Markdown, boxes, full stops.

Nothing here knows what an answer means; ``numbers`` and ``latex`` read what is left.
"""

import re
import unicodedata


_ALIKE = {"-": "−–‐‑", "/": "⁄∕", "$": "＄", "%": "％", "=": "＝", "^2": "²", "^3": "³"}
SIGNS = str.maketrans({sign: plain for plain, signs in _ALIKE.items() for sign in signs})
_RAISED, _LOWERED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+"), str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_STYLES = r"\\(?:text[a-z]*|math(?:rm|bf|it|sf|tt|normal)|mbox|boxed|fbox|left|right|displaystyle|bf|rm)(?![a-zA-Z])"
_STRESSED = re.compile(r"(\*{1,3}|_{2}|`++)(\S|\S.*?\S)\1", re.DOTALL)
_FRACTION = re.compile(
    r"\\[dtc]?frac\s*(?:\{\s*(?P<minus>-?)\s*(?P<top>[\d.,]+)\s*\}|\s*(?P<short>\d))"
    r"\s*(?:\{\s*(?P<bottom>\d+)\s*\}|(?P<brief>\d))"
)
_PLAINER = [
    (re.compile(pattern), plain)
    for pattern, plain in (
        (r"\{\s*,\s*\}", ","),
        (r"\\!\s*", ""),
        (r"(?<=\d)\\,(?=\d{3}(?!\d))", ","),  # 10\,000
        (r"\\(?:[,;: ]|quad\b|qquad\b)|~", " "),
        (r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![a-zA-Z]))|\\degree(?![a-zA-Z])", "°"),
        (r"\\times(?![a-zA-Z])", "×"),
        (r"\\cdot(?![a-zA-Z])", "*"),
        (r"\\approx(?![a-zA-Z])", "≈"),
        (r"\\%", "%"),
        (r"([_^])\{\s*(-?\w+)\s*\}", r"\1\2"),
        (r"(?<!\\)(\${1,2})((?:\\\$|[^$])+?)(?<!\\)\1", r" \2 "),  # in pairs they mark LaTeX
        (r"\\\$", " $"),
        (r"\\[()\[\]]", " "),
        (_STYLES, " "),
        (r"[{}\"“”]", " "),
        (r"\b([apAP])\.\s?[mM]\b\.?", r"\1m"),  # p.m.
        (r"\bRs\b\.?", "₹"),
        (r"\s+", " "),
    )
]


def plain_text(text: str) -> str:
    r"""Return a text in one line without LaTeX and Markdown around its words and numbers, and no full stop at its end.

    >>> plain_text(r"**So** $x = \boxed{-2\frac{1}{2}}\,\text{cm}$.")
    'So x = -2 1/2 cm'
    """
    text = _RAISED.sub(lambda found: "^" + found[0].translate(_LOWERED), text)
    text = _STRESSED.sub(r" \2 ", without_vulgar(text.translate(SIGNS)))
    text = _FRACTION.sub(_written_fraction, text)
    for pattern, plain in _PLAINER:
        text = pattern.sub(plain, text)
    return _unwrapped(text.strip())


def without_vulgar(text: str) -> str:
    """Write ½ as 1/2, apart from a number before it."""
    return "".join(
        f" {unicodedata.normalize('NFKC', letter).replace('⁄', '/')} " if _is_vulgar(letter) else letter
        for letter in text
    )


def _is_vulgar(letter: str) -> bool:
    return not letter.isascii() and unicodedata.decomposition(letter).startswith("<fraction>")


def _written_fraction(found: re.Match[str]) -> str:
    return f" {found['minus'] or ''}{found['top'] or found['short']}/{found['bottom'] or found['brief']} "


def _unwrapped(text: str) -> str:
    text = text.rstrip(" .,;")
    if text[:1] == "(" and text[-1:] == ")" and ")" not in text[:-1]:
        return text[1:-1].strip()
    return text
