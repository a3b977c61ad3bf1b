"""Numbers as they stand in answers."""

from fractions import Fraction

import pytest

from mixlm.evaluation.numbers import Quantity, read_number, read_quantity


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3", Fraction(3)),
        ("3.0", Fraction(3)),
        ("-1,234,567.50", Fraction(-2469135, 2)),
        ("$18.", Fraction(18)),
        ("12%", Fraction(12)),
        (" + 7 ", Fraction(7)),
        (".5", Fraction(1, 2)),
        ("2.", Fraction(2)),
        ("3/4", Fraction(3, 4)),
        ("1e3", Fraction(1000)),
        ("0.1", Fraction(1, 10)),
        ("1 1/2", Fraction(3, 2)),
        ("-1½", Fraction(-3, 2)),
        ("1 and 1/2", Fraction(3, 2)),
        (r"1\frac12", Fraction(3, 2)),
        (r"\frac{-3}{4}", Fraction(-3, 4)),
        (r"10\,000", Fraction(10000)),
        (r"3 \times 10^{-2}", Fraction(3, 100)),
        ("f(2) = 7", Fraction(7)),
        ("8 x 9 = 72", Fraction(72)),
        ("$-7", Fraction(-7)),
        ("72 °C", Fraction(72)),
        ("3/0", None),
        ("", None),
        ("apples", None),
        ("4 10/3", None),
        ("1e999999999", None),
        ("9" * 5000, None),
        ("1_000", None),
        ("1,00,000", Fraction(100000)),
        ("-12,34,056.5", Fraction(-2468113, 2)),
        ("1'234", Fraction(1234)),
        ("1’234’567.50", Fraction(2469135, 2)),
        ("1\u202f234\u00a0567", Fraction(1234567)),
        ("－５．５", Fraction(-11, 2)),
        ("36,36,108", None),  # a list of three, or a number in India
        ("1,00,00", None),
        ("1'234,567", None),  # in whose languages a comma begins decimals
        ("1\u00a0234,567", None),
        ("1.234,50 €", None),
        ("3万5千", None),
        ("1.2.3", None),
        ("3/4/2020", None),
        ("2**3**4", None),
        ("2x = 6", None),
        ("y = 2x + 7", None),
        ("7 2/3/5", None),
        ("7 squared", None),
        (r"7\pi", None),
        ("step 7", None),
        ("it isn't 7", None),
        ("is it 7?", None),
        ("nan", None),
    ],
)
def test_numbers_are_read_exactly(text, number):
    assert read_number(text) == number


def test_short_words_after_a_number_are_variables_in_algebra():
    assert read_quantity("3 h") == Quantity(Fraction(3), unit="h1/")
    assert [read_quantity(text, algebra=True) for text in ("3 h", "3h", "2 ab", "2 x")] == [None] * 4
    assert (
        read_quantity(r"3 \text{ h}", algebra=True) == read_quantity("3 hours", algebra=True) == read_quantity("3 h")
    )


def test_units_are_told_apart_where_both_are_known():
    five = [
        read_quantity(f"5{unit}") for unit in ("", " cm", " centimetres", " m", " cm^2", " apples", " mph", " mi/h")
    ]
    bare, cm, long, metre, square, apples, mph, miles = five
    assert cm.equals(long) and cm.equals(bare) and cm.equals(apples) and mph.equals(miles)
    assert not cm.equals(metre) and not cm.equals(square) and not metre.equals(mph)
    assert read_quantity("72 in total").equals(read_quantity("72 cm"))


def test_a_share_of_a_hundred_equals_its_number_and_its_hundredth_part():
    half, others = read_quantity("50 %"), [read_quantity(text) for text in ("50", "0.5", "1/2", "50 percent", r"50\%")]
    assert all(half.equals(other) and other.equals(half) for other in others)
    assert not half.equals(read_quantity("5000%")) and not half.equals(read_quantity("0.5%"))
    assert not read_quantity("50").equals(read_quantity("0.5"))


def test_only_a_fraction_without_end_is_rounded():
    third, decimal = read_quantity("1/3"), read_quantity("0.333333")
    assert third.rounds(decimal) and decimal.rounds(third) and not third.equals(decimal)
    assert not third.rounds(read_quantity("0.3333"))
    assert not read_quantity("0.1234567").rounds(read_quantity("0.1234568"))
    assert not read_quantity("1/3000000").rounds(read_quantity("0.0000004"))
