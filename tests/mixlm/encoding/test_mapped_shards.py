import os

import pyarrow
import pytest
from pyarrow import parquet

from mixlm.encoding.mapped_shards import CACHE, map_shards


ROWS = {
    "train-00000.parquet": [{"row": 0, "codes": [1, 2], "id": "a"}, {"row": 1, "codes": [], "id": None}],
    "train-00001.parquet": [{"row": 2, "codes": [3], "id": "b"}],
}
SCHEMA = pyarrow.schema({"row": pyarrow.int64(), "codes": pyarrow.list_(pyarrow.int32()), "id": pyarrow.string()})


@pytest.fixture
def shards(tmp_path):
    for name, rows in ROWS.items():
        parquet.write_table(pyarrow.Table.from_pylist(rows, SCHEMA), tmp_path / name)
    return [tmp_path / name for name in ROWS]


def files(shards):
    return sorted((shards[0].parent / CACHE).iterdir())


def test_the_rows_of_all_shards_come_in_order_and_with_their_types(shards):
    rows = map_shards(shards)
    assert rows.to_list() == [row for part in ROWS.values() for row in part]
    assert rows.data.schema.field("codes").type.value_type == pyarrow.int32()
    assert len(rows.cache_files) == 2  # they are mapped


def test_files_are_made_once(shards):
    map_shards(shards)
    before = [(file, file.stat().st_mtime_ns) for file in files(shards)]
    map_shards(shards)
    assert [(file, file.stat().st_mtime_ns) for file in files(shards)] == before


@pytest.mark.parametrize("harm", [lambda data: b"", lambda data: data[:-9], lambda data: data[:-9] + b"damaged!!"])
def test_a_file_that_is_not_as_it_was_written_is_made_anew(shards, harm):
    wanted = map_shards(shards).to_list()
    for file in files(shards):
        os.replace(file, file.with_suffix(".before"))  # what is mapped stays as it is
        file.write_bytes(harm(file.with_suffix(".before").read_bytes()))
    assert map_shards(shards).to_list() == wanted


def test_a_shard_that_has_changed_is_read_anew(shards):
    map_shards(shards)
    parquet.write_table(pyarrow.Table.from_pylist([{"row": 7, "codes": [9], "id": "c"}], SCHEMA), shards[1])
    assert map_shards(shards)["row"][:] == [0, 1, 7]


@pytest.mark.parametrize("home", [True, False])
def test_rows_of_a_folder_that_nobody_may_write_to_are_in_the_users_cache_if_there_is_one(
    shards, tmp_path, monkeypatch, home
):
    monkeypatch.setenv("HOME", "nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home") if home else "")
    monkeypatch.setattr(os, "access", lambda *rest: False)
    rows = map_shards(shards)
    assert rows["row"][:] == [0, 1, 2] if home else rows is None
    assert not (tmp_path / CACHE).exists() and (tmp_path / "home").exists() == home
