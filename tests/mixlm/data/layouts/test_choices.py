from decimal import Decimal

import pytest

from mixlm.data.layouts.choices import choice_answer, choice_lines, choices_of
from mixlm.errors import InputError


LINES = "A. red\nB. blue"


@pytest.mark.parametrize(
    ("choices", "lines"),
    [
        (["red", "blue"], LINES),
        ({"text": ["red", "blue"], "label": ["A", "B"]}, LINES),
        ({"text": ["red", "blue"], "label": None}, LINES),
        ([{"label": "A", "text": "red"}, {"label": "B", "text": "blue"}], LINES),
        ({"A": "red", "B": "blue", "C": None}, LINES),
        (LINES, LINES),
        (["A)red", "B)blue"], "A)red\nB)blue"),
        (["(A) red", "(B) blue"], "(A) red\n(B) blue"),
        ([3, 4.5], "A. 3\nB. 4.5"),
        ({"text": ["red", "blue"], "label": ["1", "2"]}, "1. red\n2. blue"),
        (None, ""),
        ([], ""),
    ],
)
def test_every_form_of_choices_becomes_lines_with_labels(choices, lines):
    for name in ("choices", "options"):
        assert choice_lines({name: choices}, "Which?", "row") == lines


def test_choices_may_have_a_column_each():
    for names in (
        *(("A", "B"), ("option_a", "option_b"), ("choiceA", "choiceB"), ("B", "A")[::-1], ("Option_A", "OPTION_B")),
        *(("Option A", "Option B"), ("opa", "opb"), ("answerA", "answerB"), ("ending_A", "ending_B")),
    ):
        assert choice_lines(dict(zip(names, ("red", "blue"), strict=True)), "Which?", "row") == LINES
    assert choice_lines({"ans0": "red", "ans1": "blue", "answers": 2}, "Which?", "row") == "0. red\n1. blue"
    assert choice_lines({"c": "green", "a": "red", "b": "blue"}, "Which?", "row") == f"{LINES}\nC. green"
    assert choice_lines({f"option{one}": "x" for one in range(1, 12)}, "Which?", "row").endswith("9. x\n10. x\n11. x")
    assert choice_lines({"option1": "red", "option2": "blue"}, "Which?", "row") == "1. red\n2. blue"
    for row in (
        {"A": "red"},
        {"B": "red", "C": "blue"},
        {"choices": [], "X": "x", "Y": "y"},
        {"a": "red", "b": "blue"},
        {"a": 1, "b": 2, "c": 3},
        {"a": "red", "q": "blue", "s": "green"},
        {"answerkey": "A", "answer_b": "red"},
    ):
        assert choice_lines(row, "Which?", "row") == ""
    with pytest.raises(InputError, match="^row: column 'A' holds no choices that can be read"):
        choices_of({"A": ["red"], "B": "blue"}, "row")
    with pytest.raises(InputError, match="^row: columns 'answer1' and 'answer2' may be choices or answers; name"):
        choices_of({"answer1": "red", "answer2": "blue"}, "row")


def test_choices_keep_small_letters_of_their_own():
    assert choice_lines({"choices": ["a) red", "b) blue"]}, "Which?", "row") == "a) red\nb) blue"


def test_choices_that_the_question_has_are_not_told_twice():
    assert choice_lines({"choices": ["red", "blue"]}, "Which?\n(A) red\n(B) blue", "row") == ""
    assert choice_lines({"choices": ["red", "blue"]}, "Which, red or blue?", "row") == LINES


@pytest.mark.parametrize(
    "choices",
    [
        7,
        {"text": ["red"], "label": ["A", "B"]},
        [["red"]],
        [None, "red"],
        ["red", " "],
        {"text": ["a"], "label": 5},
        ["x"] * 27,
    ],
)
def test_choices_of_another_form_are_refused(choices):
    with pytest.raises(InputError, match="^here: column 'options' holds no choices that can be read; give a list"):
        choices_of({"options": choices}, "here")


COLOURS, NUMBERS = (("A", "red"), ("B", "blue")), (("A", "1"), ("B", "2"), ("C", "4"), ("D", "9"))
DECIMALS, COUNTED = (("A", "1.0"), ("B", "2.0")), (("1", "red"), ("2", "blue"))


@pytest.mark.parametrize(
    ("answer", "choices", "label"),
    [
        (1, COLOURS, "B"),
        ("1", COLOURS, "B"),
        ("B", COLOURS, "B"),
        ("blue", COLOURS, "blue"),
        ("(B) blue", COLOURS, "(B) blue"),
        (True, COLOURS, True),
        (9, NUMBERS, "9"),
        (9.0, NUMBERS, "9"),
        ("2", NUMBERS, "2"),
        (3, NUMBERS, "D"),
        (7, (), 7),
        (1.0, COLOURS, "B"),
        ("1.0", COLOURS, "B"),
        (Decimal(1), COLOURS, "B"),
        (0.5, COLOURS, 0.5),
        ("1.0", DECIMALS, "1.0"),
        (2, DECIMALS, "2.0"),
        ("1", COUNTED, "1"),
        (1, COUNTED, 1),
        (2.0, COUNTED, 2),
    ],
)
def test_the_place_of_a_choice_is_its_label_and_all_else_stays(answer, choices, label):
    assert choice_answer(answer, choices, "row") == label


@pytest.mark.parametrize(
    ("answer", "choices", "why"),
    [
        (2, COLOURS, "no place among 2 choices, counted from 0; if the file counts from 1, .*; give the label"),
        (3, COLOURS, "no place among 2 choices; give the label"),
        (-1, COLOURS, "no place"),
        (2, NUMBERS, "and the text of another"),
        (1, DECIMALS, "and the text of another"),
        (0, COUNTED, "labels"),
    ],
)
def test_a_number_that_can_be_no_place_or_two_choices_is_refused(answer, choices, why):
    with pytest.raises(InputError, match=f"^row: column 'answer' is {answer}, .*{why}"):
        choice_answer(answer, choices, "row")
