import json
from json import JSONDecodeError

import pytest

from mixlm.data.values import DEEPEST, Unreadable, ailment, is_missing, is_text, parse_json, read_json


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    "text", ['{"a": [1, -2.5, "x", null, true], "b": {}}', '"é \\ud83d\\ude00"', "[]", "9" * 4300]
)
def test_what_can_be_read_is_read_as_json_has_it(text):
    assert parse_json(text) == json.loads(text)
    assert ailment({"column": parse_json(text)}) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (r'{"a": "x\ud83d"}', r"column 'a' is no text: it holds \ud83d, half of a character"),
        (r'{"a": [{"b": ["\udc00"]}]}', r"column 'a' is no text: it holds \udc00"),
        (r'{"a": {"\ud800": 1}}', r"column 'a' is no text: it holds \ud800"),
        (r'{"\ud800": 1}', r"the name of column '\ud800' is no text"),
        (r'{"\u0000": 1}', r"the name of column '\x00' is no text"),
        ('{"a": 1, "a": 1}', "column 'a' is there twice"),
        ('{"x": {"a": 1, "b": 2, "a": 3}}', "column 'x' is there twice"),
        (f'{{"a": {"9" * 4301}}}', "column 'a' is a whole number of 4301 digits"),
        (f'{{"a": -{"9" * 4301}}}', "column 'a' is a whole number of 4301 digits"),
        (f'{{"a": {nested(DEEPEST + 1)}}}', "column 'a' is nested too deep"),
        (f'{{"b": "[[", "a": {nested(100_000)}, "c": 1}}', "column 'a' is nested too deep"),
    ],
)
def test_what_nothing_could_take_is_named_by_its_column(text, reason):
    assert ailment(parse_json(text)).startswith(reason)


def test_the_deepest_row_is_well():
    assert ailment({"a": parse_json(nested(DEEPEST))}) is None


def test_of_a_list_one_row_beyond_pythons_limits_leaves_the_others_as_they_are():
    first, deep, last = parse_json(f'[{{"a": "\\"]"}}, {{"b": {nested(100_000)}}}, {{"c": "["}}]')
    assert (first, last) == ({"a": '"]'}, {"c": "["})
    assert ailment(deep).startswith("column 'b' is nested too deep")


def test_brackets_without_end_are_no_json():
    with pytest.raises(JSONDecodeError):
        parse_json("[" * 100_000)


def test_json_that_is_read_whole_has_nothing_unreadable_in_it():
    assert read_json('{"a": [1, NaN, Infinity]}')["a"][0] == 1
    for text in ('{"a": 1, "a": 2}', r'["\ud800"]', "9" * 4301, nested(101), "[" * 100_000):
        with pytest.raises(ValueError):
            read_json(text)


def test_a_name_that_is_there_twice_has_no_value():
    read = parse_json('{"a": 1, "b": 2, "a": 3}')
    assert read["b"] == 2 and isinstance(read["a"], Unreadable)


def test_null_and_nan_are_missing_and_text_is_what_utf8_can_write():
    values = [None, float("nan"), 0, "", False, float("inf"), [], "nan"]
    assert [is_missing(value) for value in values] == [True, True, *[False] * 6]
    texts = ["", "é", "\U0001f600", "\ud83d", "\udcff"]
    assert [is_text(text) for text in texts] == [True, True, True, False, False]
