import pytest

from mixlm.data.samples import to_sample
from mixlm.errors import InputError


TWO = "Two and two."


@pytest.mark.parametrize(
    "row",
    [
        {"Complex_CoT": TWO, "Response": "It is so.\nThe answer is 4."},
        {"Complex_CoT": TWO, "response": "It is so.", "final_answer": 4},
        {"cot": TWO, "answer": "So the answer is 4."},
        {"cot": TWO, "answer": "#### 4"},
        {"cot": TWO, "answer": 4},
        {"cot": f"<think>{TWO}</think>", "reasoning": " ", "answer": "4"},
        {"cot": TWO, "answer": f"<think>{TWO}</think>4"},
        {"cot": TWO, "solution": "two\nlines", "answer": "4"},
        {"chain_of_thought": TWO, "thought": "Two  and two.", "answer": "4"},
        {"thoughts": TWO, "output": "4"},
        {"rationales": [TWO], "cot": None, "answer": "4"},
        {"thinking_trajectories": [TWO], "cot": "", "cot_type": "math", "solution": "4"},
        {"DeepSeek_thinking_trajectory": TWO, "solution": "So it is $\\boxed{4}$."},
        {"explanation": TWO, "answer": "So the answer is 4."},
        {"Explanation": TWO, "answer": "#### 4"},
        {"explanation": TWO, "expected_answer": 4},
        {"explanation": "It is even.", "cot": TWO, "answer": "4"},
        {"explanation": "It is even.", "answer": f"{TWO}\n#### 4"},
        {"explanation": "It is even.", "response": f"{TWO}\nThe answer is 4."},
        {"explanation": "It is even.", "steps": [TWO], "answer": "4"},
        {"cot": True, "thoughts": "yes", "explanation": "solutions/kepler’s_law.png", "answer": f"{TWO}\n#### 4"},
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "4"}], "cot": TWO},
    ],
)
def test_a_trace_may_have_many_names(row):
    sample = to_sample({"question": "q", **row} if "messages" not in row else row)
    assert (" ".join(" ".join(sample.steps).split()), sample.answer) == (TWO, "4")


def test_a_chain_of_thought_beside_choices_leaves_the_answer_a_place():
    row = {"question": "q", "choices": ["a", "b"], "answer": 1}
    assert [to_sample({**row, name: TWO}).answer for name in ("cot", "explanation")] == ["B", "B"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"cot": TWO, "thought": "Three."}, "columns 'cot' and 'thought' may be the trace, and differ"),
        ({"a_thinking_trajectory": TWO, "b_thinking_trajectory": "x y"}, "columns 'a_thinking_trajectory' and 'b_"),
        ({"rationales": [TWO, "Three."]}, "column 'rationales' is several texts"),
        ({"cot": TWO, "answer": "<think>Three.</think>4"}, "column 'cot' .* is not what 'answer' reasons"),
        ({"cot": TWO, "solution": "<think>Three.</think>4"}, "column 'cot' .* is not what 'solution' reasons"),
        ({"explanation": "one", "answer": "4"}, "column 'answer' has no trace"),
        ({"explanation": TWO, "answer": "4\n5"}, "column 'answer' has no trace"),
    ],
)
def test_a_trace_that_may_be_another_one_is_refused(row, message):
    with pytest.raises(InputError, match=f"^row: {message}"):
        to_sample({"question": "q", "answer": "4", **row})
