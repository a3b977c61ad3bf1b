import pytest

from mixlm.data.marks import before_mark, last_bold, marked, statement


@pytest.mark.parametrize(
    ("text", "answer", "before"),
    [
        ("a\n#### 7", "7", "a"),
        ("<<1+1=2>> <<2+2=4>> #### 4", "4", "<<1+1=2>> <<2+2=4>>"),
        ("a\n#### -1,200 \n\n", "-1,200", "a"),
        (r"a" "\n" r"#### \boxed{7}", "7", "a"),
        ("#### is a mark\n1 + 1\n#### 2", "2", "#### is a mark\n1 + 1"),
        ("a\nThe answer is: 4", "4", "a"),
        ("a\nThe answer is: 4.", "4", "a"),
        ("a. The answer is: 4. I hope it helps.", "4", "a."),
        ("a\nThe answer is: 4\nLet me know if you need more!", "4", "a"),
        ("a\nThe answer is: 4. Check: 2 + 2 = 4.", "4", "a"),
        ("a\n#### 4\nThe answer is: 4", "4", "a"),
        ("a\nThe answer is: 2.50", "2.50", "a"),
        ("a\nThe answer is: $1,000.", "$1,000", "a"),
        ("a\nThe answer is: Dr. Li.", "Dr. Li", "a"),
        ("a\nThe answer is: A. Paris", "A. Paris", "a"),
        ("a\nThe answer is **12 km**.", "12 km", "a"),
        ("a\nThe answer is **12** km.", "12 km", "a"),
        ("a\nThe answer is 12, because 5 + 7 = 12.", "12", "a"),
        ("a\nThe answer is: 3 p.m. I hope it helps.", "3 p.m.", "a"),
        ("a\n#### The final answer is 4.", "4", "a"),
        ("a\n**The final answer is: 4**", "4", "a"),
        ("a\n**Answer:** 4", "4", "a"),
        ("a\n### Final Answer\n\n4 apples", "4 apples", "a"),
        (
            "a\nThe answer is:\n\\begin{pmatrix} 1 \\\\\n2 \\end{pmatrix}",
            "\\begin{pmatrix} 1 \\\\\n2 \\end{pmatrix}",
            "a",
        ),
        ("a\nThe answer is: $$\nx\n$$\nBye.", "$$\nx\n$$", "a"),
        (r"a. So $x = \boxed{7}$.", "7", "a. So $x ="),
        ("a.\n\nTherefore, the answer is $\\boxed{\\frac{1}{2}}$.", r"\frac{1}{2}", "a."),
        ("a\n\\[\\boxed{7}\\]", "7", "a"),
        ("$$x = 1$$\n\\boxed{7}", "7", "$$x = 1$$"),
        (r"first \boxed{1}, then \boxed{x^{2}} and \boxed{", "x^{2}", r"first \boxed{1}, then"),
        (r"\boxed{5}. I hope the answer is clear.", "5", ""),
        ("a\n<answer> 4 </answer>", "4", "a"),
        ("So it is clear that the answer is 4.", "4", "So it is clear that"),
    ],
)
def test_a_mark_is_found_with_the_answer_alone_and_the_trace_before_it(text, answer, before):
    mark = marked(text)
    assert (mark.answer, before_mark(text, mark).strip()) == (answer, before)


@pytest.mark.parametrize(
    "text",
    [
        "Add.\n#### Step 1\n1+1 is 2\n#### Step 2\nso 2",
        "#### Conclusion\nIt is two.",
        "a\n##### 5",
        "a ### 5",
        "a\n####",
        "a\n####  \n",
        r"a \boxed{} b",
        r"a \boxed{4",
        "The answer is found by adding. 1 + 1 = 2.",
        "Answer: Let us add. 1 + 1 = 2.",
        "The answer is:",
        "72 clips",
        "",
    ],
)
def test_headings_empty_marks_and_sentences_that_go_on_mark_nothing(text):
    assert marked(text) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("First **40**, then **32**. She sold **72** clips.", "72"),
        ("**72**", "72"),
        ("It is **72.**", "72"),
        ("**Step 1**\nAdd.\n**Step 2:** so 72.", None),
        ("**Sum**: 72", None),
        ("72", None),
    ],
)
def test_bold_type_marks_an_answer_unless_it_is_a_heading(text, answer):
    mark = last_bold(text)
    assert (mark and mark.answer) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>We add both. That makes 4 apples.</answer>", "We add both. That makes 4 apples."),
        ("<answer>It fails because x is None</answer>", "It fails because x is None"),
        ("<answer>Yes. It rained.</answer>", "Yes. It rained."),
        ("<answer> 4. </answer>", "4"),
        ("<answer>**4 km**</answer>", "4 km"),
        ("<answer>**a** and **b**</answer>", "**a** and **b**"),
        (r"<answer>So $\boxed{4}$.</answer>", "4"),
        ("<answer>5</answer> <answer>**</answer>", "**"),
        ("<answer>5</answer> <answer>****</answer>", "5"),
    ],
)
def test_between_tags_of_an_answer_all_is_the_answer(text: str, answer: str) -> None:
    assert marked(text).answer == answer


@pytest.mark.parametrize(
    "text",
    [
        "At first sight the answer is yes. But Max is not a wumpus. So it is no.",
        "We need the animal. The answer is not obvious. It is black, so it must be Tom.",
    ],
)
def test_where_the_reasoning_goes_on_on_the_line_nothing_is_marked(text: str) -> None:
    assert marked(text) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("So the answer is 5. I hope this helps!", "5"),
        ("So the answer is: yes. It rained.", "yes"),
        (r"The final answer is $\frac{1}{2}$. I hope it is correct.", r"$\frac{1}{2}$"),
        ("The answer is (B). That is all.", "(B)"),
        ("The answer is 5 apples. So she has enough.", "5 apples"),
        ("The answer is yes. Let me know if you need more.", "yes"),
        ("a\nAnswer: yes. It rained.", "yes"),
        ("a\n**Answer:** Paris. It is the capital.", "Paris"),
    ],
)
def test_what_is_said_after_an_answer_does_not_hide_it(text: str, answer: str) -> None:
    assert marked(text).answer == answer


@pytest.mark.parametrize(
    "answer",
    [
        "\\[\nf(x)=\\left\\{\\begin{array}{l}1\\\\0\\end{array}\\right.\n\\]",
        "\\begin{pmatrix} 1 \\\\[4pt]\n2 \\end{pmatrix}",
    ],
)
def test_formulas_of_several_lines_stay_whole_whatever_braces_they_show(answer: str) -> None:
    assert marked(f"a\nThe answer is:\n{answer}\nDone.").answer == answer
    assert statement(f"{answer}\nDone.") == answer
