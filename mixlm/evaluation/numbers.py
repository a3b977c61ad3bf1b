r"""Reading an answer as a number, as a person would.

Marks and words around a number do not count: ``**72**``, ``\boxed{72}``, ``$72``, ``x = 72``, ``72 km/h`` and
``8 * 9 = 72`` are 72. A text is no number if it has two of them, or a sign or word that makes its number another one
or leaves it open: ``72 or 73``, ``7 2``, ``2x = 72``, ``not 72``, ``at least 72``, ``72 thousand``.
"""

import re
from dataclasses import dataclass, field, replace
from fractions import Fraction

from mixlm.evaluation.plain_text import (
    DEGREES,
    SPACES,
    UNITS,
    UNSPACED,
    WORD,
    is_unspaced,
    plain_figures,
    plain_text,
    plain_words,
    read_unit,
)


_LONGEST = 1000  # letters of a text; Python refuses to convert integers of more than 4,300 digits
_WHOLE = (  # 1,234 and 1'234, or as in India 1,00,000; 1,2 and 36,36,108 may be lists, and 1'234,567 has decimals
    r"(?:[1-9]\d{0,2}(?:(?:,\d{3})++|(?:'\d{3})++)|(?=[\d,]*,0)[1-9]\d?(?:,\d\d)+,\d{3}|\d++)(?![\d,']*[,']\d)"
)
_DECIMAL = rf"(?:{_WHOLE}(?:\.\d*)?|\.\d+)"
_UNNAMED = rf"(?<![^\W{UNSPACED}])(?<!\d)"  # no 2 of B2
_SIGN = rf"(?:{_UNNAMED}(?<![.)])[+-]\s*)?"
_UNSIGNED = (
    rf"(?:(?P<whole>{_WHOLE})(?:\s+|\s+and\s+)(?P<top>\d+)\s?/\s?(?P<bottom>\d+)"  # 1 1/2
    rf"|10\^(?P<ten>-?\d{{1,3}})|(?P<number>{_DECIMAL}(?:e[+-]?\d{{1,3}}\b)?)(?:\s*[*×x·]\s*10\^(?P<power>-?\d{{1,3}}))?"
    r"(?:\s?/\s?(?P<divisor>\d+))?)"
)
_MONEY = r"$¢£¥฿\u20a0-\u20c0"
_CURRENCY = rf"(?:\b(?-i:[A-Z]{{1,2}}))?\\?[{_MONEY}]\s*"  # also US$ and R$
_NUMBER = re.compile(
    rf"(?P<sign>{_SIGN})(?P<currency>{_CURRENCY}-?\s*)?{_UNNAMED}(?<![.,/^]){_UNSIGNED}(?!\d|/\s?\d|\.\d)",
    re.IGNORECASE,
)
_SCALE = (  # what makes of the number before it another one: ten thousand, tenth, more than; but no kilo
    r"(?:\s?(?:[十百万萬億亿兆割成折多余餘几幾십백천만억]|千(?![克米瓦卡])|조(?!각))"
    r"|\s?(?:hundred|thousand|million|billion|trillion|dozen)s?\b|k\b)"
)
_ON = (  # how figures go on to be one number, or may: 3,5 12:30 1 234 3万5 2分の1
    rf"(?:[.．,:：/^'’]-?|{_SCALE}|\s?(?:分[之の]|분의)\s?|(?<!\d{{4}})[，{SPACES}](?=\d{{3}}(?!\d)))\d"
)
_LOOSE = re.compile(
    rf"(?:{_UNNAMED}(?<![.)])[+-](?:\s*|{_CURRENCY}))?{_UNNAMED}(?<![.．^])(?<!\d[,:：/'’])(?:{_UNSIGNED}(?!\d|{_ON})|\d+(?:{_ON}\d*)*)(?:{_SCALE})?",
    re.IGNORECASE,
)
_SHORT = re.compile(r"[+-]?\d+(\.\d+)?")
_MINUS, _GROUPING = str.maketrans("−－", "--"), str.maketrans("", "", ",'")
_BEFORE = re.compile(r"(?:[^\W\d_]+(?:,?\s+|['’.-]))*(?:[^\W\d_]+\s*[:,]?)?")
_TOTAL, _LEFT = re.compile(r"\btotal of$", re.IGNORECASE), re.compile(r"\bleft over\b")  # which change no number
_VARIABLE = re.compile(rf"[^\W\d_{UNSPACED}]")
_NAME_MARKS = re.compile(r"_\w+|\(\s*\w+\s*\)")  # of a_1 and f(2)
_AFTER = re.compile(rf"(?:[^\W\d_]|[\s'’.,()/°·{_MONEY}-]|\^\s?-?[1-3])*")
_PERCENT = re.compile(r"\s*(?:%|per\s?cent\b|pct\b|percentage\b)", re.IGNORECASE)
_TIMES = re.compile(r"(?<=[\d)])\s*x\s*(?=[\d(])")
_ENTIRE_DECIMAL = re.compile(_DECIMAL)
_OPERATORS = re.compile(r"[+*/×÷()%$^\s-]*")

_BEFORE_NO_NUMBER = set(  # words that ask for something else than the number right after them
    "by to from in at on for of per page step question number after before until a an the times square cube".split()
)
_DATES = set(  # a number beside them is a day or a year
    "january february march april may june july august september october november december jan feb mar apr jun jul "
    "aug sep sept oct nov dec monday tuesday wednesday thursday friday saturday sunday".split()
)
_LETTERS = {unit for unit in UNITS if len(unit) == 1 and unit.isalpha()}
_RATE = re.compile(r"(?:/|\b(?:per|an?|each)\b)\s*([a-z]+)")
_DIVIDED = re.compile(r"/\s*([a-z]+)")  # by a variable, unless it is a unit or a word
_COUNTED, _SHORTEST_RATE = {*UNITS, *"ea pc mo wk sq".split()}, 3
_MILLION = re.compile(rf"\s*[A-KM-Z](?![a-zA-Z])|m\s+(?i:dollars|usd|euros?|pounds)\b|{_SCALE}")
_ORDINALS = ("st", "nd", "rd", "th")
_SHORTEST_WORD = 4
_IN_WORDS = re.compile(r"\\(?:text|mathrm|mbox|rm\b)")


@dataclass(frozen=True)
class Quantity:
    """A number as it stands in a text.

    Attributes:
        value: The number; of 12 % it is 12.
        percent: Whether it is a share of a hundred.
        unit: Its unit of measurement, if there is one that is known.
        name: The variable that it is said to be, such as ``x`` or ``f(2)``.
        about: What it is said to be about, as in ``40/3 ≈ 13.33``.
    """

    value: Fraction
    percent: bool = False
    unit: str = ""
    name: str = ""
    about: tuple["Quantity", ...] = field(default=(), repr=False)

    def equals(self, other: "Quantity") -> bool:
        """Tell whether two numbers are equal; 50 % is 50 and 0.5, and 5 cm are 5 but no 5 m."""
        return any(one._is(two) for one in (self, *self.about) for two in (other, *other.about))

    def _is(self, other: "Quantity") -> bool:
        if not self._fits(other):
            return False
        if self.percent == other.percent:
            return self.value == other.value
        share, number = (self.value, other.value) if self.percent else (other.value, self.value)
        return number in (share, share / 100)

    def is_about(self, other: "Quantity") -> bool:
        """Tell whether another number is this one, rounded to its own last place."""
        value, places = self.value * (100 if other.percent and not self.percent else 1), 1
        while _ends(other.value) and (other.value * places).denominator > 1:
            places *= 10
        return self._fits(other) and _ends(other.value) and abs(value - other.value) * places <= Fraction(1, 2)

    def rounds(self, other: "Quantity") -> bool:
        """Tell whether one of two numbers is a fraction without end as a decimal, and the other one it to six places.

        >>> read_quantity("1/3").rounds(read_quantity("0.333333"))
        True
        """
        one, two = self.value, other.value
        close = abs(one - two) < Fraction(1, 10**6) and abs(one - two) < abs(one) / 10**5
        return self._fits(other) and self.percent == other.percent and _ends(one) != _ends(two) and close

    def _fits(self, other: "Quantity") -> bool:
        units, names = {self.unit, other.unit} - {""}, {self.name, other.name} - {""}
        return (len(units) < 2 or units in ({"°1/", "°c"}, {"°1/", "°f"})) and len(names) < 2


def read_number(text: str) -> Fraction | None:
    """Return the number that ``text`` is, exactly; None if it is more, less or something else.

    >>> read_number(" $1,234.50. ")
    Fraction(2469, 2)
    """
    quantity = read_quantity(text)
    return quantity.value if quantity else None


def read_quantity(text: str, algebra: bool = False) -> Quantity | None:
    r"""Return the number that a text is, with its unit; None if it is none.

    Args:
        text: The text.
        algebra: Whether short words after a number are variables, as in ``3 h`` and ``2 ab``, and no units.

    >>> read_quantity(r"The answer is \boxed{1\frac12 \text{ hours}}.")
    Quantity(value=Fraction(3, 2), percent=False, unit='h1/', name='')
    """
    if len(text) > _LONGEST:
        return None
    if _SHORT.fullmatch(text):
        return Quantity(Fraction(text))
    line = plain_text(text)
    last, (first, *rest) = _last_quantity(line, algebra, text), line.split("≈")
    exact, *about = (_last_quantity(part.strip(), algebra, text) for part in (first, *rest))
    if not (last and exact and rest and exact.is_about(last)):
        return last
    return replace(
        exact, unit=exact.unit or last.unit, about=(*(one for one in about if one and exact.is_about(one)),)
    )


def _last_quantity(line: str, algebra: bool, text: str) -> Quantity | None:
    """Return the number that stands after the last equals sign of a text in plain form."""
    name, stated = _after_equals(line)
    found = _NUMBER.search(stated) if stated else None
    if not found or not _introduces(before := stated[: found.start()].strip()):
        return None
    if before == "(" and found[0].count(",") > 1:  # a point, or a list
        return None
    value, rest = _value(found), stated[found.end() :]
    percent = _PERCENT.match(rest)
    rest = rest[percent.end() :] if percent else rest
    shortest = _SHORTEST_WORD if algebra and not _IN_WORDS.search(text) else 2
    if value is None or not _leaves(rest, shortest, money=bool(found["currency"])):
        return None
    currency = re.sub(r"^(?!R\$)[A-Z]+(?=\$)", "", (found["currency"] or "").strip("- "), flags=re.IGNORECASE)
    unit = read_unit(currency + rest) or (f"{currency}1/" if currency else "")
    return Quantity(value, bool(percent), unit, name)


def last_number(text: str) -> str | None:
    """Return the last number in a text as it stands there; None if there is none.

    Figures that may be several numbers or one, such as ``3,5``, ``12:30`` and ``1 234``, are returned whole, and so is
    ``5万`` and ``5 thousand``: no part of them is what the text says. Figures of LaTeX are read as plain ones.

    >>> last_number("10 - 4 makes 6, so she has $1,006.")
    '1,006'
    """
    found = [*_LOOSE.finditer(plain_figures(text.translate(_MINUS)))]
    return found[-1][0].rstrip(".") if found else None


def _after_equals(line: str) -> tuple[str, str | None]:
    """Return the variable before the first equals sign, "" if there is none, and what stands after the last.

    That is None if there is more before it than a name and sums.
    """
    *links, stated = re.split("[=≈]", line)
    for place, link in enumerate(links):
        if not (_is_sum(link) or (place == 0 and _is_name(link))):
            return "", None
    name = links[0].replace(" ", "") if links else ""
    return (name if len(_NAME_MARKS.sub("", name)) == 1 else ""), stated


def _is_name(text: str) -> bool:
    text = _NAME_MARKS.sub("", text).strip()
    return bool(text) and _introduces(f"{text}:")


def _is_sum(text: str) -> bool:
    text = _TIMES.sub("*", text)
    return bool(_OPERATORS.fullmatch(_ENTIRE_DECIMAL.sub("", text)))


def _introduces(before: str) -> bool:
    """Tell whether what stands before a number leaves it as it is."""
    before = _TOTAL.sub("total", before)
    words = WORD.findall(before.lower())
    if not words:
        return before in ("", "(")
    bound = before.endswith(":") or not (_VARIABLE.fullmatch(words[-1]) or words[-1] in _BEFORE_NO_NUMBER | _DATES)
    return bool(_BEFORE.fullmatch(before)) and bound and plain_words(before)


def _leaves(after: str, shortest: int, money: bool = False) -> bool:
    """Tell whether what stands after a number leaves it as it is.

    Args:
        after: The text.
        shortest: Letters of a word at least that is no variable, if it is no unit either.
        money: Whether the number is one of money, which is a price a thing, and divided by no variable.
    """
    text = _LEFT.sub("left", after.strip().lower().rstrip("!！"))
    words = WORD.findall(text)
    if not _AFTER.fullmatch(text) or text[:1] in ("-", "^", "!") or not plain_words(text):
        return False
    if not words:
        return after.strip() == text != "/"
    divided = None if money else _DIVIDED.match(text)
    if divided and divided[1] not in _COUNTED and len(divided[1]) < _SHORTEST_RATE:
        return False
    first, units = words[0], UNITS.keys() - (_LETTERS if shortest > 2 else set())
    if DEGREES.match(text) and (text not in ("c", "f") or shortest < _SHORTEST_WORD):  # 5c is no 5 degrees in algebra
        return True
    if _MILLION.match(after) or first in _DATES:
        return False
    counted = WORD.findall(_without_rates(text, shortest))
    if any(_VARIABLE.fullmatch(word) and word not in units | {"a"} for word in counted):
        return False
    if first in units or is_unspaced(first):
        return True
    return first in _ORDINALS if after[0].isalpha() else len(first) >= shortest or not counted


def _without_rates(text: str, shortest: int) -> str:
    """Return what stands behind a number without "per hour", "/ day" and the like; "/ x" divides by a variable."""

    def left(found: re.Match[str]) -> str:
        """Return what is left of one."""
        if "/" not in found[0] and len(found[1]) > 1:
            return ""
        known = found[1] in UNITS and (found.start() > 0 or len(found[1]) > 1)
        return "" if known or len(found[1]) >= shortest else found[0]

    return _RATE.sub(left, text)


def _ends(value: Fraction) -> bool:
    """Tell whether a number has an end as a decimal."""
    left = value.denominator
    for prime in (2, 5):
        while left % prime == 0:
            left //= prime
    return left == 1


def _value(found: re.Match[str]) -> Fraction | None:
    """Return the number that was found; None of one divided by zero, or with more than a whole beside a whole."""
    sign = -1 if "-" in found["sign"] + (found["currency"] or "") else 1
    if found["whole"]:
        top, bottom = int(found["top"]), int(found["bottom"])
        return sign * (Fraction(found["whole"].translate(_GROUPING)) + Fraction(top, bottom)) if top < bottom else None
    divisor = int(found["divisor"] or 1)
    power = int(found["power"] or found["ten"] or 0)
    number = Fraction((found["number"] or "1").translate(_GROUPING)) * Fraction(10) ** power
    return sign * number / divisor if divisor else None
