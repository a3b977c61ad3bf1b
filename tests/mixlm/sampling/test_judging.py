import re

import pytest

from mixlm.sampling.answering import Said, Wanted
from mixlm.sampling.judging import judged
from mixlm.sampling.problems import Problem, read_problem
from mixlm.tasks.maze import task as maze


CATS = Problem(0, read_problem({"question": "How many legs have 3 cats?", "answer": "12"}))
TRACE = "A cat has 4.\n\n  3 x 4 = 12."


def outcome(turn, ending="stop", check="exact", **more):
    return judged(Wanted(0, CATS, 2), Said(turn, ending), check, **more)


RIGHT = {
    "said": {"content": f"{TRACE}\nThe answer is: 12"},
    "boxed": {"content": f"{TRACE}\nThus, the answer is $\\boxed{{12}}$."},
    "hashes": {"content": f"{TRACE}\n#### 12"},
    "thought in the text": {"content": f"<think>\n{TRACE}\n</think>\n\nThe cats have **12** legs."},
    "thought that the prompt opened": {"content": f"{TRACE}\n</think>12"},
    "reasoning_content": {"content": "12", "reasoning_content": TRACE},
    "reasoning": {"content": "\n\n12", "reasoning": TRACE, "reasoning_content": None},
    "thinking": {"content": "The answer is 12.", "thinking": TRACE},
    "parts": {"content": [{"type": "thinking", "thinking": TRACE}, {"type": "text", "text": "12"}]},
}


@pytest.mark.parametrize("kind", RIGHT)
def test_a_right_answer_makes_a_row_of_its_trace_and_the_right_answer(kind):
    row = {
        "question": "How many legs have 3 cats?",
        "reasoning": "A cat has 4.\n  3 x 4 = 12.",
        "answer": "12",
        "check": "exact",
        "sample": 2,
    }
    for ending in ("stop", None, "eos_token"):
        assert outcome(RIGHT[kind], ending) == {"outcome": "right", "row": row}


def test_the_answer_is_compared_by_the_check_and_written_as_it_was_given():
    turn = {"content": f"{TRACE}\nThe answer is: 12 legs"}
    assert outcome(turn) == {"outcome": "wrong", "answer": "12 legs"}
    assert outcome(turn, check="number")["row"]["answer"] == "12"


@pytest.mark.parametrize("mark", ["The answer is: ", "#### "])
def test_a_full_stop_may_be_missing_behind_the_right_answer(mark):
    tom = Wanted(0, Problem(0, read_problem({"question": "Is Tom?", "answer": "Tom is a lempus."})), 0)
    for said, found in (("Tom is a lempus.", "right"), ("Tom is a lempus", "right"), ("Tom is a wumpus.", "wrong")):
        assert judged(tom, Said({"content": f"x\n{mark}{said}"}), "exact")["outcome"] == found


def test_a_trace_that_leads_to_another_right_answer_has_that_one():
    row = next(maze.generate(1, "train", 0, maze.Options(room_rows=1, room_columns=1, room_size=4, doors=0, needed=0)))
    plan = row["answer"].split()
    longer = " ".join([plan[0], plan[1], plan[0], *plan[1:]])  # there, back, and there again
    asked = Wanted(0, Problem(0, read_problem({**row, "check": "maze"})), 0)
    for answer in (row["answer"], longer):
        found = judged(asked, Said({"content": f"x\n#### {answer}"}), "maze")
        assert found["outcome"] == "right" and found["row"]["answer"] == answer
    assert judged(asked, Said({"content": f"x\n#### {plan[0]}"}), "maze")["outcome"] == "wrong"


@pytest.mark.parametrize("ending", ["length", "max_tokens"])
def test_what_was_cut_off_is_not_looked_at(ending):
    assert outcome(RIGHT["said"], ending) == {"outcome": "cut_off"}


@pytest.mark.parametrize("ending", ["content_filter", "tool_calls", "abort"])
def test_what_did_not_end_by_itself_is_none(ending):
    assert outcome({"content": "The answer is: 12"}, ending) == {"outcome": "unreadable", "said": "The answer is: 12"}


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        ({}, ""),
        ({"content": None}, ""),
        ({"content": ""}, ""),
        ({"content": 12}, ""),
        ({"content": {"text": "12"}}, ""),
        ({"content": None, "tool_calls": [{"id": "1"}]}, ""),
        ({"content": None, "reasoning": TRACE}, ""),
        ({"content": "12", "reasoning": {"a": 1}}, "12"),
        ({"content": "It is\n12."}, "It is 12."),
        ({"content": "<think>It is 12"}, "<think>It is 12"),
        ({"content": [{"type": "image_url"}]}, ""),
    ],
)
def test_what_has_no_answer_that_can_be_told_is_unreadable(turn, said):
    assert outcome(turn) == {"outcome": "unreadable", "said": said}


@pytest.mark.parametrize("content", ["The answer is: 12", "\\boxed{12}", "<think>\n\n</think>12"])
def test_a_right_answer_without_a_trace_is_none_to_learn_from(content):
    assert outcome({"content": content}) == {"outcome": "no_trace"}


def test_a_pattern_finds_the_answer_in_place_of_the_marks():
    pattern = re.compile("### (.*)")
    assert outcome({"content": f"{TRACE}\n### 12"}, pattern=pattern)["outcome"] == "right"
    assert outcome(RIGHT["said"], pattern=pattern)["outcome"] == "unreadable"


def test_what_did_not_come_says_why():
    assert judged(Wanted(0, CATS, 0), Said(error="status 400"), "exact") == {"error": "status 400"}
