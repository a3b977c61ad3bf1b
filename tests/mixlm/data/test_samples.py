import json
from decimal import Decimal

import pytest

from mixlm.data.reading import open_raw
from mixlm.data.samples import Sample, read_samples, to_sample, try_sample, widest_check
from mixlm.errors import InputError


TWO_STEPS = ("48 / 2 = <<48/2=24>>24 in May", "48 + 24 = <<48+24=72>>72 in all")
TEXT = "\n".join(TWO_STEPS)
LAYOUTS = {
    "steps": {"question": "How many?", "steps": list(TWO_STEPS), "answer": "72"},
    "reasoning": {"question": "How many?", "reasoning": f"{TEXT}\n", "answer": "72"},
    "gsm8k": {"question": "How many?", "answer": f"{TEXT}\n#### 72"},
    "meta_math": {"query": "How many?", "response": f"{TEXT}\nThe answer is: 72"},
    "meta_math_of_gsm8k": {"query": "How many?", "response": f"{TEXT}\n#### 72\nThe answer is: 72"},
    "think": {"question": "How many?", "response": f"<think>\n{TEXT}\n</think>\n\n72"},
    "think_prompt_completion": {"prompt": "How many?", "completion": f"<think>{TEXT}</think>72"},
    "think_problem_solution": {"problem": "How many?", "solution": f"<think>{TEXT}</think> 72"},
    "think_instruction_output": {"instruction": "How many?", "output": f"<think>{TEXT}</think> 72"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_sample(layout):
    sample = to_sample(LAYOUTS[layout])
    assert (sample.question, sample.steps, sample.answer, sample.messages) == ("How many?", TWO_STEPS, "72", None)
    assert sample.columns == LAYOUTS[layout]


@pytest.mark.parametrize(
    "last",
    [
        {"content": f"<think>{TEXT}</think>72"},
        {"content": "72", "reasoning_content": TEXT},
        {"content": "72", "thinking": TEXT},
        {"content": "72", "thinking": TEXT, "reasoning_content": None},
        {"content": f"{TEXT}\n#### 72"},
    ],
)
def test_the_last_turn_of_a_chat_holds_the_trace_and_the_turns_before_it_are_the_prompt(last):
    before = [
        {"role": "system", "content": "Count."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "How many?"},
    ]
    sample = to_sample({"messages": [*before, {"role": "assistant", **last}]})
    assert (sample.question, sample.steps, sample.answer) == ("How many?", TWO_STEPS, "72")
    assert sample.messages == tuple(before)


def test_of_two_marks_the_last_one_counts():
    sample = to_sample({"question": "?", "answer": "The answer is 5 apples.\n#### 5"})
    assert (sample.steps, sample.answer) == (("The answer is 5 apples.",), "5")


@pytest.mark.parametrize(("value", "text"), [(7, "7"), (2.5, "2.5"), (True, "True"), (-0.0, "-0.0"), ("x", "x")])
def test_answers_that_are_numbers_become_text(value, text):
    assert to_sample({"question": "?", "steps": [], "answer": value}).answer == text


def test_a_trace_may_be_empty():
    rows = [
        {"question": "?", "steps": [], "answer": "1"},
        {"question": "?", "reasoning": " \n", "answer": "1"},
        {"question": "?", "answer": "#### 1"},
        {"question": "?", "response": "<think></think>1"},
    ]
    assert [to_sample(row).steps for row in rows] == [(), (), (), ()]


def test_only_the_last_mark_ends_the_trace():
    sample = to_sample({"question": "?", "answer": "#### is a mark\n1 + 1\n#### 2"})
    assert (sample.steps, sample.answer) == (("#### is a mark", "1 + 1"), "2")


def test_columns_of_none_count_as_missing():
    """Parquet gives every row all columns of the file."""
    columns = dict.fromkeys(("messages", "steps", "reasoning", "response", "answer", "id"))
    for row in LAYOUTS.values():
        assert to_sample({**columns, **row}) == to_sample(row)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "no column question or query or prompt or problem or instruction (it has none)"),
        ({"text": "?"}, "(it has text); accepted: question + steps"),
        ({"question": "?"}, "no column response or completion"),
        (
            {"question": "?", "answerKey": "B"},
            "column 'answerkey' has the answer, and no column its trace (it has question",
        ),
        ({"question": ["?"], "steps": [], "answer": "1"}, "column 'question' is a list, not text"),
        (
            {"question": "?", "steps": "a, b", "answer": "1"},
            "'steps' is no list of strings; give a list, or one string",
        ),
        ({"question": "?", "steps": ["a", 1], "answer": "1"}, "'steps' is no list of strings"),
        ({"question": "?", "steps": ["a"]}, "column 'answer' is missing"),
        ({"question": "?", "reasoning": "a", "answer": None}, "column 'answer' is missing"),
        ({"question": "?", "reasoning": ["a"], "answer": "1"}, "column 'reasoning' is a list, not text"),
        (
            {"question": "?", "answer": "42"},
            "column 'answer' has no trace that can be told from its answer: no <think>",
        ),
        ({"messages": "hello"}, "column 'messages' is a text and no JSON list of turns"),
        ({"messages": 7}, "column 'messages' must be turns with role and content, the last one the assistant's"),
        ({"messages": []}, "column 'messages' must be turns"),
        ({"messages": [{"role": "user", "content": "?"}]}, "'messages' must be turns"),
        (
            {"messages": [{"role": "user"}, {"role": "assistant", "content": "#### 1"}]},
            "'messages', turn 1: must be turns",
        ),
        (
            {"messages": [{"role": "system", "content": "?"}, {"role": "assistant", "content": "#### 1"}]},
            "no user turn",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": "?"},
                    {"role": "assistant", "content": "1", "thinking": ["a"]},
                ]
            },
            "the reasoning of the last turn is a list; give it as text",
        ),
    ],
)
def test_a_malformed_row_is_named_with_what_is_wrong(row, message):
    with pytest.raises(InputError) as caught:
        to_sample(row, "traces.jsonl:17")
    assert str(caught.value).startswith("traces.jsonl:17: ") and message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_rows_stop_the_reading_or_become_errors(tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps(LAYOUTS["steps"]), '{"question"', json.dumps({"text": "?"}), json.dumps(LAYOUTS["gsm8k"])]
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"rows.jsonl:2: ") as caught:
        list(read_samples(path))
    assert "--skip-bad-rows" not in str(caught.value)  # not all commands have it
    with pytest.raises(InputError, match=r"rows.jsonl:2: .*--skip-bad-rows"):
        [try_sample(row, where, skip_bad_rows=False) for where, row in open_raw(path)]
    found = [try_sample(row, where, skip_bad_rows=True) for where, row in open_raw(path)]
    assert [found[0].answer, found[3].answer] == ["72", "72"]
    assert [isinstance(sample, InputError) for sample in found] == [False, True, True, False]


@pytest.mark.parametrize(
    ("row", "check"),
    [
        ({"question": "q", "answer": "so 72\n#### 72"}, "number"),
        ({"question": "q", "answer": "so 1,080\n#### $1,080"}, "number"),
        ({"question": "q", "answer": "so it is\n#### yes"}, "exact"),
        ({"question": "q", "steps": ["<<48+24=72>>"], "answer": "72"}, "number"),
        ({"question": "q", "steps": ["48+24=72"], "answer": "72"}, "exact"),
        ({"query": "q", "response": "so 72.\nThe answer is: 72"}, "number"),
        ({"query": "q", "response": "so half.\nThe answer is: \\frac{1}{2}"}, "math"),
        ({"problem": "q", "solution": "so it is $\\boxed{72}$."}, "math"),
        ({"problem": "q", "solution": "so half", "answer": "\\frac{1}{2}"}, "math"),
        ({"question": "q", "steps": [], "answer": "$x+1$"}, "math"),
        ({"question": "q", "steps": [], "answer": "Max is a wumpus"}, "exact"),
        ({"question": "q", "steps": [], "answer": "72", "check": "math"}, "math"),
        ({"question": "q", "steps": [], "answer": "72", "check": "passed"}, "exact"),
        ({"question": "q", "answer": "so 72\n#### 72", "check": "exact"}, "exact"),
        ({"question": "?", "solution": r"So \boxed{4}.", "answer": 4}, "number"),
        ({"question": "?", "response": "So four.", "answer": "4"}, "exact"),
        (
            {
                "messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": r"\boxed{4}"}],
                "answer": 4,
            },
            "number",
        ),
    ],
)
def test_a_row_means_a_check(row, check):
    assert to_sample(row).check == check


@pytest.mark.parametrize(
    ("checks", "widest"),
    [
        (["number", "number"], "number"),
        (["exact", "number"], "number"),
        (["number", "math", "exact"], "math"),
        (["maze", "maze"], "maze"),
        (["maze", "exact"], "exact"),
        ([], "exact"),
    ],
)
def test_rows_together_mean_what_all_do_or_the_widest_check(checks, widest):
    assert widest_check(Sample("q", (), "a", columns={"check": check}) for check in checks) == widest


THINKS = "<think>Two and two.</think>4"


@pytest.mark.parametrize(
    "row",
    [
        {"question": "q", "reasoning": "", "response": THINKS},
        {"question": "q", "reasoning": " Two and  two.", "response": THINKS},
        {"question": "q", "reasoning": "<think>Two and two.</think>", "response": THINKS},
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": THINKS}], "reasoning": ""},
        {
            "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "The answer is: 4"}],
            "thinking": "Two and two.",
        },
    ],
)
def test_the_trace_is_where_it_says_something(row):
    sample = to_sample(row)
    assert ([step.split() for step in sample.steps], sample.answer) == ([["Two", "and", "two."]], "4")


@pytest.mark.parametrize("flag", ["on", "off", "True", True, "high", ["on"], {"effort": 1}, ""])
def test_a_flag_is_no_trace(flag):
    chat = [{"role": "user", "content": "q"}, {"role": "assistant", "content": THINKS}]
    for row in ({"input": "q", "output": THINKS}, {"messages": chat}):
        assert to_sample({**row, "reasoning": flag}).steps == to_sample(row).steps == ("Two and two.",)


def test_two_traces_that_differ_are_refused_where_the_answer_is_read_from_one_of_them():
    row = {"question": "q", "reasoning": "Three and one more.", "response": THINKS}
    with pytest.raises(InputError, match=r"row: column 'reasoning' \('Three and one more.'\) is not what 'response'"):
        to_sample(row)
    for response in (THINKS, ["a"], {"b": 1}, "<think>cut off"):
        assert to_sample({**row, "response": response, "answer": "4"}).steps == ("Three and one more.",)
    assert to_sample({"question": "q", "reasoning": "<think>Two and", "answer": "4"}).steps == ("<think>Two and",)


def test_a_solution_in_the_place_of_an_answer_is_opened_and_a_text_is_not():
    row = {"question": "q", "reasoning": "48/2=24\n48+24=72"}
    assert to_sample({**row, "answer": "Natalia sold 48/2 = 24 clips.\n#### 72"}).answer == "72"
    assert to_sample({**row, "answer": "so it is #### 72"}).rule == "hashes"
    for text in ("The answer is yes", "one\ntwo", r"\boxed{4}", "a\nb\nThe answer is 5"):
        assert to_sample({**row, "answer": text}).answer == text


@pytest.mark.parametrize(
    ("row", "question"),
    [
        ({"instruction": "Add 2 and 2.", "prompt": "Add  2 and 2."}, "Add  2 and 2."),
        ({"question": "Q", "input": "Q"}, "Q"),
        ({"instruction": "Add two and two to five.", "prompt": "### Task\nAdd two and two to five.\n###"}, None),
        ({"question": "Translate the word", "input": "word"}, "Translate the word\n\nword"),
        (
            {"question": "Reverse, as in 'a b c d e'.", "input": "a b c d e"},
            "Reverse, as in 'a b c d e'.\n\na b c d e",
        ),
        ({"question": "Premise: A cat sits.", "premise": "A cat sits."}, "A cat sits.\n\nPremise: A cat sits."),
    ],
)
def test_a_question_is_told_once(row, question):
    assert to_sample({**row, "response": "a\n#### 4"}).question == (question or row["prompt"])


def test_answers_that_a_table_made_another_type_of_are_those_they_were():
    row = {"question": "q", "solution": r"Not \boxed{5}, so four.", "answer": Decimal("4")}
    assert to_sample(row).answer == "4"
    chosen = {"question": "q", "choices": ["red", "blue"], "steps": ["a"]}
    assert to_sample({**chosen, "answer": 1.0}) == to_sample({**chosen, "answer": 1})


THINKS = "<think>Two and two.</think>\\boxed{4}"
ASKED = {"role": "user", "content": "2 + 2?"}
PUBLISHED = {  # layouts of published sets
    "a solution beside what a model thought": {
        "problem": "2 + 2?",
        "solution": "It is $\\boxed{4}$.",
        "output": THINKS,
    },
    "a thought in conversations alone": {
        "question": "2 + 2?",
        "solution": "It is $\\boxed{4}$.",
        "conversations": [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": THINKS}],
    },
    "turns as input": {"input": [ASKED], "output": THINKS, "reasoning": "on"},
    "a chat up to its answer": {"messages": [ASKED], "reasoning": "Two and two.", "answer": "So \\boxed{4}"},
    "content beside reasoning": {"input": "2 + 2?", "reasoning_content": "Two and two.", "content": "So \\boxed{4}"},
    "a blank instruction": {"instruction": "", "input": "2 + 2?", "output": THINKS},
    "no tools": {"messages": [ASKED, {"role": "assistant", "content": THINKS}], "tools": "[]", "images": "[]"},
}


@pytest.mark.parametrize("layout", PUBLISHED)
def test_layouts_of_published_sets_are_read(layout):
    sample = to_sample(PUBLISHED[layout])
    assert (sample.question, sample.steps, sample.answer) == ("2 + 2?", ("Two and two.",), "4")
    assert not sample.needs_chat


def test_choices_may_have_their_right_one_in_a_column_of_that_name():
    sample = to_sample({"question": "?", "options": ["3", "4"], "rationale": "2 + 2.", "correct": "B"})
    assert (sample.question, sample.steps, sample.answer) == ("?\n\nA. 3\nB. 4", ("2 + 2.",), "B")


def test_two_responses_that_differ_are_refused_where_both_think_or_none():
    for said in ("It is \\boxed{4}.", THINKS):
        row = {"question": "2 + 2?", "solution": said, "output": f"{said} Or so."}
        with pytest.raises(
            InputError, match="^row: columns 'solution' and 'output' may all be the response, and differ"
        ):
            to_sample(row)
    assert to_sample({"question": "2 + 2?", "solution": THINKS, "output": "4"}).steps == ("Two and two.",)


@pytest.mark.parametrize(
    ("row", "steps"),
    [
        ({"response": "Wrong.\nThe sum is 7.", "solution": "Right.\nThe sum is 8."}, ("Right.", "The sum is 8.")),
        ({"response": "Wrong: \\boxed{7}", "solution": "Right.\nThe sum is 8."}, ("Right.", "The sum is 8.")),
        ({"response": "Some words.", "solution": "Other words."}, None),
    ],
)
def test_of_several_responses_the_one_counts_that_says_the_answer(row, steps):
    row = {"question": "?", "answer": "8", **row}
    if steps:
        assert (to_sample(row).steps, to_sample(row).answer) == (steps, "8")
    else:
        with pytest.raises(InputError, match="may all be the response, and differ"):
            to_sample(row)


def test_what_a_row_tells_its_chat_template_in_words_needs_one():
    row = {"messages": [ASKED, {"role": "assistant", "content": THINKS}]}
    for told, needed in (({"enable_thinking": False, "tools_of": []}, False), ({"instructions": "In French."}, True)):
        assert to_sample({**row, "chat_template_kwargs": told}).needs_chat == needed


BOXED = "It is \\boxed{4}."
ANSWERED, THOUGHT = {"role": "assistant", "content": BOXED}, {"role": "assistant", "content": THINKS}


@pytest.mark.parametrize(
    ("row", "steps", "answer"),
    [
        ({"messages": [ASKED], "solution": "It is \\boxed{5}.", "output": THINKS}, ("Two and two.",), "4"),
        ({"question": "?", "steps": ["a b"], "answer": "4", "solution": "c d", "output": "e f"}, ("a b",), "4"),
        ({"question": "?", "reasoning": "a b", "answer": "4", "solution": "c d", "output": "e f"}, ("a b",), "4"),
        ({"messages": [ASKED, ANSWERED], "solution": "c d", "output": "e f"}, ("It is",), "4"),
        ({"question": "?", "solution": f"{BOXED}\n", "response": BOXED}, ("It is",), "4"),
        ({"question": "?", "output": "[1, 2, 3]", "response": BOXED}, ("It is",), "4"),
        ({"question": "?", "cot": "a b", "answer": "4", "solution": "c d", "output": "e f"}, ("a b",), "4"),
        ({"question": "?", "answer": "4,000", "response": "a \\boxed{4000}", "output": "\\boxed{5}"}, ("a",), "4,000"),
        ({"question": "?", "answer": "2+2=4\n#### 4", "response": "a\n#### 4", "output": "b\n#### 5"}, ("a",), "4"),
        ({"question": "?", "answer": " ", "response": BOXED, "output": "b c d"}, ("It is",), "4"),
        ({"question": "?", "reasoning": "a b", "response": "4"}, ("a b",), "4"),
        ({"question": "?", "reasoning": "a b", "response": "Four of them", "output": " "}, ("a b",), "Four of them"),
        ({"question": "?", "answer": "1,2", "response": "a \\boxed{12}"}, ("a \\boxed{12}",), "1,2"),
        ({"question": "?", "output": "4", "thoughts": [], "cot": "no", "conversations": [ASKED, THOUGHT]}, None, "4"),
        ({"question": "?", "response": f"<no_think>{BOXED}"}, ("<no_think>It is",), "4"),
        ({"messages": [ASKED, ANSWERED], "problem_statement": "2 + 2?", "narrative": ""}, ("It is",), "4"),
        ({"conversations": [ASKED, ANSWERED], "input": "", "response": BOXED}, ("It is",), "4"),
        ({"question": "2 + 2?", "thought": "a b", "answer": "4", "conversations": [ASKED, THOUGHT]}, ("a b",), "4"),
    ],
)
def test_responses_that_are_not_used_or_say_the_same_are_no_obstacle(row, steps, answer):
    sample = to_sample(row)
    assert (sample.steps, sample.answer) == (steps or ("Two and two.",), answer)


def test_a_word_beside_other_responses_is_not_left_out_where_the_trace_has_its_own_column():
    for beside in ({"output": "e f"}, {"output": "Long words here then."}):
        with pytest.raises(InputError, match="'solution' and 'output' may all be the response, and differ"):
            to_sample({"question": "?", "steps": ["a"], "solution": "4", **beside})


def test_choices_go_by_other_names_where_the_answer_is_one_of_them():
    row = {"question": "Which?", "steps": ["s"], "answer": "u"}
    assert to_sample({**row, "candidates": ["u", "vw"]}).question == "Which?\n\nA. u\nB. vw"
    assert to_sample({**row, "Candidates": ["u", "vw"]}).question == "Which?\n\nA. u\nB. vw"
    drawn = ({"candidates": ["u", "u", "vw"]}, {"candidates": ["u", ""]}, {"candidates": ["u", "v"]})
    for beside in ({"candidates": ["w", "v"]}, {"choice": "B"}, {"choice": 1}, {"option": "u v"}, *drawn):
        assert to_sample({**row, **beside}).question == "Which?"
    lettered = {**row, "A": "x", "B": "y", "answer": "B"}
    for beside in ({"choice": "B"}, {"candidates": ["A", "B"]}):
        assert to_sample({**lettered, **beside}).question == "Which?\n\nA. x\nB. y"
    trl = {"prompt": [ASKED], "completion": [ANSWERED], "answer": "4", "candidates": ["4", "five"]}
    assert to_sample(trl).answer == "4"
    said = {"messages": [ASKED, ANSWERED], "candidates": ["It is \\boxed{4}.", "five"], "answer": "It is \\boxed{4}."}
    assert to_sample(said).answer == "4"


def test_figures_that_may_be_choices_or_drawn_answers_are_refused():
    row = {"question": "How many?", "steps": ["s"]}
    for candidates, answer in ((["72", "71", "70"], "72"), (["12", "1"], 1), (["$1,000", "-3.5 %"], "$1,000")):
        with pytest.raises(InputError, match="^row: column 'candidates' may be choices or answers that were"):
            to_sample({**row, "candidates": candidates, "answer": answer})
    lettered = to_sample({**row, "choices": ["72", "71"], "candidates": ["72", "71"], "answer": "A"})
    assert lettered.question == "How many?\n\nA. 72\nB. 71"


def test_the_place_of_a_choice_may_be_called_correct():
    row = {"question": "Q", "choices": ["u", "v"], "reasoning": "x."}
    for correct, label in ((1, "B"), (0, "A"), (1.0, "B"), ("A", "A")):
        assert to_sample({**row, "correct": correct}).answer == label
    with pytest.raises(InputError, match="'answer' is missing"):
        to_sample({**row, "correct": True})


def test_a_list_beside_a_chat_is_said_text_by_text():
    said = {"role": "assistant", "content": "<think>x</think>cat"}
    asked = {"role": "user", "content": "Fact one. Fact two. Pick: cat or dog"}
    for beside in ({"choices": ["cat", "dog"]}, {"context": ["Fact one.", "Fact two."]}, {"options": "cat or dog"}):
        assert to_sample({"messages": [asked, said], **beside}).answer == "cat"
    for beside in ({"choices": ["cat", "do"]}, {"context": ["Fact one.", "Fact three."]}, {"options": "cat, dog"}):
        with pytest.raises(InputError, match=f"column '{[*beside][0]}' may belong to the question, which no turn"):
            to_sample({"messages": [asked, said], **beside})


def test_equations_on_one_line_are_a_step_each():
    """As GSM8k-Aug has them."""
    row, two = {"question": "?", "cot": "<<6*3=18>> <<18+6=24>>", "answer": "24"}, ("<<6*3=18>>", "<<18+6=24>>")
    assert to_sample(row).steps == two
    assert to_sample({"question": "?", "response": "<<6*3=18>> <<18+6=24>> #### 24"}).steps == two
    assert to_sample({**row, "cot": "She has <<6*3=18>> 18."}).steps == ("She has <<6*3=18>> 18.",)


def test_choices_in_columns_of_their_own_are_said_by_the_chat_or_refused():
    row = {"option_a": "u v", "option_b": "w z"}
    said = {"role": "assistant", "content": "<think>x</think>A"}
    with pytest.raises(InputError, match="the choice 'u v' has a column of its own, and no turn of the chat says it"):
        to_sample({"messages": [ASKED, said], **row})
    asked = {"role": "user", "content": "Which?\nA. u v\nB. w z"}
    assert to_sample({"messages": [asked, said], **row}).answer == "A"


@pytest.mark.parametrize("turns", [[ASKED], [ASKED, ANSWERED, {"role": "user", "content": "thanks"}]])
def test_an_answer_alone_is_no_turn(turns):
    with pytest.raises(InputError, match="the last one the assistant's"):
        to_sample({"messages": turns, "answer": "4"})
