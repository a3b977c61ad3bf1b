import pytest

from mixlm.data.texts.marks import before_mark, last_bold, last_box, marked, statement


@pytest.mark.parametrize(
    ("text", "answer", "before"),
    [
        ("a\n#### 7", "7", "a"),
        ("<<1+1=2>> <<2+2=4>> #### 4", "4", "<<1+1=2>> <<2+2=4>>"),
        ("a\n#### -1,200 \n\n", "-1,200", "a"),
        (r"a" "\n" r"#### \boxed{7}", "7", "a"),
        ("a\n#### 7。", "7", "a"),
        ("a\n#### 7.", "7", "a"),
        ("a\n#### Yes. It is even.", "Yes. It is even.", "a"),
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
        ("a\nThe answer is：4", "4", "a"),
        ("a\nAnswer： 4。", "4", "a"),
        ("a. So the answer is therefore 4.", "4", "a."),
        ("a. The answer is, then, **4**.", "4", "a."),
        ("a. The answer is thus: 4. Check: 2 + 2 = 4.", "4", "a."),
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
        ('a\n<answer type="number">4</answer>', "4", "a"),
        (r"a. So $x$ is $\boxed{1}$, $\boxed{2}$ and $\boxed{3}$.", "1, 2, 3", "a. So $x$ is"),
        (r"a. It is \boxed{1}\text{ and }\boxed{2}.", "1, 2", "a. It is"),
        (r"a. It is \boxed{4}, \boxed{4}.", "4", "a. It is"),
        (r"a. The answer is \boxed{2} or \boxed{-2}.", "2, -2", "a."),
        (r"\boxed{15\frac{39}{40}} or \boxed{\frac{639}{40}}", r"\frac{639}{40}", r"\boxed{15\frac{39}{40}} or"),
        (r"\boxed{1}. \boxed{2}", "2", r"\boxed{1}."),
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
        "The answer is given by the sum.\nThus it is four.",
        "The answer is obtained in the same way as above.",
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
        ("**Sum**：72", None),
        ("1. **Add** 2 and 2.\n2. **Check** the sum, so it is four.", None),
        ("- **Then**, add 2 to get 4.", None),
        ("- **4** is the sum.", None),
        ("The total is 4. **Note** that it is even.", None),
        ("**Conclusion.** It is four.", None),
        ("We get **4** apples, which is **correct**.", None),
        ("**Bob** is the first and **Eve** is the last.", None),
        ("So the last one is **Eve**.", "Eve"),
        ("It is **Eve**, as she said: **Eve**!", "Eve"),
        ("**Bob** is first, so the last one is (**Eve**).", "Eve"),
        ("**Yes**, since it rained.", "Yes"),
        ("So **(B)** it is.", "(B)"),
        ("There are **4 apples** (red ones).", "4 apples"),
        ("72", None),
    ],
)
def test_bold_type_marks_an_answer_if_it_is_a_result_or_the_only_words_that_end_a_sentence(text, answer):
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


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The sum is $\\boxed{4}$.\n\nThe answer is correct.", "4"),
        ("The sum is 4.\n\nThe answer is correct.", "correct"),
        ("So \\boxed{3}.\nThe answer is 4.", "4"),
        (r"\boxed{\text{The answer is } 4}", r"\text{The answer is } 4"),
    ],
)
def test_words_after_the_answer_is_give_way_to_a_box_and_those_in_it_are_no_mark(text: str, answer: str) -> None:
    assert marked(text).answer == answer


@pytest.mark.parametrize(
    "behind",
    [
        "\n```sql\nSELECT name FROM users\n```",
        "\n\n~~~\nprint(1)\n~~~",
        "\n| x | y |\n|---|---|\n| 1 | 2 |",
        "\n1. $x=3$\n2. $x=5$",
        "\n- Bob\n- Eve",
        "\n(a) 3\n(b) 5",
    ],
)
def test_the_first_line_of_code_a_table_or_a_list_is_no_answer(behind):
    for label in ("The answer is:", "### Answer", "**Answer:**"):
        assert marked(f"a\n{label}{behind}") is None


@pytest.mark.parametrize(
    "text",
    [
        "The answer is not clear at first.\nBut all cats are mammals.\nSo the best choice is Bob.",
        "The answer is not immediately obvious.\n\nGiven the clues, Bob is the thief.",
        "The answer is as follows:\nBob is the thief.",
    ],
)
def test_words_that_reasoning_follows_on_later_lines_are_no_answer(text):
    assert marked(text) is None
    assert marked("The answer is Bob.\n\nLet me know if you need more!").answer == "Bob"


def test_a_choice_is_no_list_and_signs_are_no_reasoning():
    for behind in ("(B) Paris\n\n(A) is wrong.", "B) Paris\n\nA) was too small."):
        assert marked(f"a\nThe answer is:\n{behind}").answer == behind.partition("\n")[0]
    for behind in ("\n---", "\n```", "\n\n***", "\n\n∎"):
        assert marked(f"a\nThe answer is Paris.{behind}").answer == "Paris"


def test_bars_around_a_letter_are_no_table():
    assert marked("a\nAnswer:\n|x| = 5").answer == "|x| = 5" and marked("a\n### Answer\n|AB| = 5").answer == "|AB| = 5"


def test_of_several_bold_results_that_belong_together_all_are_the_answer():
    assert last_bold("The solutions are **3** and **5**.").answer == "3, 5"
    assert last_bold("So x = **3** or x = **5**.").answer == "5"
    assert last_bold("It takes **5 hours** or **300 minutes**.").answer == "300 minutes"
    assert last_bold("First **3**. Then we add, which gives **5**.").answer == "5"


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
    box = last_box(text)
    assert (box.answer if box else None) == content
