import json
import random

import pytest

from mixlm.errors import InputError
from mixlm.tasks.sources import Source, find, text_of
from mixlm.tasks.splits import drawn


ROWS = [{"question": "one?", "answer": "1"}, {"question": "two?", "answer": "2"}]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of real data with the file ``set/rows.jsonl``."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    monkeypatch.setenv("MIXLM_DATA", str(tmp_path))
    return tmp_path


def questions(source, given=None):
    return [row["question"] for _, row in source.rows(given)]


def test_file_is_found_below_the_folder(folder):
    assert find("set/rows.jsonl", "--source", "set") == folder / "set" / "rows.jsonl"


def test_missing_file_names_the_place_and_the_option(folder):
    with pytest.raises(InputError, match=r"set: .*/set/other.jsonl: no such file; .* give the file as --held-out"):
        find("set/other.jsonl", "--held-out", "set")


def test_missing_folder_names_the_variable_and_the_option(monkeypatch):
    monkeypatch.delenv("MIXLM_DATA", raising=False)
    with pytest.raises(InputError, match=r"set: where is a.json\? Set MIXLM_DATA to .* give the file as --source"):
        find("a.json", "--source", "set")


def test_what_is_given_comes_before_the_folder_and_the_folder_before_the_hub(folder, tmp_path):
    other = tmp_path / "other.json"
    other.write_text(json.dumps([{"question": "three?"}]))
    source = Source("set", "set/rows.jsonl", (("nobody/nothing", "train"),))
    assert questions(source) == ["one?", "two?"]
    assert questions(source, other) == ["three?"]


def test_without_a_file_and_without_the_hub_every_remedy_is_named(folder):
    source = Source("set", "set/none.jsonl", (("nobody/nothing:main", "test"),), "--rows")
    with pytest.raises(InputError, match=r"set/none.jsonl: no such file; .* --rows; the Hub .*nothing:main.*'test'"):
        questions(source)
    with pytest.raises(InputError, match="give the file as --rows"):
        questions(Source("set", "set/none.jsonl", (), "--rows"))


def test_folder_of_several_splits_is_read_one_after_the_other_and_a_file_once(folder, tmp_path):
    hub = tmp_path / "hub"
    hub.mkdir()
    for name, row in zip(("train", "test"), ROWS, strict=True):
        (hub / f"{name}.jsonl").write_text(json.dumps(row))
    both = Source("set", "", (("nobody/nothing", "train"), ("nobody/nothing", "test")))
    assert questions(both, hub) == ["one?", "two?"]
    assert questions(Source("set", "", (("nobody/nothing", "test"),)), hub) == ["two?"]
    assert questions(both, folder / "set" / "rows.jsonl") == ["one?", "two?"]


def test_text_is_the_first_column_that_is_there():
    row = {"a": None, "b": " text ", "c": "other", "d": 3}
    assert text_of(row, ("a", "b", "c"), "row 1", "set") == "text"
    for names in (("a",), ("d", "b"), ()):
        with pytest.raises(InputError, match="row 1: no text in column"):
            text_of(row, names, "row 1", "set")


def test_drawn_questions_depend_on_nothing_but_the_questions():
    asked = [f"question {number}" for number in range(50)]
    first = drawn(asked, 10, "file")
    assert len(first) == 10
    assert first < set(asked)
    random.Random(0).shuffle(asked)
    assert drawn([*asked, *asked], 10, "file") == first
    # The draw of a part is what the draw of the whole took of it, and more.
    assert first & set(asked[:30]) <= drawn(asked[:30], 10, "file")
    assert first != set(sorted(asked)[:10])


def test_draw_that_would_leave_nothing_is_an_error():
    assert drawn(["a", "b", "b"], 1, "file") < {"a", "b"}
    with pytest.raises(InputError, match="file: has 2 questions, and 2 are held out"):
        drawn(["a", "b", "b"], 2, "file")
