"""Equality of two answers by math-verify, with its known false equalities told; runs in the process of ``math_check``.

math-verify is imported at the first call, which takes a second or two.
"""

from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from sympy import Basic

_CLOSE = 1e-5  # of a number, beside six places after its point
_DIGITS = 30


def equal(gold: str, answer: str) -> bool:
    """Tell whether two texts of bare LaTeX are equal, each read whole; raises what sympy does."""
    from math_verify import verify

    golds, answers = read(gold), read(answer)
    if not golds or not answers or isinstance(golds[0], str) or isinstance(answers[0], str):
        return False
    wanted, given = golds[0], answers[0]
    if _restates(wanted, given) or _far(wanted, given):
        return False
    return bool(verify(wanted, given, allow_set_relation_comp=_is_bounds(given)))


def read(latex: str) -> list[Any]:
    """Return what math-verify reads bare LaTeX as: expression and text, the text alone, or nothing."""
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse

    # units are letters too, and a part of what cannot be read whole may be the wrong one
    whole = NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none")
    return parse(f"${latex}$", [LatexExtractionConfig(normalization_config=whole)])


def _restates(gold: "Basic", answer: "Basic") -> bool:
    """Tell whether an answer is an equation of one unknown that is not solved, where a value is asked for: 2x = 6."""
    from sympy import Eq
    from sympy.core.function import Function

    if not isinstance(answer, Eq) or isinstance(gold, Eq):
        return False
    left = answer.lhs
    return len(left.free_symbols) == 1 and not left.is_Symbol and not isinstance(left, Function)


def _far(gold: "Basic", answer: "Basic") -> bool:
    """Tell whether two numbers differ although they are equal in their first places after the point."""
    from sympy import Expr

    for one in (gold, answer):
        if not isinstance(one, Expr) or one.free_symbols:
            return False
    one, other = gold.evalf(_DIGITS), answer.evalf(_DIGITS)
    if not (one.is_Number and other.is_Number and one.is_finite and other.is_finite):
        return False
    return abs(one - other) > _CLOSE * max(abs(one), abs(other))


def _is_bounds(answer: "Basic") -> bool:
    """Tell whether an answer is bounds of a variable, such as 1 < x < 2, and no inequality yet to be solved."""
    from sympy.core.relational import Relational

    parts = getattr(answer, "_unsorted_args", [answer])
    return all(
        isinstance(part, Relational) and all(side.is_Symbol or not side.free_symbols for side in part.args)
        for part in parts
    )
