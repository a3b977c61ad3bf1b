"""Comparing the answer of a model with the right one: the one truth of what is right, for every task."""

from collections.abc import Callable, Iterable, Sequence

from mixlm.errors import InputError
from mixlm.evaluation.latex import bare_latex, compact, in_radians, split_unit, told_apart, words_of
from mixlm.evaluation.math_check import equal_math, require_math_verify
from mixlm.evaluation.numbers import last_number, read_quantity
from mixlm.evaluation.plain_text import plain_text
from mixlm.tasks import CheckName
from mixlm.tasks.mathematics.answer_marks import marked_answer
from mixlm.tasks.maze.plan import verify


def check_answer(gold: str, answer: str | None, check: CheckName, question: str = "") -> bool:
    """Tell whether ``answer`` is right.

    Args:
        gold: The right answer.
        answer: The model's answer; None, for no answer, is wrong.
        check: "exact": equal but for runs of white space; "number": equal as rational numbers, read as
            ``mixlm.evaluation.numbers`` does, or as texts where ``gold`` is none; "math": equal as such numbers, or
            to math-verify, within a time limit; "maze": a plan that leads to the goal of the maze in ``question``, be
            it that of ``gold`` or another.
        question: The question; only "maze" reads it.

    Raises:
        InputError: If the check is unknown, is "math" and math-verify is not installed, or is "maze" and the question
            is no maze.
    """
    require_check(check)
    return answer is not None and CHECKS[check](gold, answer, question)


def same_answer(first: str, second: str, check: CheckName) -> bool:
    """Tell whether two answers say the same, be they right or wrong; two plans of a maze do if they are one plan.

    Args:
        first: What stands in an answer's place.
        second: The same of another answer.
        check: As for ``check_answer``, whose errors it raises.
    """
    return check_answer(first, second, "exact" if check == "maze" else check)


def unread_answers(golds: Sequence[str], check: CheckName) -> list[int]:
    """Return the places of right answers that a check cannot read, so that the very same words alone are right.

    Args:
        golds: The right answers.
        check: "number" reads numbers, "math" what is a number, words, or equal to itself to math-verify; the others
            read any text but an empty one.
    """
    reads = {"number": lambda gold: read_quantity(gold) is not None, "math": _reads_math}.get(check, str.strip)
    known = {gold: bool(reads(gold)) for gold in set(golds)}
    return [place for place, gold in enumerate(golds) if not known[gold]]


def _reads_math(gold: str) -> bool:
    if read_quantity(gold, algebra=True) or words_of(gold):
        return True
    latex = split_unit(bare_latex(gold))[0]
    return equal_math(latex, latex)


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
    return last_number(text) if check == "number" else None


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


def _equal_text(gold: str, answer: str, question: str = "") -> bool:
    return gold.split() == answer.split()


def _equal_number(gold: str, answer: str, question: str = "") -> bool:
    wanted = read_quantity(gold)
    if wanted is None:
        return compact(plain_text(gold)).casefold() == compact(plain_text(answer)).casefold()
    given = read_quantity(answer)
    return given is not None and wanted.equals(given)


def _equal_math(gold: str, answer: str, question: str = "") -> bool:
    require_math_verify()
    if _equal_text(gold, answer):
        return True
    wanted = read_quantity(gold, algebra=True)
    given = read_quantity(answer, algebra=not (wanted and wanted.unit))
    if wanted and given:
        return wanted.equals(given) or wanted.rounds(given)
    words = words_of(gold)
    if words:
        return words == plain_text(answer).casefold()
    return _equal_latex(bare_latex(gold), bare_latex(answer))


def _equal_latex(gold: str, answer: str) -> bool:
    if compact(gold) == compact(answer):
        return bool(gold)
    (wanted, unit), (given, other) = split_unit(gold), split_unit(answer)
    if (unit and other and unit != other) or told_apart(wanted, given):
        return False
    if ("\\pi" in wanted) != ("\\pi" in given):
        wanted, given = in_radians(wanted), in_radians(given)
    return compact(wanted) == compact(given) or equal_math(wanted, given)


def _solves_maze(gold: str, answer: str, question: str) -> bool:
    return verify(question, answer).feasible


CHECKS: dict[CheckName, Callable[[str, str, str], bool]] = {
    "exact": _equal_text,
    "number": _equal_number,
    "math": _equal_math,
    "maze": _solves_maze,
}
