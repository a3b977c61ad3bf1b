import torch
from pyarrow import parquet

from mixlm.data.tables import row_table
from mixlm.encoding.shard_files import add_counts, align_columns, count_table, encode_table, shard_counts, write_shard
from mixlm.encoding.tokens.token_tables import TokenTable
from tests.vqvae_rows import random_rows, random_vqvae
from vqvae import Cutting


def rows_of(lengths) -> list[dict]:
    names = ("prompt_ids", "trace_ids", "solution_ids")
    rows = [dict(zip(names, ([7] * length for length in sample), strict=True)) for sample in lengths]
    return [{**row, "step_lengths": [2, len(row["trace_ids"]) - 2] if row["trace_ids"] else []} for row in rows]


def test_counts_by_hand():
    cutting = Cutting("fixed", 4, 2)
    table = TokenTable(row_table(rows_of([(1, 0, 2), (3, 3, 1), (5, 9, 2)])), 3)
    counts = count_table(table, cutting)
    figures = {"samples": 3, "skipped_rows": 3, "trace_tokens": 12, "chunks": 2, "codes": 4, "empty_traces": 1}
    assert counts == {**figures, "short_traces": 1, "steps": 4, "long_steps": 1, "longest": 16}
    more = count_table(TokenTable(row_table(rows_of([(20, 4, 1)])), 0), cutting)
    figures = {"samples": 4, "skipped_rows": 3, "trace_tokens": 16, "chunks": 3, "codes": 6, "empty_traces": 1}
    assert add_counts([counts, more]) == {**figures, "short_traces": 1, "steps": 6, "long_steps": 1, "longest": 25}
    marked = [count_table(table._replace(rules={"hashes": count}), cutting) for count in (1, 2)]
    assert marked[0] == {**counts, "answers_hashes": 1} and add_counts(marked)["answers_hashes"] == 3
    steps = count_table(table, Cutting("step", 4, 4))
    assert (steps["chunks"], steps["codes"], steps["short_traces"]) == (5, 5, 0)
    assert add_counts([]) == {"samples": 0, "skipped_rows": 0, "longest": 0}


def test_a_table_is_given_the_codes_of_its_traces_a_part_of_one_as_well():
    model, rows = random_vqvae(), [*random_rows(9), {"prompt_ids": [3], "trace_ids": [5], "solution_ids": []}]
    rows = [{**row, "step_lengths": [len(row["trace_ids"])]} for row in rows]
    table = row_table(rows)
    encoded, counts = encode_table(model, TokenTable(table, 0))
    codes = [model.encode(torch.tensor([row["trace_ids"]]))[0].tolist() for row in rows]
    assert encoded.column("codes").to_pylist() == codes and encoded.drop(["codes", "code_ends"]) == table
    ends = [[2 * place + 2 for place in range(len(own))] for own in codes]
    assert encoded.column("code_ends").to_pylist() == ends
    assert counts["codes"] == sum(map(len, codes)) and counts["short_traces"] == 1
    part, _ = encode_table(model, TokenTable(table.slice(4, 3), 0))
    assert part.column("codes").to_pylist() == codes[4:7]
    none, counts = encode_table(model, TokenTable(table.slice(0, 0), 2))
    assert none.schema == encoded.schema and counts["samples"] == 0 and counts["skipped_rows"] == 2


def test_figures_are_kept_in_the_file(tmp_path):
    write_shard(tmp_path / "a.parquet", row_table(rows_of([(1, 1, 1)])), {"samples": 1})
    assert shard_counts(tmp_path / "a.parquet") == {"samples": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_a_column_of_some_shards_is_null_in_the_others(tmp_path):
    paths = [tmp_path / f"{name}.parquet" for name in "abc"]
    plain = {"row": 0, "trace_ids": [1, 2], "codes": [1], "code_ends": [2]}
    for path, extra in zip(paths, ({"level": "easy"}, {}, {"source": "book"}), strict=True):
        write_shard(
            path, row_table([{**plain, **extra}], ["row", "trace_ids", *extra, "codes", "code_ends"]), {"samples": 1}
        )
    align_columns(paths)
    whole = [
        {**plain, "level": None, "source": None, **extra} for extra in ({"level": "easy"}, {}, {"source": "book"})
    ]
    assert [parquet.read_table(path).to_pylist() for path in paths] == [[row] for row in whole]
    first, *others = map(parquet.read_schema, paths)
    assert others and all(one.equals(first, check_metadata=True) for one in others)
    assert [shard_counts(path) for path in paths] == [{"samples": 1}] * 3
    before = [path.stat().st_mtime_ns for path in paths]
    align_columns(paths)
    assert before == [path.stat().st_mtime_ns for path in paths]


def test_codes_are_those_of_the_model_alone():
    model, ids = random_vqvae(), [3, 5, 8, 13]
    table = TokenTable(row_table([{"prompt_ids": [3], "trace_ids": ids, "solution_ids": [3], "step_lengths": [4]}]), 0)
    assert encode_table(model, table)[0].column("codes").to_pylist() == [model.encode(torch.tensor([ids]))[0].tolist()]
