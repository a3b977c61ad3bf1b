r"""Answers without what only dresses them (marks of LaTeX and Markdown, boxes, full stops), and what stands beside.

Nothing here knows what an answer means; ``numbers`` and ``latex`` read what is left.
"""

import re
import unicodedata

from mixlm.data.texts.sentences import UNPARTED


_ALIKE = {
    "-": "−－–‐‑",
    "/": "⁄∕",
    "$": "＄",
    "¥": "￥",
    "%": "％",
    "=": "＝",
    ":": "：",
    ".": "．",
    "^2": "²",
    "^3": "³",
}
SIGNS = str.maketrans({sign: plain for plain, signs in _ALIKE.items() for sign in signs})
_RAISED, _LOWERED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+"), str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_STYLES = r"\\(?:text[a-z]*|math(?:rm|bf|it|sf|tt|normal)|mbox|boxed|fbox|left|right|displaystyle|bf|rm)(?![a-zA-Z])"
_STRESSED = re.compile(r"(\*{1,3}|_{2}|`++)(\S|\S.*?\S)\1", re.DOTALL)
_FRACTION = re.compile(
    r"\\[dtc]?frac\s*(?:\{\s*(?P<minus>-?)\s*(?P<top>[\d.,]+)\s*\}|\s*(?P<short>\d))"
    r"\s*(?:\{\s*(?P<bottom>\d+)\s*\}|(?P<brief>\d))"
)
_GROUPS = re.compile(r"(?<=\d)(?:\{,\}|,\\!|\\[,!])(?=\d{3}(?!\d))")  # between thousands
_FIXED = "\u00a0\u2007\u2009\u202f"  # white space within a number
SPACES = f" {_FIXED}"
_PLAINER = [
    (re.compile(pattern), plain)
    for pattern, plain in (
        (r"\{\s*,\s*\}", ","),
        (r"\\!\s*", ""),
        (rf"(?<=\d)(?:\\,|[’{_FIXED}])(?=\d{{3}}(?!\d))", "'"),  # 10\,000, in which a comma would begin decimals
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
        (r"[{}\"“”„«»「」『』]", " "),
        (r"\b([apAP])\.\s?[mM]\b\.?", r"\1m"),  # p.m.
        (r"\bRs\b\.?", "₹"),
        (r"\s+", " "),
    )
]
UNSPACED = rf"{UNPARTED}\uac00-\ud7ff\uffa0-\uffdc"  # letters beside a number without a space: Korean's, too
WORD = re.compile(r"[^\W\d_]+")
UNITS = {  # by all their names, each under the first of its own
    name: names.split()[0]
    for names in (
        "km kilometer kilometers kilometre kilometres; m meter meters metre metres; cm centimeter centimeters "
        "centimetre centimetres; mm millimeter millimeters millimetre millimetres; mi mile miles; yd yds yard "
        "yards; ft foot feet; in inch inches; kg kilogram kilograms; g gram grams; mg milligram milligrams; lb lbs "
        "pound pounds; oz ounce ounces; l liter liters litre litres; ml milliliter milliliters millilitre "
        "millilitres; gal gallon gallons; s sec secs second seconds; min mins minute minutes; h hr hrs hour hours; "
        "day days; week weeks; month months; year yr yrs years; $ dollar dollars usd; € euro euros eur; £ gbp; cent "
        "¢ cents; cup cups; ° deg degree degrees; rad radian radians; mph; kmh kph; am; pm"
    ).split(";")
    for name in names.split()
}
_UNIT = re.compile(
    r"\s*(?P<size>sq(?:uare)?\b\.?|cu(?:bic)?\b\.?)?\s*(?P<unit>[^\W\d_]+|[$€£¢°])(?P<power>\s?\^\s?-?\d)?"
    r"(?:\s*(?:/|\bper\b|\ban?\b)\s*(?P<per>[^\W\d_]+)(?:\s?\^\s?\d)?)?",
    re.IGNORECASE,
)
_SHORT_UNITS = {"mph1/": "mi1/h", "kmh1/": "km1/h"}
_POWERS = {"s": 2, "c": 3, "2": 2, "3": 3}
DEGREES = re.compile(r"\s*(?:°|degrees?\b)?\s*([cf])(?:elsius|ahrenheit)?\s*$", re.IGNORECASE)
_MOST_WORDS = 12
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:,\d{3}){2,}")  # or a list, where they stand in brackets
_OTHER = set(  # words that make a number another one, or leave it open
    "not no never neither nor cannot t without except wrong incorrect unknown undefined or either maybe perhaps "
    "possibly probably than least most under over below above between beyond up about around roughly approximately "
    "approx almost nearly circa some minus negative plus twice double triple half third quarter squared cubed root "
    "log ln sin cos tan exp factorial sqrt pi infinity mod modulo remainder divided multiplied halves thirds fourths "
    "fifths sixths sevenths eighths ninths tenths hundredths thousandths hundred hundreds thousand thousands million "
    "millions billion billions trillion dozen dozens score zero one two three four five six seven eight nine ten "
    "eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty "
    "seventy eighty ninety".split()
)
_OTHER_PARTS = re.compile(  # the same where words run together
    "[不没沒未無无非第或负負]|半(?![径徑])|[约約](?![数數])|至[少多]|最[少多]|超[过過え]|以[上下内內]|左右|程度|ない|ませ|およそ|ほぼ|または|"
    "少なく|マイナス|아니|아닙|않|이상|이하|미만|초과|정도|절반|또는"
)


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


def plain_figures(text: str) -> str:
    r"""Write what LaTeX and vulgar fractions make of figures as plain text does, and leave all else as it is.

    >>> plain_figures(r"10{,}000 or 10\,000, 1,\!234, \frac{3}{4}, 2½")
    '10,000 or 10,000, 1,234,  3/4 , 2 1/2 '
    """
    return without_vulgar(_FRACTION.sub(_written_fraction, _GROUPS.sub(",", text)))


def without_vulgar(text: str) -> str:
    """Write ½ as 1/2, apart from a number before it."""
    return "".join(
        f" {unicodedata.normalize('NFKC', letter).replace('⁄', '/')} " if _is_vulgar(letter) else letter
        for letter in text
    )


def plain_words(text: str) -> bool:
    """Tell whether the words of a text are few, and none makes the number beside them another or leaves it open."""
    words = WORD.findall(text.lower())
    return len(words) <= _MOST_WORDS and _OTHER.isdisjoint(words) and not _OTHER_PARTS.search(text)


def read_unit(text: str) -> str:
    """Return the unit with which a text begins, under one name for all its spellings; "" if it is not known.

    >>> read_unit("square inches"), read_unit("mph"), read_unit("clips")
    ('in2/', 'mi1/h', '')
    """
    found = _UNIT.match(text)
    if scale := DEGREES.match(text):
        return f"°{scale[1].lower()}"
    unit = UNITS.get(found["unit"].lower()) if found else None
    if not unit or (unit == "in" and found.end() < len(text.rstrip())):  # 72 in total
        return ""
    power = next((_POWERS[letter] for letter in (found["size"] or found["power"] or "")[::-1] if letter in _POWERS), 1)
    per = (found["per"] or "").lower()
    name = f"{unit}{power}/{UNITS.get(per, per)}"
    return _SHORT_UNITS.get(name, name)


def is_unspaced(word: str) -> bool:
    """Tell whether a word begins in a writing that sets no space beside a number, where one letter may be a word."""
    return bool(re.match(f"[{UNSPACED}]", word))


def _is_vulgar(letter: str) -> bool:
    return not letter.isascii() and unicodedata.decomposition(letter).startswith("<fraction>")


def _written_fraction(found: re.Match[str]) -> str:
    return f" {found['minus'] or ''}{found['top'] or found['short']}/{found['bottom'] or found['brief']} "


def _unwrapped(text: str) -> str:
    text = text.rstrip(" .,;。，；")
    inside = text[1:-1].strip()
    if text[:1] == "(" and text[-1:] == ")" and ")" not in inside and not _THOUSANDS.fullmatch(inside):
        return inside
    return text
