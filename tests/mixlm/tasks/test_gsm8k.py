import json

import pytest

from mixlm.errors import InputError
from mixlm.tasks.gsm8k import check, extract_answer, load, steps_of


SOLUTION = "Tim pays 2*540 = $<<2*540=1080>>1,080.\n\nHe keeps <<20 - 8 = 12>>12 .\n#### 1,080"


@pytest.fixture
def official(tmp_path):
    """Two training questions and one held out, in the files' own layouts."""
    rows = [{"question": f"question {number}?", "answer": SOLUTION} for number in range(3)]
    source, held_out = tmp_path / "train.jsonl", tmp_path / "gsm_valid.json"
    source.write_text("\n".join(map(json.dumps, rows)))
    held_out.write_text(json.dumps([{"question": "question 1?", "steps": [], "answer": "1"}]))
    return {"source": source, "held_out": held_out}


def test_text_is_the_sentences_without_marks_and_equations_are_the_marks_without_spaces():
    assert steps_of(SOLUTION) == ["Tim pays 2*540 = $1,080.", "He keeps 12 ."]
    assert steps_of(SOLUTION, "equations") == ["<<2*540=1080>>", "<<20-8=12>>"]
    assert steps_of("No sum at all.\n#### 3", "equations") == []


def test_answer_is_what_follows_the_last_mark():
    assert extract_answer(SOLUTION) == "1080"
    assert extract_answer("#### 3\n#### 4") == "4"
    assert extract_answer("no mark") is None
    assert extract_answer("#### ") is None


def test_answers_are_compared_as_numbers():
    assert check("1080", "$1,080.0")
    assert not check("1080", "108")
    assert not check("1080", None)


def test_valid_is_the_held_out_questions_and_train_the_others(official):
    assert [row["question"] for row in load("train", **official)] == ["question 0?", "question 2?"]
    assert list(load("valid", "equations", **official)) == [
        {"question": "question 1?", "steps": ["<<2*540=1080>>", "<<20-8=12>>"], "answer": "1080"}
    ]


def test_held_out_question_that_is_spelt_otherwise_is_an_error(official):
    official["held_out"].write_text('[{"question": "Question 1?"}]')
    with pytest.raises(InputError, match="1 of its questions are not in"):
        list(load("train", **official))


@pytest.mark.parametrize(
    ("row", "message"),
    [({"question": "q", "answer": "no mark"}, "no '#### N'"), ({"query": "q"}, "no text in column 'question'")],
)
def test_file_of_another_kind_is_an_error(official, row, message):
    official["source"].write_text("\n".join(map(json.dumps, [{"question": "question 1?", "answer": "#### 1"}, row])))
    with pytest.raises(InputError, match=message):
        list(load("train", **official))


def test_without_the_data_both_remedies_are_named(monkeypatch):
    monkeypatch.delenv("MIXLM_DATA", raising=False)
    with pytest.raises(InputError, match="Set MIXLM_DATA to .* or give the file as --source"):
        list(load())


def test_real_data_no_question_is_in_both_splits(data_folder):
    train, valid = list(load("train")), list(load("valid"))
    assert (len(train), len(valid)) == (6973, 500)
    assert not {row["question"] for row in train} & {row["question"] for row in valid}
    assert not any("<<" in step or ">>" in step for row in train for step in row["steps"])
    assert all(row["steps"] for row in train)


def test_real_data_equations_are_those_of_the_shipped_files(data_folder):
    for split, name in (("train", "gsm_train_noaug_equations.json"), ("valid", "gsm_valid.json")):
        shipped = json.loads((data_folder / "gsm8k_icot" / name).read_text())
        ours = {row["question"]: row for row in load(split, "equations")}
        assert ours == {row["question"]: {**row, "answer": row["answer"].replace(",", "")} for row in shipped}
