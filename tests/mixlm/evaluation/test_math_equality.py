"""What is refused though math-verify takes it for equal, and what it must still find equal."""

import pytest


pytest.importorskip("math_verify")

from mixlm.evaluation.math_equality import equal, read  # noqa: E402


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        (r"\frac{1}{2^{99}}", r"\frac{1}{2^{98}}", False),
        (r"\frac{1}{2^{99}}", r"\frac{2}{2^{100}}", True),
        (r"\frac{1}{2004!}", r"\frac{1}{2006!}", False),
        (r"2\pi", "6.283185", True),
        ("3", "2x = 3", False),
        ("3", "x^2 = 3", False),
        ("3", "x = 3", True),
        ("3", "f(x) = 3", True),
        ("3", "a + b = 3", True),
        ("3", "1 + 2 = 3", True),
        ("(1, 2)", "1 < x < 2", True),
        ("(1, 2)", "x^2 - 3x + 2 < 0", False),
        ("3t", "3", False),
        ("6m", "6d", False),
        ("4", r"4\sqrt(2", False),
        ("x", r"x \text{ odd}", False),
        ("", "", False),
    ],
)
def test_equality_is_of_the_whole_of_two_expressions(gold, answer, right):
    assert equal(gold, answer) is right


def test_what_cannot_be_read_whole_is_read_as_text():
    assert read("") == [] and all(isinstance(part, str) for part in read(r"1, 2, \ldots, n"))
