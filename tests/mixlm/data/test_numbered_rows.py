import json
import pickle

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from mixlm.data.numbered_rows import STRIDE, open_numbered
from mixlm.data.reading import try_rows
from mixlm.errors import InputError


COUNT = 2 * STRIDE + 7


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


def write_parquet(folder):
    table = pyarrow.table({"n": range(COUNT)})
    parquet.write_table(table, folder / "rows.parquet", row_group_size=300)
    return folder / "rows.parquet"


def write_folder(folder):
    (folder / "set").mkdir()
    return write_parquet(folder / "set").parent


@pytest.fixture(params=[write_lines, write_list, write_parquet, write_folder])
def source(request, tmp_path):
    return request.param(tmp_path)


def test_rows_by_number_are_those_of_reading_the_whole_source(source):
    rows, everything = open_numbered(source), list(try_rows(source))
    assert len(rows) == len(everything) == COUNT
    for numbers in ([0], [COUNT - 1], [5, 299, 300, 301, STRIDE, COUNT - 1], range(STRIDE - 2, STRIDE + 2), []):
        assert list(rows.read(np.array(numbers, dtype=int))) == [(i, *everything[i]) for i in numbers]
    assert [row["n"] for _, _, row in rows.read(range(COUNT))] == list(range(COUNT))


def test_another_process_reads_the_same(source):
    rows = open_numbered(source)
    sent = pickle.loads(pickle.dumps(rows))
    assert list(sent.read([3, 1500])) == list(rows.read([3, 1500])) and len(sent) == COUNT


def test_a_damaged_row_is_an_error_in_its_place(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n\n{"a"\n[7]\n{"a": "\xff"}\n{"a": 5}\n')
    found = list(open_numbered(path).read(range(5)))
    assert [row for *_, row in found if not isinstance(row, InputError)] == [{"a": 1}, {"a": 5}]
    messages = [str(row) for *_, row in found[1:4]]
    assert [message.split(": ")[0] for message in messages] == [f"{path}:3", f"{path}:4", f"{path}:5"]
    assert "not UTF-8 text" in messages[2]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.parquet"])
def test_what_is_not_there_is_named(tmp_path, name):
    with pytest.raises(InputError, match=f"{name}: no such file"):
        open_numbered(tmp_path / name)


def test_a_file_without_rows_has_none(tmp_path):
    (tmp_path / "rows.jsonl").write_text("\n\n")
    rows = open_numbered(tmp_path / "rows.jsonl")
    assert len(rows) == 0 and list(rows.read([])) == []
