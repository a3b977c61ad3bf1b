import sys
import threading
from pathlib import Path
from typing import get_args

import pytest

from mixlm.data.template import Template
from mixlm.errors import InputError
from mixlm.evaluation import math_check
from mixlm.evaluation.checks import CHECKS, check_answer, require_check, same_answer, unmarked_answer, unread_answers
from mixlm.evaluation.numbers import read_number
from mixlm.tasks import CheckName


DEFAULT = "\n### {answer}"
CORRIDOR = "size 1 3 walls keys doors agent aa goal ac"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("3 + 4 = 7\n### 7", "7"),
        ("\n### 7", "7"),
        ("### 7", "7"),
        ("first\n### 6\nno, again\n### 7", "7"),
        ("x\n###   two words \n", "two words"),
        ("x\n###", ""),
        ("the answer is 7", None),
        ("", None),
    ],
)
def test_the_answer_follows_the_last_marker(text, answer):
    assert Template(solution=DEFAULT).find_answer(text) == answer


def test_other_templates():
    assert Template(solution=" #### {answer}").find_answer("steps #### 12") == "12"
    assert Template(solution=r"so \boxed{{answer}}").find_answer(r"so \boxed{\frac{1}{2}}.") == r"\frac{1}{2}"
    assert Template(solution="The answer is {answer}. Done").find_answer("The answer is 5. Done") == "5"
    assert Template(solution="The answer is {answer}. Done").find_answer("The answer is 5") == "5"
    assert Template(solution="{answer}").find_answer(" all of it ") == "all of it"


def pairs():
    """Right answers with answers that a model may give, and whether each is right by its number and as mathematics."""
    lines = (Path(__file__).parent / "answer_pairs.tsv").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if not line.startswith("#"):
            gold, answer, number, math = line.split("\t")
            yield gold, answer, {"number": number == "yes", "math": math == "yes"}


@pytest.mark.parametrize("check", ["number", "math"])
def test_answers_are_judged_as_a_person_would(check):
    if check == "math":
        pytest.importorskip("math_verify")
    found = [(*pair, check_answer(*pair, check), right[check]) for *pair, right in pairs()]
    assert [case for case in found if case[2] != case[3]] == []
    assert len(found) >= 150 and sum(case[3] for case in found) > 100 < sum(not case[3] for case in found)


@pytest.mark.parametrize("check", ["number", "math"])
@pytest.mark.parametrize("dress", ["{}", "{}.", "**{}**", r"\boxed{{{}}}", r"\boxed{{{}}}."])
def test_a_right_answer_is_right_however_it_is_dressed(check, dress):
    if check == "math":
        pytest.importorskip("math_verify")
    golds = dict.fromkeys(gold for gold, *_ in pairs())
    assert [gold for gold in golds if not check_answer(gold, dress.format(gold), check)] == []


@pytest.mark.parametrize(
    ("check", "gold", "answer", "right"),
    [
        ("exact", "a  b", " a b\n", True),
        ("exact", "3", "3.0", False),
        ("exact", "True", "true", False),
        ("number", "3", "$3.00", True),
        ("number", "1,000", "1000", True),
        ("number", "0.1", "1/10", True),
        ("number", "3", "4", False),
        ("number", "3", "three", False),
        ("number", "three", " three ", True),
        ("number", "12", "1 2", False),
        ("number", "42", "4\n2", False),
        ("number", "3 hours 20 minutes", "3 hours 20 minutes.", True),
        ("number", "9007199254740993", "9007199254740992", False),  # equal as floats
    ],
)
def test_checks(check, gold, answer, right):
    assert check_answer(gold, answer, check) is right


@pytest.mark.parametrize(
    ("plan", "right"), [("ab ac", True), ("ab aa ab ac", True), ("ab", False), ("ab ac ad", False), ("", False)]
)
def test_a_plan_is_right_that_leads_to_the_goal_of_the_question_whatever_the_reference(plan, right):
    assert check_answer("ab ac", plan, "maze", CORRIDOR) is right
    assert check_answer("", plan, "maze", CORRIDOR) is right


def test_a_question_that_is_no_maze_is_refused_before_any_answer():
    require_check("maze", [CORRIDOR])
    with pytest.raises(InputError, match="maze 'start 3': not 'size R C walls"):
        require_check("maze", [CORRIDOR, "start 3"])


@pytest.mark.parametrize("check", CHECKS)
def test_no_answer_is_wrong(check):
    assert check_answer("1", None, check, CORRIDOR) is False


def test_every_name_of_a_check_has_its_check():
    assert tuple(CHECKS) == get_args(CheckName)


def test_unknown_check_is_named():
    with pytest.raises(InputError, match="--check 'fuzzy'.*exact, number, math, maze"):
        require_check("fuzzy")


def test_math_without_its_package_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "math_verify", None)
    with pytest.raises(InputError, match="install it with: pip install math-verify$"):
        require_check("math")


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        (r"\frac{1}{2}", "0.5", True),
        (r"\frac{1}{2}", r"$\dfrac{2}{4}$", True),
        ("x + y", "y+x", True),
        (r"\boxed{3}", "3", True),
        ("2", "3", False),
        ("2", r"\frac{", False),
        (r"\[ \frac{x^2}{2} + y = 1 \]", "x^2/2 + y = 1", True),
        (r"\[ \frac{x^2}{2} + y = 1 \]", "1", False),  # which is what is left of it between dollars
        (r"\( -1 - i \)", "-i-1", True),
        (r"\begin{pmatrix} 1 \\(2) \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", True),
    ],
)
def test_math_knows_equal_expressions_in_any_thread(gold, answer, right):
    pytest.importorskip("math_verify")
    found = []
    thread = threading.Thread(target=lambda: found.append(check_answer(gold, answer, "math")))
    thread.start()
    thread.join()
    assert found == [right]
    assert check_answer(gold, answer, "math") is right


def test_answer_that_hangs_is_wrong_off_the_main_thread_too(monkeypatch):
    pytest.importorskip("math_verify")
    monkeypatch.setattr(math_check._SHARED, "limit", 0.5)
    found = []
    thread = threading.Thread(target=lambda: found.append(check_answer("1", "9^{9^{9}} + x - x", "math")))
    thread.start()
    thread.join(timeout=60)
    assert found == [False]
    assert check_answer("1", "1.0", "math")


def test_equal_texts_are_right_without_asking_math_verify(monkeypatch):
    pytest.importorskip("math_verify")
    monkeypatch.setattr("mixlm.evaluation.checks.equal_math", None)
    assert check_answer(r"\{x | x > 1\} ", r" \{x |  x > 1\}", "math")


def test_right_answers_that_a_check_cannot_read():
    pytest.importorskip("math_verify")
    golds = ["72", "east", r"\frac{x}{2}", r"1, \ldots, n", "", "72"]
    assert unread_answers(golds, "number") == [1, 2, 3, 4]
    assert unread_answers(golds, "math") == [3, 4]
    assert unread_answers(golds, "exact") == unread_answers(golds, "maze") == [4]


@pytest.mark.parametrize(
    ("text", "check", "answer"),
    [
        ("She has 3 + 4 = 7 apples, not 8.", "number", "8"),
        ("10-4", "number", "4"),
        ("it falls to -4 degrees", "number", "-4"),
        ("$1,234.50, in all", "number", "1,234.50"),
        ("3/4 of it", "number", "3/4"),
        ("of .5", "number", ".5"),
        ("3, 4", "number", "4"),
        ("it took 1 1/2 hours", "number", "1 1/2"),
        ("so −4 remains", "number", "-4"),
        ("所以答案是5。", "number", "5"),
        ("答えは-5です", "number", "-5"),
        ("답은5개입니다", "number", "5"),
        ("1\u202f234 Franken, nicht 1'234", "number", "1'234"),
        ("sind 1\u00a0234 Euro", "number", "1\u00a0234"),
        ("in 2020 150 of them", "number", "150"),
        ("it is 72 m^2", "number", "72"),
        (r"So she earns \$10{,}000.", "number", "10,000"),
        (r"\boxed{10\,000}", "number", "10,000"),
        (r"\boxed{1,\!234}", "number", "1,234"),
        (r"\boxed{\frac{3}{4}}", "number", "3/4"),
        (r"so $-\frac{1}{2}$", "number", "- 1/2"),
        ("so 2½ hours", "number", "2 1/2"),
        ("it is -$5", "number", "-$5"),
        ("10-$5", "number", "5"),
        ("Total:\n- $18", "number", "18"),
        ("a range of $5 - $10", "number", "10"),
        ("so it is -₩5", "number", "-₩5"),
        ("so it is -US$5", "number", "-US$5"),
        ("so it is -R$ 5.", "number", "-R$ 5"),
        ("from US$3-US$5", "number", "5"),
        (r"as $2,\ 100$", "number", "100"),
        (r"as $5,\;200$", "number", "200"),
        ("3\\, 4", "number", "4"),
        ("room B12", "number", None),
        ("R12,345", "number", None),
        ("none", "number", None),
        ("", "number", None),
        (r"so it is \boxed{\frac{1}{2}}, as 2 shows", "math", r"\frac{1}{2}"),
        ("The answer is 7.", "math", "7"),
        ("it is 7", "math", None),
        ("The answer is 7.", "exact", None),
        ("The answer is 7.", "maze", None),
    ],
)
def test_an_answer_without_a_mark(text, check, answer):
    assert unmarked_answer(text, check) == answer
    assert answer is None or check != "number" or read_number(answer) is not None


@pytest.mark.parametrize(
    ("text", "figures"),
    [
        ("Die Antwort ist 3,5.", "3,5"),
        ("es sind 1 234", "1 234"),
        ("macht 1.234,50 €", "1.234,50"),
        ("um 12:30 Uhr", "12:30"),
        ("at (2,-3)", "2,-3"),
        ("比例是3：2。", "3：2"),
        ("on 3/4/2020", "3/4/2020"),
        ("it is 2^10", "2^10"),
        ("一共5万元", "5万"),
        ("合わせて3万5千円", "3万5千"),
        ("全体の2分の1", "2分の1"),
        ("she earned 72 thousand dollars", "72 thousand"),
    ],
)
def test_figures_that_belong_together_are_no_answer_in_part(text, figures):
    assert unmarked_answer(text, "number") == figures and read_number(figures) is None


def test_answers_say_the_same_as_the_check_reads_them():
    assert same_answer("1,000", "1000.0", "number") and not same_answer("1,000", "1000.0", "exact")
    assert same_answer("move  a", "move a", "maze") and not same_answer("move a", "move b", "maze")
