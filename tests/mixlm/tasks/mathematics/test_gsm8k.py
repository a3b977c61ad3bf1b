import json

import pytest

from mixlm.errors import InputError
from mixlm.evaluation.numbers import read_number
from mixlm.tasks.mathematics import gsm8k
from mixlm.tasks.mathematics.gsm8k import SPLITS, load, official_answer, steps_of


SOLUTION = "Tim pays 2*540 = $<<2*540=1080>>1,080.\n\nHe keeps <<20 - 8 = 12>>12 .\n#### 1,080"
KNOWN = {  # of the split valid, as it was first drawn
    "Malou got 91, 90, and 92 in her three quizzes. What is her average score?": "91",
    "Shelly has ten $10 bills and four fewer $5 bills. How much money does Shelly have in all?": "130",
    "3 years ago James turned 27.  In 5 years Matt will be twice James age.  How old is Matt now?": "65",
}


@pytest.fixture
def official(tmp_path, monkeypatch):
    """Twelve training questions, one of them held out, in the files' own layouts; "valid" is four of the others."""
    monkeypatch.setattr(gsm8k, "VALID_ROWS", 4)
    rows = [{"question": f"question {number}?", "answer": SOLUTION} for number in range(12)]
    source, held_out = tmp_path / "train.jsonl", tmp_path / "gsm_valid.json"
    source.write_text("\n".join(map(json.dumps, rows)))
    held_out.write_text(json.dumps([{"question": "question 1?", "steps": [], "answer": "1"}]))
    return {"source": source, "held_out": held_out}


def questions(split, **where):
    return [row["question"] for row in load(split, **where)]


def test_text_is_the_sentences_without_marks_and_equations_are_the_marks_without_spaces():
    assert steps_of(SOLUTION) == ["Tim pays 2*540 = $1,080.", "He keeps 12 ."]
    assert steps_of(SOLUTION, "equations") == ["<<2*540=1080>>", "<<20-8=12>>"]
    assert steps_of("No sum at all.\n#### 3", "equations") == []


def test_answer_is_what_follows_the_last_mark():
    assert official_answer(SOLUTION) == "1080"
    assert official_answer("#### 3\n#### 4") == "4"
    assert official_answer("no mark") is None
    assert official_answer("#### ") is None


def test_test_is_the_held_out_questions_and_the_others_are_train_and_valid(official):
    assert list(load("test", trace="equations", **official)) == [
        {"question": "question 1?", "steps": ["<<2*540=1080>>", "<<20-8=12>>"], "answer": "1080"}
    ]
    train, valid = questions("train", **official), questions("valid", **official)
    assert (len(train), len(valid)) == (7, 4)
    assert {*train, *valid} == {f"question {number}?" for number in range(12)} - {"question 1?"}


def test_splits_do_not_depend_on_the_order_of_the_file_and_keep_it(official):
    before = {split: questions(split, **official) for split in ("train", "valid", "test")}
    lines = official["source"].read_text().split("\n")
    official["source"].write_text("\n".join(reversed(lines)))
    assert {split: questions(split, **official) for split in before} == {
        split: rows[::-1] for split, rows in before.items()
    }


def test_official_test_is_a_file_of_its_own(official):
    assert len(questions("official-test", source=official["source"])) == 12


def test_the_same_splits_from_a_folder_as_the_hub_has_it(official, tmp_path):
    hub, held_out = tmp_path / "gsm8k", tmp_path / "gsm8k-aug"
    for folder in (hub, held_out):
        folder.mkdir()
    (hub / "train.jsonl").write_text(official["source"].read_text())
    (hub / "test.jsonl").write_text(json.dumps({"question": "an official one?", "answer": SOLUTION}))
    (held_out / "train.jsonl").write_text(json.dumps({"question": "invented?", "steps": ["<<1=1>>"], "answer": "1"}))
    (held_out / "validation.jsonl").write_text(json.dumps({"question": "question 1?", "steps": [], "answer": "1"}))
    for split in ("train", "valid", "test"):
        assert list(load(split, source=hub, held_out=held_out)) == list(load(split, **official))
    assert questions("official-test", source=hub) == ["an official one?"]


def test_held_out_question_that_is_spelt_otherwise_is_an_error(official):
    official["held_out"].write_text('[{"question": "Question 1?"}]')
    with pytest.raises(InputError, match="1 of its questions are not in"):
        list(load("train", **official))


@pytest.mark.parametrize(
    ("row", "message"),
    [({"question": "q", "answer": "no mark"}, "no '#### N'"), ({"query": "q"}, "no text in column 'question'")],
)
def test_file_of_another_kind_is_an_error(official, row, message):
    with official["source"].open("a") as file:
        file.write("\n" + json.dumps(row))
    with pytest.raises(InputError, match=message):
        [*load("train", **official), *load("valid", **official)]


def test_file_too_short_for_three_splits_is_an_error(official, monkeypatch):
    monkeypatch.setattr(gsm8k, "VALID_ROWS", 11)
    with pytest.raises(InputError, match="has 11 questions, and 11 are held out; give the whole file"):
        list(load("train", **official))


def test_without_the_data_both_remedies_are_named(monkeypatch):
    monkeypatch.delenv("MIXLM_DATA", raising=False)
    with pytest.raises(InputError, match="Set MIXLM_DATA to .* or give the file as --"):
        list(load())


def test_real_data_splits_cover_the_file_and_share_no_question(data_folder):
    rows = {split: list(load(split)) for split in SPLITS[:3]}
    assert {split: len(found) for split, found in rows.items()} == {"train": 6473, "valid": 500, "test": 500}
    asked = {row["question"] for found in rows.values() for row in found}
    assert len(asked) == 7473
    for found in rows.values():
        assert not any("<<" in step or ">>" in step for row in found for step in row["steps"])
        assert all(row["steps"] and read_number(f" ${row['answer']}.") is not None for row in found)


def test_real_data_test_is_the_validation_set_of_icot(data_folder):
    shipped = json.loads((data_folder / "gsm8k_icot" / "gsm_valid.json").read_text())
    assert {row["question"] for row in load("test")} == {row["question"] for row in shipped}


def test_real_data_valid_is_always_the_same(data_folder):
    answers = {row["question"]: row["answer"] for row in load("valid")}
    assert KNOWN.items() <= answers.items()


def test_real_data_equations_are_those_of_the_shipped_files(data_folder):
    ours = {row["question"]: row for split in SPLITS[:3] for row in load(split, trace="equations")}
    names = ("gsm_train_noaug_equations.json", "gsm_valid.json")
    shipped = [row for name in names for row in json.loads((data_folder / "gsm8k_icot" / name).read_text())]
    assert ours == {row["question"]: {**row, "answer": row["answer"].replace(",", "")} for row in shipped}
