"""Answers as bare LaTeX, and what is told of two of them before math-verify is asked."""

import pytest

from mixlm.evaluation.latex import bare_latex, compact, in_radians, split_unit, told_apart, words_of


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("x + 1.", "x + 1"),
        ("$x + 1$", "x + 1"),
        (r"\[ x + 1 \].", "x + 1"),
        (r"So the answer is \boxed{x + 1}.", "x + 1"),
        (r"**$x = 2$** or **$x = 3$**", "x = 2, x = 3"),
        (r"$69$,$84$", "69, 84"),
        (r"\boxed{3} and \boxed{5}", "3, 5"),
        (r"not $x$", "not x"),
        (r"$3$ x", "3 x"),
        (r"($3$, $4$)", "( 3 , 4 )"),
        (r"\$18.90", "18.90"),
        ("1 1/2, 3", r"(1+\frac{1}{2}), 3"),
        ("x^2 1/2", "x^2 1/2"),
        ("4 10/3", "4 10/3"),
        (r"0.1\overline{6}", r"\frac{1}{6}"),
        (r"0.\bar{3}", r"\frac{1}{3}"),
        ("2√3 ≤ x", r"2\sqrt{3} \le x"),
        (r"\left( 1, 2 \right.", r"\left( 1, 2 \right."),
        (r"\approx 17.1", "17.1"),
    ],
)
def test_an_answer_is_stripped_of_what_is_around_it(text, latex):
    assert bare_latex(text) == latex


@pytest.mark.parametrize(
    ("latex", "rest", "unit"),
    [
        (r"6\pi \text{ cm}^2", r"6\pi", "cm2/"),
        (r"2\sqrt{3} square units", r"2\sqrt{3}", ""),
        (r"80 \pi \mathrm{mi} / \mathrm{min}", r"80 \pi", "mi1/min"),
        (r"x \text{ cm}", r"x \text{ cm}", ""),
        (r"3 \text{ or more}", r"3 \text{ or more}", ""),
        ("3 ab", "3 ab", ""),
    ],
)
def test_a_unit_stands_after_what_is_measured(latex, rest, unit):
    assert split_unit(latex) == (rest, unit)


@pytest.mark.parametrize(
    ("gold", "answer", "apart"),
    [
        (r"1, 2, \ldots, n", r"1, 3, \ldots, 2n-1", True),
        (r"1, 2, \ldots, n", r"1,2,\ldots,n", False),
        ("52_8", "52_9", True),
        ("52_8", r"52_{8}", False),
        ("52_8", "52", False),
        ("52", "52_8", True),
        ("52", "52_{10}", False),
        ("12:30", "2:5", True),
        ("11:4", "22:8", False),
        ("f'(x) = 2", "f(x) = 2", True),
        ("f'(x) = 2", "2", False),
        ("12", "1 2", True),
        ("2,3", "2,3,3", True),
        ("1,000, 2", "1000, 2", False),
        ("2, 300", "2, 300, 300", True),
        (r"\{100, 200\}", "(100, 200)", True),
        ("32, 348", "32, 348", False),
        (r"x=1 \text{ or } x=2", "1, 2", False),
        (r"\{1,2\}", "(1,2)", True),
        ("[1,2]", r"\left\{1,2\right\}", True),
        (r"\{1,2\}", "1,2", False),
        ("(1,2),(3,4)", r"\{(1,2),(3,4)\}", False),
    ],
)
def test_what_math_verify_does_not_see_is_told_apart(gold, answer, apart):
    assert told_apart(gold, answer) is apart


def test_white_space_counts_between_digits_and_before_the_hundreds_of_a_list():
    assert compact(r"\left( 1, x y \right)") == "(1,xy)"
    assert compact("1 2") != "12" and compact("32, 348") != compact("32,348")


def test_words_are_words_in_any_case_and_letters_are_variables():
    assert words_of("East") == words_of(r"\text{east}.") == "east"
    assert words_of(r"\text{(C)}") == "c"
    assert [words_of(text) for text in ("xy", "A", "7 clips", r"\pi")] == [None] * 4


def test_degrees_become_parts_of_pi():
    assert in_radians(r"(60^{\circ}, 1)") == r"(60\cdot\frac{\pi}{180}, 1)"


@pytest.mark.parametrize("text", ["0.\\overline{%s}", "1 %s/3", "1 1/%s"])
def test_digits_that_a_model_repeats_without_end_are_no_number(text):
    """Python refuses to convert integers of more than 4,300 digits."""
    for digits in ("142857" * 1000, "3" * 4301):
        assert bare_latex(text % digits) == text % digits
