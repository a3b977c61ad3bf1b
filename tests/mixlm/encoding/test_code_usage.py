import json

import pytest

from mixlm.data.tables import row_table
from mixlm.encoding import code_usage
from mixlm.encoding.code_usage import read_usage, write_usage
from mixlm.encoding.shard_files import write_shard


ROWS = [
    {"trace_ids": [1, 2, 3, 4, 9], "codes": [5, 7], "code_ends": [2, 4]},
    {"trace_ids": [8], "codes": [], "code_ends": []},
    {"trace_ids": [1, 2, 3, 4], "codes": [5, 5], "code_ends": [2, 4]},
    {"trace_ids": [3, 4, 1, 2], "codes": [7, 5], "code_ends": [2, 4]},
]


class Words:
    """Writes ids out."""

    def decode(self, ids):
        return " ".join(map(str, ids))


@pytest.fixture
def out(tmp_path):
    (tmp_path / "vqvae").mkdir()
    for name, rows in (("a", ROWS[:1]), ("b", []), ("c", ROWS[1:])):
        write_shard(tmp_path / f"{name}.parquet", row_table(rows, list(ROWS[0])))
    return tmp_path


def usage_of(out) -> dict:
    write_usage(out, ["a.parquet", "b.parquet", "c.parquet"], 2, Words())
    return json.loads((out / "vqvae" / "usage.json").read_text())


def test_usage_by_hand(out):
    """Code 5 stands three times for 1 2 and once for 3 4, code 7 twice for 3 4."""
    assert usage_of(out) == {
        "totals": {"5": 4, "7": 2},
        "distinct_chunks": 2,
        "chunks": {"5": [["1 2", 3], ["3 4", 1]], "7": [["3 4", 2]]},
    }


def test_texts_of_any_length_by_hand(tmp_path):
    """Steps of 3, 2 and 4 tokens of which the last is cut, of 1, and 7 7 beside 7: one is no part of the other."""
    rows = [
        {"trace_ids": [1, 2, 3, 4, 5, 6, 7, 8, 9], "codes": [0, 1, 2, 0], "code_ends": [3, 5, 8, 9]},
        {"trace_ids": [4, 5, 7, 7, 7], "codes": [1, 1, 1], "code_ends": [2, 4, 5]},
    ]
    (tmp_path / "vqvae").mkdir()
    write_shard(tmp_path / "a.parquet", row_table(rows))
    write_usage(tmp_path, ["a.parquet"], 3, Words())
    assert json.loads((tmp_path / "vqvae" / "usage.json").read_text()) == {
        "totals": {"0": 2, "1": 4, "2": 1},
        "distinct_chunks": 6,
        "chunks": {"0": [["1 2 3", 1], ["9", 1]], "1": [["4 5", 2], ["7", 1], ["7 7", 1]], "2": [["6 7 8", 1]]},
    }


def test_of_very_many_codes_the_texts_of_the_first_of_every_shard_are_counted(out, monkeypatch):
    monkeypatch.setattr(code_usage, "MOST_COUNTED", 4)
    assert usage_of(out) == {
        "totals": {"5": 4, "7": 2},
        "distinct_chunks": 1,
        "chunks": {"5": [["1 2", 2]]},  # one code of each of three shards, of which one is empty
        "counted": {"5": 2},
    }
    assert read_usage(out / "vqvae" / "usage.json") == {5: (("1 2", 1.0),)}


def test_a_dataset_without_codes_has_an_empty_dictionary(tmp_path):
    (tmp_path / "vqvae").mkdir()
    write_shard(tmp_path / "a.parquet", row_table(ROWS[1:2]))
    write_usage(tmp_path, ["a.parquet"], 2, Words())
    content = json.loads((tmp_path / "vqvae" / "usage.json").read_text())
    assert content == {"totals": {}, "distinct_chunks": 0, "chunks": {}}
