"""Finding the answer in what a model wrote, and comparing it with the right one."""

import logging
import re
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import Literal, get_args

from mixlm.errors import InputError


CheckMode = Literal["exact", "number", "math"]
_FIELD = "{answer}"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?(/\d+)?", re.IGNORECASE)
_DIGITS = 1000  # Python refuses to convert integers of more than 4,300 digits


def extract_answer(text: str, solution: str) -> str | None:
    r"""Return what stands in the answer's place after the last solution marker of ``text``.

    Args:
        text: Decoded answer of a model, special tokens skipped: latents never reach this function.
        solution: The template's solution part; the marker is its literal part before ``{answer}``, and what follows
            ``{answer}`` ends the answer. White space around either is free.

    Returns:
        The answer, stripped; None if the marker is not there.

    >>> extract_answer("3 + 4 = 7\n### 7", "\n### {answer}")
    '7'
    """
    marker, _, ending = (part.strip() for part in solution.partition(_FIELD))
    _, found, answer = text.rpartition(marker) if marker else ("", True, text)
    if not found:
        return None
    if ending and ending in answer:
        answer = answer[: answer.rindex(ending)]
    return answer.strip()


def check_answer(gold: str, answer: str | None, mode: CheckMode = "exact") -> bool:
    """Tell whether ``answer`` is right.

    Args:
        gold: The right answer.
        answer: The model's answer; None, for no answer, is wrong.
        mode: "exact": equal but for runs of white space; "number": equal as rational numbers, whatever the commas,
            currency and percent signs around them; "math": equal to math-verify.

    Raises:
        InputError: If the mode is unknown, or is "math" and math-verify is not installed.
    """
    if mode not in _CHECKS:
        raise InputError(f"--check '{mode}': no such check; choose from {', '.join(get_args(CheckMode))}")
    return _CHECKS[mode](gold, answer) if answer is not None else False


def require_check(mode: CheckMode) -> None:
    """Find out before any work whether ``mode`` can be used.

    Raises:
        InputError: As ``check_answer``.
    """
    check_answer("1", "2", mode)


def read_number(text: str) -> Fraction | None:
    """Return the number that ``text`` is, exactly; None if it is more, less or something else.

    >>> read_number(" $1,234.50. ")
    Fraction(2469, 2)
    """
    bare = re.sub(r"[\s,$%]", "", text).rstrip(".")
    if len(bare) > _DIGITS or not _NUMBER.fullmatch(bare):
        return None
    number, _, divisor = bare.partition("/")
    return Fraction(number) / int(divisor or 1) if int(divisor or 1) else None


def _equal_text(gold: str, answer: str) -> bool:
    return gold.split() == answer.split()


def _equal_number(gold: str, answer: str) -> bool:
    wanted = read_number(gold)
    if wanted is None:
        return _equal_text(gold, answer)
    return read_number(answer) == wanted


def _equal_math(gold: str, answer: str) -> bool:
    try:
        from math_verify import parse, verify
    except ImportError:
        raise InputError("--check math needs math-verify; install it with: pip install 'mixlm[math]'") from None

    if _equal_text(gold, answer):
        return True
    # Its time limits are signals, which only the main thread can receive; without them it warns at every call.
    limited = threading.current_thread() is threading.main_thread()
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    options = {} if limited else {"parsing_timeout": None}
    parsed = [parse(_as_latex(text), **options) for text in (gold, answer)]
    return bool(verify(*parsed, **({} if limited else {"timeout_seconds": None})))


def _as_latex(text: str) -> str:
    """Mark bare LaTeX as such; math-verify finds it only between dollars or in a box."""
    return text if "$" in text or r"\boxed" in text else f"${text}$"


_CHECKS: dict[str, Callable[[str, str], bool]] = {
    "exact": _equal_text,
    "number": _equal_number,
    "math": _equal_math,
}
