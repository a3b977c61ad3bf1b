import pytest

from mixlm.data.layouts.turns import turn_of, without_nulls
from mixlm.errors import InputError


FUNCTION = {"name": "add", "arguments": '{"a": 2, "b": null}'}
ADD = {"type": "function", "function": {"name": "add"}}
CALLS = [{"type": "function", "function": FUNCTION}]


@pytest.mark.parametrize(
    ("turn", "read"),
    [
        ({"function_call": FUNCTION}, {"content": "", "tool_calls": CALLS}),
        ({"content": None, "function_call": FUNCTION, "tool_calls": []}, {"content": None, "tool_calls": CALLS}),
        (
            {"tool_calls": '[{"function": {"name": "add", "arguments": {"a": null}}}]'},
            {"content": "", "tool_calls": [{"function": {"name": "add", "arguments": {"a": None}}}]},
        ),
        ({"function_call": {"name": None, "arguments": None}}, {"content": ""}),
        ({"role": "function", "name": "add", "content": "4"}, {"role": "tool", "name": "add", "content": "4"}),
        ({"id": "a-1", "weight": 0.5, "loss": True, "train": False, "images": []}, {"content": ""}),
        ({"content": "4", "value": "4", "timestamp": "on 12 Apr 2023", "info": {"lang": "en"}}, {"content": "4"}),
        ({"channel": "final", "recipient": "all", "content": "4"}, {"content": "4"}),
        ({"channel": "commentary", "tool_calls": CALLS}, {"content": "", "tool_calls": CALLS}),
        ({"from": "function_call", "value": '{"name": "add"}'}, {"content": "", "tool_calls": [ADD]}),
        ({"tool_calls": "[]", "content": "4"}, {"content": "4"}),
        (
            {"token_ids": [1, 2], "scores": {"a": 0.5}, "tags": ["sums"], "label": "good answer", "content": "4"},
            {"content": "4"},
        ),
        ({"date": "2024-01-01 10:00:00", "parent": {"said": "4"}, "content": "4"}, {"content": "4"}),
    ],
)
def test_of_a_turn_is_kept_what_a_template_reads(turn, read):
    given = {"content": "", **turn} if "from" in turn else {"role": "assistant", "content": "", **turn}
    assert turn_of(given, "row") == {"role": "assistant", **read}


@pytest.mark.parametrize(
    "turn",
    [
        {"content": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Two."}]}, {"text": "4"}]},
        {
            "content": [
                {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Two."}], "summary": ["Short."]},
                {"type": "output_text", "text": "4", "annotations": [{"start": 0}]},
            ]
        },
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Two."}], "text": None}, "4"]},
        {"content": [{"text": "Two.", "thought": True}, {"text": "4", "thought": None}]},
        {"content": "4", "thought": "Two."},
        {"content": "4", "chain_of_thought": ["Two."]},
        {"content": "4", "reasoning_content": "Two.", "thought": "Two.", "reasoning_details": [{"type": "x"}]},
        {
            "content": "4",
            "reasoning": None,
            "reasoning_details": [
                {"type": "reasoning.summary", "summary": "Two.", "format": "x"},
                {"type": "reasoning.encrypted", "data": "Zm9v"},
            ],
        },
    ],
)
def test_reasoning_is_read_wherever_a_turn_has_it(turn):
    read = {"role": "assistant", "content": "4", "reasoning_content": "Two."}
    assert turn_of({"role": "assistant", **turn}, "row") == read


def test_reasoning_that_the_content_says_is_not_told_twice():
    turn = {"role": "assistant", "content": "Two. So 4."}
    assert turn_of({**turn, "thought": "Two."}, "row") == turn


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        ({"images": ["a.png"]}, "field 'images' may belong to the chat, and is read nowhere"),
        ({"image": "a.png"}, "field 'image'"),
        ({"hint": "count them"}, "field 'hint'"),
        ({"hint": "数一数"}, "field 'hint'"),
        ({"functions": [{"name": "add"}]}, "field 'functions'"),
        ({"value": "or is it 5"}, "field 'value'"),
        ({"reasoning_content": "Two.", "thought": "or three"}, "field 'thought'"),
        ({"content": [{"text": "4", "image": "a.png"}]}, "field 'image'"),
        ({"content": [{"type": "text", "text": "4", "thinking": "it is two"}]}, "field 'thinking'"),
        ({"content": [{"type": "text", "content": "4"}]}, "a part of type 'text' without a text"),
        ({"content": [{"type": "reasoning", "summary": []}, "4"]}, "a part of type 'reasoning' without a text"),
        (
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "Zm9v"}]},
            "'reasoning_details' holds no text",
        ),
        ({"function_call": "auto"}, "'function_call' must be one list of calls"),
        ({"tool_calls": [7]}, "'tool_calls' must be one list of calls"),
        ({"tool_calls": [{"function": "add"}]}, "'tool_calls' must be one list of calls"),
        ({"function_call": FUNCTION, "tool_calls": CALLS}, "'tool_calls' and 'function_call' must be one list"),
        ({"channel": "commentary"}, "its channel is 'commentary'"),
        ({"note": "or rather five of them"}, "field 'note'"),
        ({"call": {"city": "Paris"}}, "field 'call'"),
        ({"channel": "analysis", "role": "user"}, "its channel is 'analysis'"),
        ({"channel": "analysis", "content": None, "tool_calls": CALLS}, "its channel is 'analysis'"),
    ],
)
def test_what_a_turn_may_say_and_nobody_reads_is_refused(turn, message):
    with pytest.raises(InputError, match=f"^row: .*{message}"):
        turn_of({"role": "assistant", "content": "4", **turn}, "row")


def test_nulls_go_from_objects_and_stay_in_lists():
    assert without_nulls({"a": ({"b": None},), "c": None, "d": [None, 0, ""]}) == {"a": [{}], "d": [None, 0, ""]}
