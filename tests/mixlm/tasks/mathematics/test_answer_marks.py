import json

import pytest

from mixlm.tasks.mathematics.answer_marks import last_boxed, marked_answer


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"\boxed{7}", "7"),
        (r"\boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\fbox{ a b }", "a b"),
        (r"$\boxed 7$ in all", "7"),
        (r"\boxed\frac12$", r"\frac12"),
        (r"\boxed{1} or \boxed{2}", "2"),
        (r"\boxed{1} or \boxed{2", "1"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\left\{ 1, 2 \right.}", r"\left\{ 1, 2 \right."),
        (r"\boxed{1 \\{2}}", r"1 \\{2}"),
        (r"\boxed{}", None),
        (r"\boxed{1} or \boxed{ }", "1"),
        (r"\boxed", None),
        ("7", None),
        ("", None),
    ],
)
def test_last_box_that_is_closed(text, content):
    assert last_boxed(text) == content


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("so 3.\n#### 752\nThe answer is: 752", "752"),
        (r"so \boxed{1}. The answer is: $2$.", "$2$"),
        (r"The answer is $\boxed{5}$.", "5"),
        ("the answer is 3. No, the answer is 4.", "4"),
        ("#### 1,000", "1,000"),
        ("steps\n### 7", "7"),
        (r"first #### 3, then \boxed{4}", "4"),
        (r"so $x = \boxed{-1}$", "-1"),
        ("The answer is: 2.50", "2.50"),
        ("The answer is 5.\n\nQuestion: What is 2 + 2?\nIt is 4.", "5"),
        (r"The answer is 5." + "\n\nQuestion: how many?" + r" \boxed{7}", "5"),
        ("The answer is:\n\n$5$", "$5$"),
        ("The answer is \\begin{pmatrix} 1 \\\\\n2 \\end{pmatrix}\nDone", "\\begin{pmatrix} 1 \\\\\n2 \\end{pmatrix}"),
        ("### Step 2: add\nSo 40 + 32 = 72, hence $\\boxed{72}$ clips, 12 more than 60.", "72"),
        ("#### 72\nQuestion: What is 2 + 2?", "72"),
        ("Hence the answer is not an integer.\nSo $\\boxed{\\frac{1}{2}}$.", r"\frac{1}{2}"),
        ("the answer is as follows:\n\\[\\boxed{5}\\]", "5"),
        ("The answer is yes\n\nQuestion: \\boxed{7}", "yes"),
        ("The answer is", None),
        ("The answer is: ", None),
        ("nothing", None),
    ],
)
def test_answer_is_after_the_strongest_mark(text, answer):
    assert marked_answer(text) == answer


def test_real_data_the_box_of_a_solution_holds_the_published_answer(data_folder):
    rows = [json.loads(line) for line in (data_folder / "math500" / "test.jsonl").open()]
    same = [marked_answer(row["solution"]) == row["answer"] for row in rows]
    assert (len(same), sum(same)) == (500, 500)
