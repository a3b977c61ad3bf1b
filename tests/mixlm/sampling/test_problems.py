import json
from dataclasses import replace

import pytest

from mixlm.data.samples import to_sample
from mixlm.errors import InputError
from mixlm.sampling.problems import Problem, Problems, read_problem


ASKED = [{"role": "user", "content": "2 + 2?"}]
SAID = {"role": "assistant", "content": "4"}
LAYOUTS = {
    "an answer": {"question": "2 + 2?", "answer": "4"},
    "a number": {"question": "2 + 2?", "answer": 4},
    "steps that are null": {"question": "2 + 2?", "steps": None, "answer": "4"},
    "a final answer in a box": {"problem": "2 + 2?", "final_answer": "\\boxed{4}"},
    "a short response": {"instruction": "2 + 2?", "output": "4"},
    "GSM8K": {"question": "2 + 2?", "answer": "2 + 2 makes 4.\n#### 4"},
    "a solution beside": {"problem": "2 + 2?", "solution": "two\nand two", "answer": "4"},
    "steps": {"question": "2 + 2?", "steps": ["2 + 2 = 4"], "answer": "4"},
    "an answer that comes first": {
        "question": "2 + 2?",
        "answer": "The answer is 4. One counts them together, one by one.",
    },
    "a chat": {"messages": [*ASKED, SAID]},
    "a chat that thinks": {"messages": [*ASKED, {**SAID, "content": "<think>2 + 2</think>It is **4**"}]},
    "a chat and an answer": {"messages": ASKED, "answer": 4},
    "a prompt in turns": {"prompt": ASKED, "answer": "4"},
    "a chat that ends in nothing": {"messages": [*ASKED, {**SAID, "content": ""}], "solution": "4"},
    "a question in turns and a response": {"messages": ASKED, "response": "4"},
    "a prompt in turns and two responses": {"prompt": [*ASKED, SAID, *ASKED], "output": ["5"], "response": "4"},
    "an answered chat and a model's text": {"messages": [*ASKED, SAID], "response": "I think it is 13"},
    "an answered chat and a model's answer": {"messages": [*ASKED, SAID], "output": "13", "solution": "12"},
    "an answered chat and an empty output": {"messages": [*ASKED, SAID], "output": ""},
    "an answered chat and turns": {"messages": [*ASKED, SAID], "completion": [{**SAID, "content": "13"}]},
    "a chat, an answer and turns": {"messages": ASKED, "solution": "4", "completion": [{**SAID, "content": "13"}]},
    "ShareGPT": {"conversations": [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}]},
}


@pytest.mark.parametrize("kind", LAYOUTS)
def test_question_and_answer_are_found_with_a_trace_or_without(kind):
    sample = read_problem(LAYOUTS[kind])
    assert (sample.question, sample.answer) == ("2 + 2?", "4")


def test_an_answer_that_is_the_place_of_a_choice_is_its_label():
    sample = read_problem({"question": "which?", "choices": ["a", "b", "c"], "answer": 1})
    assert (sample.question, sample.answer) == ("which?\n\nA. a\nB. b\nC. c", "B")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "q"}, r"row: has no answer that a trace could be checked by \(it has question\)"),
        ({"question": "q", "answer": None}, "row: has no answer"),
        ({"question": "q", "answer": "  "}, "row: column 'answer' is empty"),
        ({"question": "q", "answer": "a\nb"}, "row: column 'answer' has several lines and marks no answer"),
        ({"question": "q", "answer": ["a"]}, "row: column 'answer' is a list, not text"),
        ({"question": "q", "response": "<think>\\boxed{3}"}, "row: column 'response' opens <think> and never"),
        ({"answer": "4"}, "row: no column question"),
        ({"messages": ASKED}, "row: has no answer"),
        ({"messages": [*ASKED, {**SAID, "content": None, "tool_calls": [{"id": "1"}]}]}, "row: has no answer"),
        ({"question": "q", "answer": "4", "image": "a.png"}, "row: column 'image' may belong to the question"),
    ],
)
def test_a_row_without_question_or_answer_is_refused_in_one_line(row, message):
    with pytest.raises(InputError, match=message) as caught:
        read_problem(row)
    assert "\n" not in str(caught.value)


CHOSEN = {"question": "which?", "A": "x", "B": "y", "answer": "B"}
SYSTEM = {"system": "Be brief.", "question": "2 + 2?", "answer": "4"}
LONG_CHAT = {"messages": [{"role": "system", "content": "s"}, *ASKED, {**SAID, "content": "5"}, *ASKED, SAID]}


@pytest.mark.parametrize("row", [*LAYOUTS.values(), CHOSEN, SYSTEM, LONG_CHAT], ids=str)
def test_a_row_with_a_trace_is_read_as_the_question_with_the_trace_and_the_check(row):
    asked = read_problem({**row, "id": 7, "level": None})
    made = Problem(3, asked).solved("one\ntwo", 5, "math")
    read = to_sample(json.loads(json.dumps(made)))
    assert read.steps == ("one", "two") and (made["sample"], made["id"], read.check) == (5, 7, "math")
    assert (read.question, read.answer, read.messages) == (asked.question, asked.answer, asked.messages)
    assert (read.whole, read.needs_chat) == (asked.whole, asked.needs_chat)
    Problem(3, asked).require_readable()


def test_a_row_of_columns_becomes_one_of_columns():
    made = Problem(0, read_problem({"query": "q?", "response": "x\n#### 4", "level": 2})).solved("a\nb", 1, "number")
    row = {"question": "q?", "reasoning": "a\nb", "answer": "4", "level": 2, "check": "number", "sample": 1}
    assert made == row and [*made] == [*row]


def test_an_answer_that_would_be_another_one_beside_a_trace_is_refused():
    sample = replace(read_problem({"messages": ASKED, "answer": "4"}), answer="a\nis **b** here", where="q.jsonl:1")
    with pytest.raises(InputError, match=r"q.jsonl:1: its answer 'a.nis ..b.. here' would be read as 'b' beside a"):
        Problem(0, sample).require_readable()


def test_bad_rows_are_refused_or_left_out_and_rows_keep_their_numbers(tmp_path):
    path = tmp_path / "q.jsonl"
    rows = [{"question": "1?", "answer": "1"}, {"question": "2?"}, {"question": "3?", "answer": "3"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "no json\n")
    with pytest.raises(InputError, match=r"q.jsonl:2: has no answer .*, or leave such rows out with --skip-bad-rows"):
        [*Problems(path)]
    problems = Problems(path, skip_bad_rows=True)
    for _ in range(2):
        assert [(one.row, one.name) for one in problems] == [(0, f"{path}:1"), (2, f"{path}:3")]
        assert problems.skipped == 2
    assert [one.row for one in Problems(path, limit=1)] == [0]
