import json
import pickle

import datasets
import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from mixlm.data.formats.dataset_rows import _stored, parts_of
from mixlm.data.reading import STRIDE, open_raw, read_rows
from mixlm.errors import InputError


ROWS = [
    {"question": "1 + 1?", "steps": ["1 and 1", "make 2"], "answer": "2"},
    {"question": "Größe ≥ 3?", "steps": [], "answer": "3"},
]
COUNT = 2 * STRIDE + 7


def write_jsonl(path, rows=ROWS, between: str = "\n"):
    path.write_text(between.join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n", encoding="utf-8")
    return path


def write_parquet(path, rows=ROWS):
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def test_jsonl_rows_are_named_by_their_line_and_blank_lines_count(tmp_path):
    path = write_jsonl(tmp_path / "rows.jsonl", between="\n\n")
    assert list(read_rows(path)) == [(f"{path}:1", ROWS[0]), (f"{path}:3", ROWS[1])]


def test_all_kinds_of_file_give_the_same_rows(tmp_path):
    (tmp_path / "rows.json").write_text(json.dumps(ROWS, indent=1))
    folder = tmp_path / "folder"
    folder.mkdir()
    write_jsonl(folder / "train.jsonl")
    sources = [
        write_jsonl(tmp_path / "rows.jsonl"),
        tmp_path / "rows.json",
        write_parquet(tmp_path / "rows.parquet"),
        folder,
    ]
    for source in sources:
        assert list(read_rows(str(source))) == [(f"{source}:1", ROWS[0]), (f"{source}:2", ROWS[1])]


def test_a_dataset_folder_has_splits(tmp_path):
    (tmp_path / "data").mkdir()
    write_parquet(tmp_path / "data" / "train-00000-of-00001.parquet", ROWS[:1])
    write_parquet(tmp_path / "data" / "test-00000-of-00001.parquet", ROWS[1:])
    assert [row["answer"] for _, row in read_rows(tmp_path)] == ["2"]
    with pytest.raises(InputError, match="split 'extra'"):
        list(read_rows(tmp_path, "extra"))


def test_a_configuration_of_a_hub_dataset_is_named_behind_a_colon(monkeypatch):
    import datasets

    asked, rows = [], datasets.Dataset.from_list(ROWS)
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: asked.append((args, options)) or rows)
    assert len(list(read_rows("openai/gsm8k:main"))) == len(list(read_rows("some/other", "test"))) == 2
    assert asked == [(("openai/gsm8k", "main"), {"split": "train"}), (("some/other", None), {"split": "test"})]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    lines, whole = tmp_path / "rows.jsonl", tmp_path / "rows.json"
    lines.write_text(json.dumps(ROWS[0]), encoding="utf-8-sig")
    whole.write_text(json.dumps(ROWS[:1]), encoding="utf-8-sig")
    assert [row for path in (lines, whole) for _, row in read_rows(path)] == [ROWS[0], ROWS[0]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.jsonl", b'{"a": 1}\n{"a": \n', "rows.jsonl:2: not valid JSON"),
        ("rows.jsonl", b'{"a": 1}\n[1, 2]\n', "rows.jsonl:2: is no JSON object"),
        ("rows.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', "rows.jsonl:2: not UTF-8 text; save the file as UTF-8"),
        ("rows.json", b'{"a": 1}', "rows.json: holds no list"),
        ("rows.json", b'[{"a": 1}, 7]', "rows.json:2: is no JSON object"),
        ("rows.json", b'{"a": 1}\n{"a": 2}', "for one object a line name it .jsonl"),
        ("rows.parquet", b"PAR?", "rows.parquet: no Parquet file, or a damaged one (Parquet file size is 4 bytes"),
        ("rows.csv", b"a,b", "cannot read '.csv' files; give .jsonl, .json or .parquet"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        list(read_rows(tmp_path / name))
    assert message in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.parquet"])
def test_a_missing_file_is_no_hub_dataset(tmp_path, name):
    with pytest.raises(InputError, match="no such file$"):
        read_rows(tmp_path / name)


def test_a_missing_dataset_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no such file, dataset folder or Hub dataset") as caught:
        list(read_rows(tmp_path / "nothing"))
    assert "\n" not in str(caught.value)


def test_a_split_other_than_train_has_its_name_behind_the_folders(tmp_path):
    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_text(json.dumps({"a": split}) + "\n")
    assert [row for _, row in read_rows(f"{tmp_path}@test")] == [{"a": "test"}]
    assert [row for _, row in read_rows(tmp_path)] == [{"a": "train"}]
    with pytest.raises(InputError, match=f"with a split 'dev' .{tmp_path}@NAME has the split NAME.") as caught:
        list(read_rows(f"{tmp_path}@dev"))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="names the split 'test', and --split 'valid'; give one of them"):
        list(read_rows(f"{tmp_path}@test", "valid"))
    (at := tmp_path / "me@home").mkdir()
    (at / "test.jsonl").write_text('{"a": 1}\n')
    assert [row for _, row in read_rows(f"{at}@test")] == [{"a": 1}]
    assert parts_of("you/rows:main@test") == ("you/rows", "main", "test")
    assert parts_of("no@w/r:m") == ("no@w/r", "m", "")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "not-there.parquet"])
def test_a_file_has_no_splits_and_the_hub_is_not_asked(tmp_path, name):
    for there in ("rows.jsonl", "rows.csv"):
        (tmp_path / there).write_text('{"a": 1}\n')
    with pytest.raises(InputError, match=f"{name}@train: a file has no splits; leave @train out$"):
        open_raw(f"{tmp_path / name}@train")


def test_trying_goes_on_after_a_damaged_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"a"\n"text"\n{"a": 4}\n')
    rows = [row for _, row in open_raw(path)]
    assert [rows[0], rows[3]] == [{"a": 1}, {"a": 4}]
    assert [str(row).split(": ")[0] for row in rows[1:3]] == [f"{path}:2", f"{path}:3"]
    assert all(isinstance(row, InputError) for row in rows[1:3])


def write_lines(folder):
    """A file with a byte order mark, blank lines and lines of many lengths."""
    lines = (
        json.dumps({"n": i, "text": "ü" * (i % 7)}, ensure_ascii=False) + "\n" * (1 + i % 3) for i in range(COUNT)
    )
    (folder / "rows.jsonl").write_text("".join(lines), encoding="utf-8-sig")
    return folder / "rows.jsonl"


def write_list(folder):
    (folder / "rows.json").write_text(json.dumps([{"n": i} for i in range(COUNT)]))
    return folder / "rows.json"


def write_groups(folder):
    table = pyarrow.table({"n": range(COUNT)})
    parquet.write_table(table, folder / "rows.parquet", row_group_size=300)
    return folder / "rows.parquet"


def write_folder(folder):
    (folder / "set").mkdir()
    return write_groups(folder / "set").parent


@pytest.fixture(params=[write_lines, write_list, write_groups, write_folder])
def source(request, tmp_path):
    return request.param(tmp_path)


def test_rows_by_number_are_those_of_reading_the_whole_source(source):
    rows, everything = open_raw(source), list(open_raw(source))
    assert len(rows) == len(everything) == COUNT
    for numbers in ([0], [COUNT - 1], [5, 299, 300, 301, STRIDE, COUNT - 1], range(STRIDE - 2, STRIDE + 2), []):
        assert list(rows.read(np.array(numbers, dtype=int))) == [(i, *everything[i]) for i in numbers]
    assert [row["n"] for _, _, row in rows.read(range(COUNT))] == list(range(COUNT))


def test_another_process_reads_the_same(source):
    rows = open_raw(source)
    sent = pickle.loads(pickle.dumps(rows))
    assert list(sent.read([3, 1500])) == list(rows.read([3, 1500])) and len(sent) == COUNT


def test_a_damaged_row_is_an_error_in_its_place(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n\n{"a"\n[7]\n{"a": "\xff"}\n{"a": 5}\n')
    found = list(open_raw(path).read(range(5)))
    assert [row for *_, row in found if not isinstance(row, InputError)] == [{"a": 1}, {"a": 5}]
    messages = [str(row) for *_, row in found[1:4]]
    assert [message.split(": ")[0] for message in messages] == [f"{path}:3", f"{path}:4", f"{path}:5"]
    assert "not UTF-8 text" in messages[2]


def test_a_file_without_rows_has_none(tmp_path):
    (tmp_path / "rows.jsonl").write_text("\n\n")
    rows = open_raw(tmp_path / "rows.jsonl")
    assert len(rows) == 0 and list(rows.read([])) == []


def test_a_run_is_no_file_of_rows(tmp_path):
    (tmp_path / "mixlm.json").write_text("{}")
    with pytest.raises(InputError, match="is a run of mixlm-train and holds no rows; give the file that holds them"):
        open_raw(tmp_path)


def test_a_column_of_many_types_in_a_folder_reads_as_in_its_file(tmp_path):
    rows = [{"question": "1+1?", "answer": 2}, {"question": "Half?", "answer": "1/2 \\\\ 半"}]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "train.jsonl").write_text(text, encoding="utf-8")
    found = [dict(row) for _, row in read_rows(tmp_path / "folder")]
    assert found == rows == [dict(row) for _, row in read_rows(tmp_path / "folder" / "train.jsonl")]


def test_pictures_are_left_as_they_are_stored_wherever_they_stand():
    features = datasets.Features(
        {"a": datasets.Image(), "b": [datasets.Image()], "c": {"d": datasets.Audio(), "e": datasets.Value("int64")}}
    )
    stored = {name: _stored(feature) for name, feature in features.items()}
    assert (stored["a"].decode, stored["b"].feature.decode, stored["c"]["d"].decode) == (False, False, False)
    assert _stored(datasets.List(datasets.Image())).feature.decode is False
    assert stored["c"]["e"] == features["c"]["e"]
