"""The test sets: rows in each published layout, the real files, answers that equal themselves."""

import json
import re

import pytest

from mixlm.errors import InputError
from mixlm.evaluation.checks import check_answer
from mixlm.evaluation.numbers import read_number
from mixlm.tasks import TASKS, open_task
from mixlm.tasks.mathematics.question_sets import _text


TEST_SETS = {name: open_task(name) for name, home in TASKS.items() if "question_sets" in home}
REAL = {
    "math500": 500,
    "fresh-gaokao-math-2023": 30,
    "deepmind-math": 1000,
    "college-math": 2818,
    "olympiad-bench": 675,
    "theorem-qa": 800,
    "svamp": 1000,
    "multiarith": 600,
}
# A row of each layout that is known, and what is made of it.
LAYOUTS = [
    (
        "math500",
        {"problem": "p?", "solution": "s", "answer": r"\frac12", "subject": "Algebra", "level": 2, "unique_id": "t/1"},
        {"question": "p?", "answer": r"\frac12", "subject": "Algebra", "level": "2", "unique_id": "t/1"},
    ),
    (
        "fresh-gaokao-math-2023",
        {"data_topic": "t", "data_source": "s", "question": "p?", "answer": r"\( 1 \)", "question_number": "f.1"},
        {"question": "p?", "answer": r"\( 1 \)", "question_number": "f.1"},
    ),
    ("deepmind-math", {"question": "p?", "answer": "[3]"}, {"question": "p?", "answer": "[3]"}),
    (
        "college-math",
        {"data_source": "s", "question_number": "e.1", "question": "p?", "answer": "$4$", "license": "free"},
        {"question": "p?", "answer": "$4$", "question_number": "e.1", "license": "free"},
    ),
    (
        "olympiad-bench",
        {"id": 7, "context": None, "question": "p?", "solution": ["s"], "final_answer": ["$1,3$"], "unit": None},
        {"question": "p?", "answer": "$1,3$", "id": "7"},
    ),
    (
        "olympiad-bench",
        {"id": 7, "context": "Let x be 1.", "question": "p?", "final_answer": ["2"], "unit": "cm", "error": "1e-1"},
        {"question": "Let x be 1. p?", "answer": "2", "id": "7", "unit": "cm", "error": "1e-1"},
    ),
    (
        "theorem-qa",
        {"Question": "p?", "Answer": True, "Answer_type": "bool", "Picture": None, "id": "a.json"},
        {"question": "p?", "answer": "True", "answer_type": "bool", "id": "a.json"},
    ),
    (
        "theorem-qa",  # the Hub's copy
        {"Question": "p?", "Answer": "[1, 2]", "Answer_type": "list of integer", "Picture": None},
        {"question": "p?", "answer": "[1, 2]", "answer_type": "list of integer"},
    ),
    (
        "svamp",
        {
            "ID": "chal-1",
            "Body": "A box.",
            "Question": "How many?",
            "Equation": "( 1 + 1 )",
            "Answer": 2.0,
            "Type": "Sum",
        },
        {"question": "A box. How many?", "answer": "2", "id": "chal-1", "type": "Sum"},
    ),
    ("multiarith", {"sQuestion": " p? ", "lSolutions": [39.0]}, {"question": "p?", "answer": "39"}),
    ("multiarith", {"question": " p? ", "final_ans": "39"}, {"question": "p?", "answer": "39"}),
    ("multiarith", {"question": "p?", "answer": "39"}, {"question": "p?", "answer": "39"}),
    ("multiarith", {"input": "p?", "target": 39}, {"question": "p?", "answer": "39"}),
    ("gsm-hard", {"input": "p?", "code": "c", "target": -9867630.0}, {"question": "p?", "answer": "-9867630"}),
    ("gsm-hard", {"input": "p?", "code": "c", "target": 33.5}, {"question": "p?", "answer": "33.5"}),
]


@pytest.mark.parametrize(("name", "row", "made"), LAYOUTS)
def test_layout(tmp_path, name, row, made):
    source = tmp_path / "rows.json"
    source.write_text(json.dumps([row]))
    assert list(TEST_SETS[name].load(source=source)) == [{**made, "steps": []}]


@pytest.mark.parametrize(("name", "row", "made"), LAYOUTS)
def test_folder_as_the_hub_has_it(tmp_path, name, row, made):
    splits = list(dict.fromkeys(split for _, split in TEST_SETS[name].hub)) or ["train"]
    for split in splits:
        (tmp_path / f"{split}.jsonl").write_text(json.dumps({**row, "of": split}))
    assert list(TEST_SETS[name].load(source=tmp_path)) == [{**made, "steps": []}] * len(splits)


@pytest.mark.parametrize("name", TEST_SETS)
def test_row_of_another_kind_is_an_error(tmp_path, name):
    question = TEST_SETS[name].questions[0]
    for row, wanted in (({"text": "p?"}, "no text in column"), ({question: "p?"}, "no column")):
        source = tmp_path / "rows.jsonl"
        source.write_text(json.dumps(row))
        with pytest.raises(InputError, match=f"rows.jsonl:1: {wanted} '.*'; give a file of {name}"):
            list(TEST_SETS[name].load(source=source))


@pytest.mark.parametrize(
    ("value", "text"),
    [(51.0, "51"), (0.5, "0.5"), (-3, "-3"), ([39.0], "39"), ([1, 2.5, -0.0], "[1, 2.5, 0]"), (1e22, "1" + "0" * 22)],
)
def test_numbers_are_written_without_a_needless_point(value, text):
    assert _text(value) == text


@pytest.mark.parametrize("name", TEST_SETS)
def test_each_set_is_a_task(name):
    task = TEST_SETS[name]
    assert task.name == name
    assert task.SPLITS == ("test",)
    assert task.CHECK in ("number", "math")
    assert task.__doc__.startswith(task.about[:20])
    assert re.search(r"github.com|on the Hub", task.__doc__, re.IGNORECASE)


@pytest.mark.parametrize("name", REAL)
def test_real_data(data_folder, name):
    task = TEST_SETS[name]
    rows = list(task.load())
    assert len(rows) == REAL[name]
    assert all(row["steps"] == [] and row["question"] and row["answer"] for row in rows)
    assert all(isinstance(value, str) for row in rows for key, value in row.items() if key != "steps")
    if task.CHECK == "number":
        assert all(read_number(row["answer"]) is not None for row in rows)
        assert all(check_answer(row["answer"], f"${row['answer']}.0", "number") for row in rows)
    else:
        pytest.importorskip("math_verify")
        assert all(check_answer(row["answer"], row["answer"], "math") for row in rows)


@pytest.mark.parametrize("name", [name for name in REAL if TEST_SETS[name].CHECK == "math"])
def test_real_answers_mean_the_same_in_a_box(data_folder, name):
    """math-verify reads what is published: in another spelling, so that the texts differ, it is still right."""
    pytest.importorskip("math_verify")
    task = TEST_SETS[name]
    rows = [row for row in task.load() if row.get("answer_type") not in ("bool", "option")]
    rows = rows[:: max(len(rows) // 30, 1)][:30]
    boxed = [re.sub(r"^(\$|\\\(|\\\[)\s*(.*?)\s*(\$|\\\)|\\\])$", r"\2", row["answer"]) for row in rows]
    right = [check_answer(row["answer"], rf"\boxed{{{bare}}}", "math") for row, bare in zip(rows, boxed, strict=True)]
    wrong = [check_answer(row["answer"], r"\boxed{77777}", "math") for row in rows]
    assert sum(right) >= 0.9 * len(rows)
    assert not any(wrong)


def test_real_copies_of_svamp_and_multiarith_agree(data_folder):
    def asked(task, *copy):
        return {(row["question"], row["answer"]) for row in task.load(source=data_folder.joinpath(*copy))}

    svamp, multiarith = TEST_SETS["svamp"], TEST_SETS["multiarith"]
    assert asked(svamp, "svamp", "test.jsonl") == asked(svamp, "svamp", "SVAMP.json")
    copies = [("gsm8k_icot", "multiarith.json"), ("mawps", "multiarith.jsonl"), ("mawps", "MultiArith.json")]
    assert len({frozenset(asked(multiarith, *copy)) for copy in copies}) == 1
