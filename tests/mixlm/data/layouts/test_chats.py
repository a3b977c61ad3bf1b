import json

import pytest

from mixlm.data.layouts.chats import chat_columns, turns_of
from mixlm.data.samples import read_question, to_sample
from mixlm.errors import InputError


USER, DONE = {"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "Two.</think>4"}
ONE_TURN = [
    {"messages": [USER, DONE]},
    {"messages": json.dumps([USER, DONE])},
    {"messages": [USER, {"role": "assistant", "content": "4", "reasoning_content": "Two."}]},
    {"messages": [USER, {"role": "assistant", "content": "<think>Two.</think>4", "reasoning_content": None}]},
    {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "2 + "}, {"type": "text", "text": "2?"}]},
            DONE,
        ]
    },
    {"messages": [{"role": "user", "content": ["2 + ", {"text": "2?", "image": None}]}, DONE]},
    {
        "messages": [
            USER,
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "Two."}, {"type": "text", "text": "4"}],
            },
        ]
    },
    {"conversations": [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "Two.</think>4"}]},
    {
        "conversations": json.dumps(
            [{"from": "user", "value": "2 + 2?"}, {"from": "Assistant", "value": "Two.</think>4"}]
        )
    },
    {"conversation": [USER, DONE]},
    {"prompt": [USER], "completion": [DONE]},
    {"prompt": [USER], "completion": "Two.</think>4"},
    {"prompt": "2 + 2?", "completion": [DONE]},
    {"prompt": [USER], "response": "Two.</think>4"},
    {"messages": [USER, {"role": "assistant", "content": "Two.</think>So it is four, written"}], "answer": "4"},
    {"messages": [USER, {"role": "assistant", "content": "The answer is 4."}], "steps": ["Two."]},
    {"messages": [USER, {"role": "assistant", "content": "4"}], "steps": ["Two."], "answer": "4"},
    {"messages": [USER, {"role": "assistant", "content": "Two.</think>\\boxed{4}"}], "steps": ["Two."]},
    {"messages": [USER, DONE], "steps": []},
    {"messages": [USER, DONE], "steps": [{"action": "look"}]},
    {"messages": [USER, DONE], "steps": 12},
    {"prompt": [USER], "steps": ["Two."], "answer": "4"},
    {
        "messages": [
            USER,
            {"role": "assistant", "channel": "analysis", "content": "Two."},
            {"role": "assistant", "channel": "final", "content": "4"},
        ]
    },
]


@pytest.mark.parametrize("row", ONE_TURN, ids=lambda row: "+".join(row))
def test_every_form_of_a_chat_gives_the_same_sample(row):
    sample = to_sample(row)
    assert (sample.question, sample.steps, sample.answer) == ("2 + 2?", ("Two.",), "4")
    assert sample.messages == (USER,) and not sample.needs_chat
    asked = read_question(row)
    assert (asked.question, asked.messages) == ("2 + 2?", (USER,))


CALL = {"id": "1", "type": "function", "function": {"name": "add", "arguments": {"a": 2, "b": None}}}
CALLED = {**CALL, "function": {"name": "add", "arguments": {"a": 2}}}  # Parquet has every key in every call
ANALYSIS = {"role": "assistant", "channel": "analysis", "content": "Two."}


def test_earlier_turns_keep_what_a_template_reads():
    before = [
        {"role": "system", "content": "Be brief."},
        {**USER, "name": "Ann"},
        {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": "Hm.", "name": None},
        {"role": "tool", "content": "4", "tool_call_id": "1", "weight": 0},
    ]
    sample = to_sample({"messages": [*before, {"role": "assistant", "content": "Two.</think>4"}], "tools": [{"a": 1}]})
    assert sample.question == "2 + 2?" and sample.needs_chat
    assert sample.messages == (
        before[0],
        before[1],
        {"role": "assistant", "content": None, "tool_calls": [CALLED], "reasoning_content": "Hm."},
        {"role": "tool", "content": "4", "tool_call_id": "1"},
    )


def test_tools_alone_need_a_template_too():
    assert to_sample({"messages": [USER, DONE], "tools": [{"name": "add"}]}).needs_chat
    assert not to_sample({"messages": [USER, DONE], "tools": []}).needs_chat


def test_a_system_column_is_the_first_turn():
    system = {"role": "system", "content": "Be brief."}
    rows = [
        {"conversations": [USER, DONE]},
        {"prompt": [USER], "completion": [DONE]},
        {"messages": [system, USER, DONE]},
    ]
    assert [to_sample({**row, "system": "Be brief."}).messages for row in rows] == [(system, USER)] * 3
    with pytest.raises(InputError, match="column 'system' differs from the system turn"):
        to_sample({"messages": [system, USER, DONE], "system": "Be kind."})
    plain = to_sample({"question": "2 + 2?", "system": "Be brief.", "response": "Two.</think>4"})
    assert plain.question == "Be brief.\n\n2 + 2?" and plain.messages == (system, USER) and not plain.needs_chat


def test_conversations_beside_a_question_are_a_column_like_others():
    row = {"question": "2 + 2?", "steps": [], "answer": "1", "conversations": [USER, DONE]}
    assert chat_columns(row) == [] and to_sample(row).question == "2 + 2?"
    assert chat_columns({"question": "q", "messages": [USER]}) == ["messages"]
    row = {"question": "2 + 2?", "final_answer": "4", "conversations": [USER, DONE]}  # nothing else to read
    assert chat_columns(row) == ["conversations"] and to_sample(row).answer == "4"


@pytest.mark.parametrize("turns", [[USER, DONE], [{"role": "user", "content": "and 3 more?"}, DONE, USER]])
def test_earlier_turns_beside_a_question_are_refused(turns):
    row = {"question": "and 3 more?", "answer": "4 + 3\n#### 7", "conversation": turns}
    with pytest.raises(InputError, match="^row: column '(conversation|question)' may belong to the question, "):
        to_sample(row)
    with pytest.raises(InputError, match="^row: column 'question' may belong .* no turn of the chat says it"):
        read_question({"question": "else", "conversation": turns})


def test_a_question_that_no_turn_of_a_chat_says_is_refused():
    chat = {"messages": [USER, DONE]}
    assert to_sample({**chat, "problem": " 2 +  2?"}).question == "2 + 2?"
    for name in ("instruction", "problem", "prompt"):
        with pytest.raises(InputError, match=f"^row: column '{name}' may belong to the question"):
            to_sample({**chat, name: "Answer in French."})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}, DONE]},
            "turn 1: content has",
        ),
        ({"messages": [{"role": "user", "content": [7]}, DONE]}, "turn 1: content has a part of type None"),
        ({"messages": [{"role": "user", "content": {"a": 1}}, DONE]}, "turn 1: content is a dict"),
        ({"messages": [{"role": "user", "content": None}, DONE]}, "turn 1: .*its content is missing"),
        ({"messages": [{"content": "x"}, DONE]}, r"turn 1: must be turns with role and content \(it has content\)"),
        ({"messages": ["x", DONE]}, "turn 1: must be turns .* a str"),
        ({"messages": "[1"}, "column 'messages' is a text and no JSON list of turns"),
        ({"messages": '["\\\\ud83d"]'.replace("\\\\", "\\")}, "column 'messages' is no text: it holds"),
        ({"messages": [USER]}, "'messages' must be turns with role and content, the last one the assistant's"),
        ({"messages": [USER, DONE, USER]}, "'messages' must be turns .* the last one the assistant's"),
        (
            {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}]},
            "calls a tool and answers",
        ),
        (
            {"messages": [USER, {"role": "assistant", "content": "", "reasoning_content": "a"}]},
            "last turn .* no answer",
        ),
        ({"messages": [USER, {"role": "assistant", "content": "4"}]}, "the last turn of the chat has no trace"),
        ({"messages": [USER, DONE], "context": "c"}, "column 'context' .*no turn of the chat holds"),
        ({"messages": [USER, DONE], "choices": ["c"]}, "column 'choices' .*no turn of the chat holds"),
        ({"messages": [USER, DONE], "images": ["x"]}, "column 'images' .*is no text; put what it says into a turn"),
        ({"conversations": [{"from": "alien", "value": "x"}, DONE]}, r"turn 1: must be turns .*\(from is 'alien'\)"),
        ({"prompt": [USER]}, "'prompt' must be turns"),
        ({"prompt": [USER], "answer": "4"}, "the last turn of the chat has no trace"),
        ({"prompt": [{"role": "system", "content": "x"}], "completion": [DONE]}, "no user turn"),
        ({"messages": [USER, ANALYSIS]}, "turn 2: its channel is 'analysis', and no turn of the assistant"),
        ({"messages": [USER, ANALYSIS, USER, DONE]}, "turn 2: its channel is 'analysis', and no turn"),
        (
            {"messages": [USER, ANALYSIS, {**DONE, "thinking": "Three."}]},
            "turn 2: its channel is 'analysis', and no turn .* without other reasoning",
        ),
    ],
)
def test_a_chat_that_cannot_be_read_is_named_with_its_turn(row, message):
    with pytest.raises(InputError, match=f"^row: .*{message}"):
        to_sample(row, "row")


def test_turns_of_prompt_and_completion_follow_each_other():
    row = {
        "prompt": [{"role": "system", "content": "s"}, USER],
        "completion": [{"role": "assistant", "content": "x"}, USER, DONE],
    }
    assert [turn["role"] for turn in turns_of(row, "row")] == ["system", "user", "assistant", "user", "assistant"]
