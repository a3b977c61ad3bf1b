import json

import pytest

from mixlm.errors import InputError
from mixlm.tasks.mathematics import gsm8k_aug
from mixlm.tasks.mathematics.gsm8k_aug import SPLITS, load


LINES = [
    "Tim has 2 dogs.  How many paws?||<<2*4=8>> #### 8",
    "Ann pays $1,000 twice?||<<1000*2=2000>> <<2000+0=2000>> #### 2,000",
    "One?|| #### 1",
    "Tim has 2 dogs.  How many paws?||<<4+4=8>> #### 8",
]
ROWS = [
    {"question": "Tim has 2 dogs.  How many paws?", "steps": ["<<2*4=8>>"], "answer": "8"},
    {
        "question": "Ann pays $1,000 twice?",
        "steps": ["<<1000*2=2000>>", "<<2000+0=2000>>"],
        "answer": "2000",
    },
    {"question": "One?", "steps": [], "answer": "1"},
    {"question": "Tim has 2 dogs.  How many paws?", "steps": ["<<4+4=8>>"], "answer": "8"},
]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The same four training rows in every layout, and a held-out row; "valid" is the rows of one question."""
    monkeypatch.setattr(gsm8k_aug, "VALID_QUESTIONS", 1)
    text, coconut, cot = tmp_path / "train.txt", tmp_path / "train.json", tmp_path / "cot.jsonl"
    text.write_text("\n".join(LINES) + "\n")
    coconut.write_text(json.dumps(ROWS))
    columns = [{"question": r["question"], "cot": " ".join(r["steps"]), "answer": r["answer"]} for r in ROWS]
    cot.write_text("\n".join(map(json.dumps, columns)))
    hub = tmp_path / "hub"
    hub.mkdir()
    for name, rows in (("train", ROWS), ("validation", [{**ROWS[0], "question": "Held out?"}]), ("test", ROWS[:1])):
        (hub / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    held_out = tmp_path / "valid.txt"
    held_out.write_text("Held out?||<<1=1>> #### 1")
    return {"text": text, "coconut": coconut, "cot": cot, "hub": hub, "held_out": held_out}


@pytest.mark.parametrize("layout", ["text", "coconut", "cot", "hub"])
def test_every_layout_gives_the_same_rows(files, layout):
    where = {"source": files[layout], "held_out": files["held_out"]}
    train, valid = list(load("train", **where)), list(load("valid", **where))
    assert sorted([*train, *valid], key=ROWS.index) == ROWS
    assert len({row["question"] for row in valid}) == 1
    assert not {row["question"] for row in train} & {row["question"] for row in valid}
    assert train == [row for row in ROWS if row in train]


def test_test_is_the_held_out_rows_and_none_of_them_is_anywhere_else(files):
    held = {"question": "Held out?", "steps": ["<<1=1>>"], "answer": "1"}
    assert list(load("test", held_out=files["held_out"])) == [held]
    assert [row["question"] for row in load("test", held_out=files["hub"])] == ["Held out?"]
    with files["text"].open("a") as file:
        file.write("Held out?||<<1=1>> #### 1\n")
    for split in ("train", "valid"):
        assert held not in load(split, source=files["text"], held_out=files["held_out"])


def test_official_test_is_a_file_of_its_own(files):
    assert list(load("official-test", source=files["text"])) == ROWS
    assert list(load("official-test", source=files["hub"])) == ROWS[:1]


@pytest.mark.parametrize("line", ["no bars #### 3", "a question||<<1=1>> no mark"])
def test_line_of_another_kind_is_an_error(files, line):
    files["text"].write_text("\n".join([*LINES, line]))
    with pytest.raises(InputError, match=r"train.txt:5: is no 'question\|\|"):
        list(load("train", source=files["text"], held_out=files["held_out"]))


def test_real_data_both_layouts_of_the_held_out_rows_are_the_same(data_folder):
    text = list(load("test"))
    assert len(text) == 500
    assert text == list(load("test", held_out=data_folder / "gsm8k_icot" / "gsm_valid.json"))
    assert all(row["answer"] == row["steps"][-1].rpartition("=")[2].strip(">") for row in text[:3])


def test_real_data_splits_share_no_question(data_folder):
    source = data_folder / "gsm8k_icot" / "gsm_train_noaug_equations.json"
    rows = {split: list(load(split, source=source)) for split in SPLITS[:3]}
    assert {split: len(found) for split, found in rows.items()} == {"train": 6473, "valid": 500, "test": 500}
    assert len({row["question"] for found in rows.values() for row in found}) == 7473
