import numpy as np
import pyarrow
from datasets import Dataset

from mixlm.data.samples import read_samples
from mixlm.data.tables import (
    flat_lists,
    in_memory,
    list_array,
    lists_of,
    replaced_chunks,
    replaced_tokens,
    row_table,
    tokens_of,
)
from mixlm.data.template import Template
from mixlm.data.tokenization import tokenize_samples
from mixlm.model.tokenizers import build_tokenizer


ROWS = [
    {"row": 0, "prompt_ids": [1, 2], "trace_ids": [3, 4, 5], "solution_ids": [6], "id": "a"},
    {"row": 2, "prompt_ids": [7], "trace_ids": [], "solution_ids": [8, 9]},
]


def test_rows_come_back_from_a_dataset_that_shares_the_memory_of_their_table():
    table = row_table(ROWS)
    data = in_memory(table)
    assert isinstance(data, Dataset)
    assert [data[0], data[1]] == [ROWS[0], ROWS[1] | {"id": None}]
    ours, theirs = (held.column("trace_ids").chunk(0).values.buffers()[1].address for held in (table, data.data))
    assert ours == theirs
    assert data.select([1])[0]["solution_ids"] == [8, 9]  # as training does


def test_a_raw_file_becomes_a_dataset_of_32_bit_ids(tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = ['{"question": "3 + 4", "answer": "so now\\n#### 7", "id": "x"}', '{"question": "7", "answer": "#### 5"}']
    path.write_text("\n".join(lines))
    rows = in_memory(row_table(tokenize_samples(build_tokenizer(lines), Template(), read_samples(path))))
    assert [(row["row"], row["answer"], row["id"]) for row in rows] == [(0, "7", "x"), (1, "5", None)]
    assert rows[1]["trace_ids"] == rows[1]["step_lengths"] == []
    assert {str(rows.features[f"{part}_ids"].feature.dtype) for part in ("prompt", "trace", "solution")} == {"int32"}


def test_ids_are_lists_of_32_bit_integers_and_all_else_is_text():
    types = {field.name: str(field.type) for field in row_table(ROWS, ["question"]).schema}
    ids = dict.fromkeys(("prompt_ids", "trace_ids", "solution_ids"), "list<item: int32>")
    assert {name: kind.replace("element", "item") for name, kind in types.items()} == {
        "question": "string",
        "row": "int64",
        "id": "string",
        **ids,
    }


def test_lists_of_a_part_of_a_table_and_of_several_chunks():
    table = pyarrow.concat_tables([row_table(ROWS), row_table(ROWS[:1])])
    values, lengths = lists_of(table, "trace_ids")
    assert (values.tolist(), lengths.tolist()) == ([3, 4, 5, 3, 4, 5], [3, 0, 3])
    values, lengths = lists_of(table.slice(1, 1), "solution_ids")
    assert (values.tolist(), lengths.tolist()) == ([8, 9], [2])
    values, ends = flat_lists(row_table(ROWS), "prompt_ids")
    assert [values[start:end].tolist() for start, end in zip(ends, ends[1:], strict=False)] == [[1, 2], [7]]
    assert list_array(np.array([1, 2, 7]), [2, 0, 1]).to_pylist() == [[1, 2], [], [7]]


def test_lists_of_one_chunk_are_looked_at_where_they_lie():
    table = row_table(ROWS)
    before = pyarrow.total_allocated_bytes()
    values, ends = flat_lists(table, "trace_ids")
    assert pyarrow.total_allocated_bytes() == before
    assert values.ctypes.data == table.column("trace_ids").chunk(0).values.buffers()[1].address
    assert (values.tolist(), ends.tolist()) == ([3, 4, 5], [0, 3, 3])


def test_tokens_of_a_row_are_those_of_its_three_parts():
    assert [tokens_of(row) for row in ROWS] == [6, 3]


def test_codes_replace_the_text_up_to_their_ends_and_leave_the_tail():
    row = {"trace_ids": [1, 2, 3, 4, 5], "codes": [7, 9], "code_ends": [3, 4]}
    assert replaced_chunks(row) == [(7, [1, 2, 3]), (9, [4])]
    assert [replaced_tokens(row, codes) for codes in range(3)] == [0, 3, 4]
