import os

import pytest
from pyarrow import parquet

from mixlm.data.tables import row_table, rows_digest
from mixlm.encoding import dataset
from mixlm.encoding.dataset import load_encoded
from mixlm.encoding.manifest import MANIFEST_VERSION, is_encoded, read_manifest, write_manifest
from mixlm.encoding.shard_files import write_shard
from mixlm.errors import InputError
from tests.tiny_data import CODEBOOK, RATE, write_encoded


ROWS = [
    {"row": 0, "prompt_ids": [1, 2], "trace_ids": [3, 4, 5], "step_lengths": [3], "codes": [7], "level": "easy"},
    {"row": 1, "prompt_ids": [1], "trace_ids": [], "step_lengths": [], "codes": []},
]


@pytest.fixture
def encoded(tmp_path):
    return write_encoded(tmp_path, count=6, valid=2)


def change(path, **values):
    write_manifest(path, {**read_manifest(path), **values})


def test_a_shard_holds_32_bit_lists_and_every_column_that_it_is_told(tmp_path):
    path = tmp_path / "train-00000.parquet"
    write_shard(path, row_table(ROWS, [*ROWS[0], "source"]))
    table = parquet.read_table(path)
    types = {name: str(table.schema.field(name).type) for name in table.column_names}
    lists = dict.fromkeys(("prompt_ids", "trace_ids", "step_lengths", "codes"), "list<element: int32>")
    assert types == {"row": "int64", **lists, "level": "string", "source": "string"}
    assert table.to_pylist() == [{**ROWS[0], "source": None}, {**ROWS[1], "level": None, "source": None}]
    assert [file.name for file in tmp_path.iterdir()] == ["train-00000.parquet"]


def test_a_shard_of_empty_traces_has_the_same_types_as_any_other(tmp_path):
    for name, rows in (("a", ROWS[:1]), ("b", ROWS[1:])):
        write_shard(tmp_path / f"{name}.parquet", row_table(rows, list(ROWS[0])))
    assert parquet.read_schema(tmp_path / "a.parquet") == parquet.read_schema(tmp_path / "b.parquet")


def test_an_encoded_dataset_is_read_with_its_manifest(encoded):
    data = load_encoded(encoded)
    assert is_encoded(encoded) and (len(data.train), len(data.valid)) == (6, 2)
    assert (data.chunk_length, data.compression_rate, data.codebook_size) == (RATE, RATE, CODEBOOK)
    assert (data.vqvae_path, data.tokenizer_path) == (encoded / "vqvae", encoded / "tokenizer")
    assert data.fingerprint == data.manifest["fingerprint"] and data.template.to_dict() == data.manifest["template"]


def test_what_the_rows_say_of_their_codes_is_kept(encoded):
    rows = [{**row, "codes": [1, 2], "code_ends": [1, 4]} for row in load_encoded(encoded).train.to_list()]
    write_shard(encoded / "train-00000.parquet", row_table(rows))
    change(encoded, align="step")
    data = load_encoded(encoded)
    assert data.align == "step" and data.train.to_list() == rows


def test_shards_are_read_in_the_order_of_the_manifest(encoded):
    rows = load_encoded(encoded).train.to_list()
    write_shard(encoded / "train-00001.parquet", row_table(rows[:2]))
    change(encoded, shards={"train": ["train-00001.parquet", "train-00000.parquet"], "valid": []})
    data = load_encoded(encoded)
    assert data.train.to_list() == [*rows[:2], *rows] and data.valid is None


def test_a_shard_that_the_manifest_does_not_list_is_not_read(encoded):
    (encoded / "train-00001.parquet").write_bytes(b"half")
    assert len(load_encoded(encoded).train) == 6


def test_data_that_somebody_else_owns_is_read_and_left_as_it_is(encoded, tmp_path, monkeypatch):
    before = sorted(encoded.rglob("*"))
    monkeypatch.setattr(dataset, "SMALL", 0)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert len(load_encoded(encoded).train) == 6
    assert sorted(encoded.rglob("*")) == before and any((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: (path / "manifest.json").unlink(), "no manifest.json, so no encoded dataset; make one with"),
        (lambda path: (path / "manifest.json").write_text("{"), "manifest.json: damaged (Expecting"),
        (lambda path: (path / "manifest.json").write_text('{"name": "a web page"}'), "damaged"),
        (lambda path: change(path, format_version=MANIFEST_VERSION + 1), "manifest.json: written by a newer mixlm"),
        (lambda path: change(path, complete=False), "encoding has not finished; run the mixlm-encode command"),
        (lambda path: (path / "valid-00000.parquet").unlink(), "valid-00000.parquet: listed in manifest.json and not"),
    ],
)
def test_what_cannot_be_opened_is_one_line(encoded, spoil, message):
    spoil(encoded)
    with pytest.raises(InputError) as caught:
        load_encoded(encoded)
    assert message in str(caught.value) and str(encoded) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("small", [0, 2**25])
def test_a_shard_that_was_changed_and_accepted_is_not_read_from_what_was_kept_of_it(encoded, monkeypatch, small):
    monkeypatch.setattr(dataset, "SMALL", small)
    before, shard = load_encoded(encoded).train, encoded / "train-00000.parquet"
    about, rows = shard.stat(), parquet.read_table(shard)
    write_shard(shard, rows.slice(1))
    os.utime(shard, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert load_encoded(encoded).train["row"][:] == before["row"][1:]


def test_rows_are_the_same_in_memory_and_mapped(encoded, monkeypatch):
    kept = load_encoded(encoded).train
    monkeypatch.setattr(dataset, "SMALL", 0)
    mapped = load_encoded(encoded).train
    assert mapped.cache_files and not kept.cache_files
    assert (rows_digest(kept), kept.features, kept[:]) == (rows_digest(mapped), mapped.features, mapped[:])
