import json

import pytest

from mixlm.encoding_options import EncodingOptions
from mixlm.errors import InputError
from mixlm.splits import MOST_VALID, count_rows, read_splits
from mixlm.template import Template
from tests.tiny_data import raw_rows, write_raw, write_scratch
from vqvae import ChunkVQVAEConfig, VQVAETrainingOptions


def read(folder, source, **options):
    return read_splits(str(source), str(write_scratch(folder)), EncodingOptions(**options))


def questions(rows) -> list[str]:
    return [row["question"] for row in rows]


def numbered(count: int) -> list[dict]:
    return [{"question": f"{i} + 1 ?", "steps": [f"{i} + 1 = {i + 1}"], "answer": str(i + 1)} for i in range(count)]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_held_out_samples_are_a_seeded_share_in_the_order_of_the_file(tmp_path):
    source = write(tmp_path / "raw.jsonl", numbered(40))
    everything = questions(numbered(40))
    splits, _, counts = read(tmp_path, source, valid_fraction=0.2)
    train, valid = questions(splits["train"]), questions(splits["valid"])
    assert len(valid) == 8 and sorted([*train, *valid]) == sorted(everything)
    assert train == [text for text in everything if text not in valid]
    assert valid == [text for text in everything if text in valid]
    assert counts["train"]["samples"] == 32 and counts["valid"]["samples"] == 8
    assert [row["row"] for row in splits["train"]] == list(range(32))
    again, other = (
        questions(read(tmp_path, source, valid_fraction=0.2, training=VQVAETrainingOptions(seed=seed))[0]["valid"])
        for seed in (0, 1)
    )
    assert valid == again != other


def test_at_most_a_thousand_samples_are_held_out(tmp_path):
    source = write(tmp_path / "raw.jsonl", numbered(2 * MOST_VALID + 10))
    splits, *_ = read(tmp_path, source, valid_fraction=0.5)
    assert (len(splits["train"]), len(splits["valid"])) == (MOST_VALID + 10, MOST_VALID)


def test_a_file_of_validation_samples_takes_the_place_of_the_share(tmp_path):
    source, valid = write(tmp_path / "a.jsonl", numbered(10)), write(tmp_path / "b.jsonl", numbered(3))
    splits, *_ = read(tmp_path, source, valid=str(valid), valid_fraction=0.5)
    assert questions(splits["train"]) == questions(numbered(10)) and questions(splits["valid"]) == questions(
        numbered(3)
    )


def test_the_tokenizer_of_a_model_from_scratch_sees_training_samples_alone(tmp_path):
    source = write(tmp_path / "a.jsonl", numbered(10))
    valid = write(tmp_path / "b.jsonl", [{"question": "zebra zebra", "steps": ["zebra"] * 9, "answer": "zebra"}])
    assert (
        read(tmp_path, source, valid=str(valid))[1].get_vocab()
        == read(tmp_path, source, valid_fraction=0)[1].get_vocab()
    )


def test_the_kind_of_file_makes_no_difference(tmp_path):
    import pyarrow
    from pyarrow import parquet

    rows = [*raw_rows(12), {"question": "?", "steps": [], "answer": "1", "id": "x"}]
    write(tmp_path / "raw.jsonl", rows)
    (tmp_path / "raw.json").write_text(json.dumps(rows))
    parquet.write_table(pyarrow.Table.from_pylist([{"id": None, **row} for row in rows]), tmp_path / "raw.parquet")
    lines, whole, table = (
        read(tmp_path, tmp_path / f"raw.{kind}", valid_fraction=0.25)[0] for kind in ("jsonl", "json", "parquet")
    )
    assert lines == whole == table


def test_rows_left_out_are_counted_in_their_split(tmp_path):
    source, valid = write_raw(tmp_path, 6), tmp_path / "valid.jsonl"
    valid.write_text('{"question": "no trace", "answer": "1"}\n{\n{"question": "?", "answer": "a\\n#### 1"}\n')
    _, _, counts = read(tmp_path, source, valid=str(valid), skip_bad_rows=True)
    assert counts == {"train": {"samples": 6, "skipped_rows": 0}, "valid": {"samples": 1, "skipped_rows": 2}}
    with pytest.raises(InputError, match="valid.jsonl:1: .*--skip-bad-rows"):
        read(tmp_path, source, valid=str(valid))


def test_a_file_without_samples_is_an_error(tmp_path):
    with pytest.raises(InputError, match="empty.jsonl: holds no samples"):
        read(tmp_path, write(tmp_path / "empty.jsonl", []))


def test_the_template_renders_what_is_tokenized(tmp_path):
    source = write(tmp_path / "raw.jsonl", numbered(2))
    splits, tokenizer, _ = read(tmp_path, source, template=Template("Q {question}", " ; ", " A {answer}"))
    row = splits["train"][1]
    parts = [tokenizer.decode(row[f"{part}_ids"]) for part in ("prompt", "trace", "solution")]
    assert parts == ["Q 1 + 1 ?", "1 + 1 = 2", " A 2<|endoftext|>"]


def test_counts_by_hand():
    config = ChunkVQVAEConfig(chunk_length=4, compression_rate=2)
    lengths = [(1, 0, 2), (3, 3, 1), (5, 9, 2)]
    names = ("prompt_ids", "trace_ids", "solution_ids")
    rows = [dict(zip(names, ([7] * length for length in sample), strict=True)) for sample in lengths]
    assert count_rows(rows, config) == {
        "trace_tokens": 12,
        "chunks": 2,
        "codes": 4,
        "empty_traces": 1,
        "short_traces": 1,
        "longest": 16,
    }
    assert count_rows([], config)["longest"] == 0
