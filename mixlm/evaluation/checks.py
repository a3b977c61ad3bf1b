"""Comparing the answer of a model with the right one: the one truth of what is right, for every task."""

import re
from collections.abc import Callable, Iterable
from fractions import Fraction

from mixlm.errors import InputError
from mixlm.evaluation.math_check import equal_math, require_math_verify
from mixlm.tasks import CheckName
from mixlm.tasks.mathematics.answer_marks import marked_answer
from mixlm.tasks.maze.plan import verify


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?(/\d+)?", re.IGNORECASE)
_LOOSE_NUMBER = re.compile(r"(?<![\w.])([+-]?(\d[\d,]*(\.\d+)?|\.\d+)(/\d+)?)")
_MARKED = re.compile(r"\$|\\boxed|(?<!\\)\\[(\[]")  # two backslashes and a bracket only end a row of a matrix
_DIGITS = 1000  # Python refuses to convert integers of more than 4,300 digits


def check_answer(gold: str, answer: str | None, check: CheckName = "exact", question: str = "") -> bool:
    """Tell whether ``answer`` is right.

    Args:
        gold: The right answer.
        answer: The model's answer; None, for no answer, is wrong.
        check: "exact": equal but for runs of white space; "number": equal as rational numbers, whatever the commas,
            currency and percent signs around them; "math": equal to math-verify, within a time limit; "maze": a
            plan that leads to the goal of the maze in ``question``, be it that of ``gold`` or another.
        question: The question; only "maze" reads it.

    Raises:
        InputError: If the check is unknown, is "math" and math-verify is not installed, or is "maze" and the question
            is no maze.
    """
    require_check(check)
    return answer is not None and CHECKS[check](gold, answer, question)


def same_answer(first: str, second: str, check: CheckName = "exact") -> bool:
    """Tell whether two answers say the same, be they right or wrong; two plans of a maze do if they are one plan.

    Args:
        first: What stands in an answer's place.
        second: The same of another answer.
        check: As for ``check_answer``, whose errors it raises.
    """
    return check_answer(first, second, "exact" if check == "maze" else check)


def unmarked_answer(text: str, check: CheckName) -> str | None:
    """Return what a text answers that was not written to a template; None if that cannot be told.

    Args:
        text: What a model wrote.
        check: "number": the last number is the answer; "math": what ``marked_answer`` finds; for others there is none.

    >>> unmarked_answer("10 - 4 makes 6, so she has $1,006.", "number")
    '1,006'
    """
    if check == "math":
        return marked_answer(text)
    numbers = _LOOSE_NUMBER.findall(text) if check == "number" else []
    return numbers[-1][0] if numbers else None


def require_check(check: CheckName, questions: Iterable[str] = ()) -> None:
    """Find out before any work whether ``check`` can be used, on ``questions`` if they are known.

    Raises:
        InputError: As ``check_answer``.
    """
    if check not in CHECKS:
        raise InputError(f"--check '{check}': no such check; choose from {', '.join(CHECKS)}")
    if check == "math":
        require_math_verify()
    for question in questions if check == "maze" else ():
        verify(question, "")


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


def _equal_text(gold: str, answer: str, question: str = "") -> bool:
    return gold.split() == answer.split()


def _equal_number(gold: str, answer: str, question: str = "") -> bool:
    wanted = read_number(gold)
    if wanted is None:
        return _equal_text(gold, answer)
    return read_number(answer) == wanted


def _equal_math(gold: str, answer: str, question: str = "") -> bool:
    require_math_verify()
    return _equal_text(gold, answer) or equal_math(_as_latex(gold), _as_latex(answer))


def _solves_maze(gold: str, answer: str, question: str) -> bool:
    return verify(question, answer).feasible


def _as_latex(text: str) -> str:
    """Mark bare LaTeX as such; math-verify finds it only between dollars or brackets or in a box."""
    return text if _MARKED.search(text) else f"${text}$"


CHECKS: dict[CheckName, Callable[[str, str, str], bool]] = {
    "exact": _equal_text,
    "number": _equal_number,
    "math": _equal_math,
    "maze": _solves_maze,
}
