from pathlib import Path

import pytest

from mixlm.data.layouts.columns import KNOWN, is_word, known_columns, question_of
from mixlm.data.texts.responses import RULES
from mixlm.errors import InputError


def asked(**row) -> tuple[str, str]:
    return question_of(known_columns(row), "row")


@pytest.mark.parametrize(
    ("row", "question"),
    [
        ({"instruction": "Add.", "input": "1 and 2"}, "Add.\n\n1 and 2"),
        ({"instruction": "Add. ", "input": "\n1 and 2\n"}, "Add.\n\n1 and 2"),
        ({"instruction": " Add. ", "input": ""}, " Add. "),
        ({"instruction": "Add.", "input": " \n"}, "Add."),
        ({"instruction": "Add.", "input": None}, "Add."),
        ({"instruction": "Add.", "input": "<noinput>"}, "Add."),
        ({"instruction": "Add.", "input": float("nan")}, "Add."),
        ({"instruction": "Add.", "input": 7}, "Add.\n\n7"),
        ({"input": "1 + 2?"}, "1 + 2?"),
        ({"instruction": "Add.", "context": "1 and 2"}, "1 and 2\n\nAdd."),
        ({"question": "How many?", "context": ["One.", "Two."]}, "One.\n\nTwo.\n\nHow many?"),
        ({"question": "How many?", "passage": "One."}, "One.\n\nHow many?"),
        ({"Question": "How many?", "Body": "One box.", "Answer": "1"}, "One box.\n\nHow many?"),
        ({"question": "How many?", "instruction": "Give a number."}, "Give a number.\n\nHow many?"),
        ({"question": "How many?", "query": "How many?"}, "How many?"),
        ({"question": "Which?", "choices": ["a", "b"], "context": "C."}, "C.\n\nWhich?\n\nA. a\nB. b"),
        ({"question": "Is it?", "Theory": "All are.", "sql_context": ""}, "All are.\n\nIs it?"),
        ({"question": "Q?", "text": "### Task\nQ?\n### Answer\nA", "code": "en", "support": 3, "answers": []}, "Q?"),
        ({"question": "Q?", "answers": {"text": ["a b", "c"], "answer_start": [0, 4]}}, "Q?"),
        ({"question": "Q?", "answers": ["a b"]}, "Q?"),
        ({"question": "Q?", "answers": [72, 73]}, "Q?"),
        ({"question": "Q: f(x) = x ?", "code": "f(x)  =\nx"}, "Q: f(x) = x ?"),
        ({"question": "Which?", "choices": [], "hint": "", "image": None, "tools": [], "history": []}, "Which?"),
        (
            {"question": "Q", "id": 7, "source": "book", "level": "5", "type": "x", "subject": "y", "category": "z"},
            "Q",
        ),
    ],
)
def test_what_belongs_to_a_question_is_joined_to_it(row, question):
    assert asked(**row) == (question, "")


def test_what_a_system_column_says_stands_apart():
    assert asked(question="Q", system="Be brief.") == ("Q", "Be brief.")
    assert asked(question="Q", system_prompt="Be brief.", system="Be brief.") == ("Q", "Be brief.")
    with pytest.raises(InputError, match="^row: columns 'system' and 'system_prompt' differ"):
        asked(question="Q", system_prompt="Be brief.", system="Be kind.")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "Q", "hint": "add"}, "column 'hint' may belong to the question"),
        ({"question": "Q", "image": {"bytes": "x"}}, "column 'image' may belong to the question, which is no text"),
        ({"question": "Q", "Tools": [{"name": "f"}]}, "column 'tools' .* give the question as 'messages'"),
        ({"question": "Q", "history": [["a", "b"]]}, "column 'history' .* give the turns as 'messages'"),
        ({"question": "Q", "code": "def f(x):\n    return x", "input": "f(1)"}, "column 'code' may belong"),
        ({"question": "Q", "text": "A passage of it."}, "column 'text' may belong to the question"),
        ({"question": "Q", "schema": {"a": 1}}, "column 'schema' may belong to the question"),
        ({"question": "Q", "answers": ["a", "b"]}, "column 'answers' may belong .* or be right answers, all of them;"),
        ({"question": "Q", "prompt": "P"}, "columns 'question' and 'prompt' may both be the question"),
        ({"question": "Q", "context": {"a": 1}}, "column 'context' is a dict, not text; write it as text"),
        ({"question": "Q", "input": [1]}, "column 'input' is a list, not text"),
        ({"question": " "}, "column 'question' is empty"),
        ({"question": float("inf")}, "column 'question' is inf, not text"),
        ({"input": ""}, "column 'input' is empty"),
        ({"text": "Q"}, r"no column question or query .*\(it has text\); accepted: question"),
    ],
)
def test_a_question_that_may_not_be_whole_is_refused_by_the_column(row, message):
    with pytest.raises(InputError, match=f"^row: {message}"):
        asked(**row)


@pytest.mark.parametrize(
    ("value", "word"),
    [
        *((one, True) for one in (None, "", " en ", "a/b’s.png", 7, 0.5, False, [], {})),
        ("a b", False),
        ("数一数", False),
    ],
)
def test_a_word_is_no_text_and_no_list(value, word):
    assert is_word(value) == word and not is_word([value]) and not is_word({"a": value})


def test_columns_are_known_whatever_their_capitals_and_others_keep_their_names():
    row = {"Question": "Q", "answerKey": "B", "ID": 1, "Level": None, "question": None}
    assert known_columns(row) == {"question": "Q", "answerkey": "B", "ID": 1}
    assert known_columns({"question": "q", "Question": "Q"}) == {"question": "q", "Question": "Q"}


def test_the_page_on_formats_names_every_column_that_is_read():
    page = (Path(__file__).parents[4] / "docs" / "FORMATS.md").read_text()
    assert not {name for name in KNOWN if f"`{name}" not in page.replace("answerKey", "answerkey")}
    assert (
        all(mark in page for mark in ("--answer-pattern", "<answer>", "`####`", "\\boxed", "bold")) and len(RULES) == 9
    )
