import json

import pytest

from mixlm.tasks.mathematics.answer_marks import marked_answer


NEXT = ("## Problem 2", "**Problem 2:**", "Example 2:", "# Question", "Question: find y.", "Problem 2.")


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
        ("So \\boxed{7}.\n\n### Verification\nSubstituting gives 7 = 7.", "7"),
        ("### Step 1\nadd\n### Final Answer\n$7$", "$7$"),
        ("so we have it\n\n**Answer:** 7", "7"),
        ("The final answer is 7.", "7"),
        ("so <answer>7</answer>", "7"),
        ("So \\boxed{3} and \\boxed{5}.", "3, 5"),
        ("### Step 1\nWe add\n### Step two\nand are done", None),
        ("The answer is 4.\n\nExample 2: Compute 3+5.", "4"),
        ("So the answer is x=4.\nCheck: 4*2 = 8.", "x=4"),
        ("The answer is (B).\n\nNote that 3+3=6", "(B)"),
        ("\nQuestion: What is x?\nAnswer: \\boxed{4}", "4"),
        *((f"The answer is 5.\n\n{next_one}\nFind y. \\boxed{{9}}", "5") for next_one in NEXT),
        ("### Step 1: Understand\nProblem: find x\nThe answer is 7", "7"),
        ("The answer is Tuesday.\n\nExplanation: foo", "Tuesday"),
        ("Let me restate.\nProblem: find x.\nIt is \\boxed{4}", "4"),
        ("At first sight the answer is 4.\nBut checking all cases gives $\\boxed{6}$.", "6"),
    ],
)
def test_answer_is_after_the_strongest_mark(text, answer):
    assert marked_answer(text) == answer


def test_real_data_the_box_of_a_solution_holds_the_published_answer(data_folder):
    rows = [json.loads(line) for line in (data_folder / "math500" / "test.jsonl").open()]
    same = [marked_answer(row["solution"]) == row["answer"] for row in rows]
    assert (len(same), sum(same)) == (500, 500)
