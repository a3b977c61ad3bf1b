"""Rows of Parquet files are read as what their columns mean, whatever Arrow's type of them is."""

import pyarrow
import pytest
from pyarrow import parquet

from mixlm.data.reading import open_raw
from mixlm.data.writing import convert, split
from mixlm.errors import InputError
from tests.faults.data_kinds import PARQUET


@pytest.fixture
def rows(tmp_path):
    """A function that writes columns to a Parquet file and reads its rows."""

    def of_columns(**columns):
        parquet.write_table(pyarrow.table(columns), tmp_path / "rows.parquet")
        return [row for _, row in open_raw(tmp_path / "rows.parquet")]

    return of_columns


@pytest.mark.parametrize("kind", PARQUET)
def test_every_kind_is_read_or_refused_in_one_line_that_names_the_file(tmp_path, kind):
    make, wanted = PARQUET[kind]
    (tmp_path / "f.parquet").write_bytes(make())
    try:
        done = convert(str(tmp_path / "f.parquet"), tmp_path / "out.jsonl")
    except InputError as error:
        assert wanted != "fine" and str(error).startswith(f"{tmp_path / 'f.parquet'}") and "\n" not in str(error)
    else:
        assert wanted != "refused" and done.rows == 2
        split(tmp_path / "f.parquet", tmp_path / "kept.jsonl", tmp_path / "drawn.jsonl")


@pytest.mark.parametrize("kind", [pyarrow.string_view(), pyarrow.large_string(), pyarrow.dictionary("int8", "string")])
def test_any_type_of_text_is_text_also_where_single_rows_are_taken(tmp_path, rows, kind):
    texts = ["a", "b", "c"]
    assert [row["own"] for row in rows(own=pyarrow.array(texts).cast(kind))] == texts
    assert [row["own"] for _, _, row in open_raw(tmp_path / "rows.parquet").read([0, 2])] == ["a", "c"]


def test_a_date_beyond_pythons_is_text_and_the_dates_beside_it_stay_dates(rows):
    dates = pyarrow.array([10_000_000, 0], pyarrow.int32()).cast(pyarrow.date32())
    far, near = rows(when=dates, row=[1, 2])
    assert far == {"when": "29349-01-26", "row": 1} and near["when"].isoformat() == "1970-01-01"


def test_a_row_with_bytes_that_are_no_text_is_the_only_one_that_is_refused(rows):
    texts = pyarrow.Array.from_buffers(
        pyarrow.string(), 2, [None, pyarrow.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pyarrow.py_buffer(b"a\xff")]
    )
    good, bad = rows(text=texts)
    assert good == {"text": "a"}
    assert str(bad).endswith("rows.parquet:2: column 'text' is no UTF-8 text; write it as UTF-8")


def test_a_decimal_is_the_text_that_its_digits_are(tmp_path, rows):
    decimals = pyarrow.array(["0.0000001", "-4.50"]).cast(pyarrow.decimal128(12, 7))
    rows(question=["a", "b"], steps=[["x"], ["y"]], answer=decimals)
    convert(str(tmp_path / "rows.parquet"), tmp_path / "out.jsonl")
    assert [row["answer"] for _, row in open_raw(tmp_path / "out.jsonl")] == ["0.0000001", "-4.5000000"]
