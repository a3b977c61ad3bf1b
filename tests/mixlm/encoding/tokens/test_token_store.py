import json

import pytest

from mixlm.encoding.tokens.sharding import Shard
from mixlm.encoding.tokens.token_store import TokenStore
from mixlm.encoding.tokens.token_tables import TokenRows
from mixlm.encoding.tokens.tokenizer_pool import TokenizerPool
from tests.mixlm.encoding.tokens.test_tokenizer_pool import ROWS, expected, pool_of


@pytest.fixture
def traces(tmp_path):
    path = tmp_path / "traces.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def sizes_of(work: TokenizerPool, shards: list[Shard]) -> dict[Shard, int]:
    return {shard: len(work.sharding.numbers(shard)) for shard in shards}


def test_a_store_gives_back_what_was_tokenised_and_keeps_what_it_has(traces, tmp_path):
    traces.write_text(traces.read_text() + '{"question": "?", "answer": "1 and 1 #### 2"}\n')
    with pool_of(traces) as work:
        shards = work.sharding.shards()
        store = TokenStore(tmp_path / "store", {"seed": 0})
        store.fill(work, sizes_of(work, shards[:2]), None)
        files = {file: file.stat().st_mtime_ns for file in (tmp_path / "store").glob("*.arrow")}
        reports = []
        again = TokenStore(tmp_path / "store", {"seed": 0})
        again.fill(work, sizes_of(work, shards), lambda *report: reports.append(report[:2]))
        assert len(files) == 2 and all(file.stat().st_mtime_ns == time for file, time in files.items())
        rest = sum(sizes_of(work, shards[2:]).values())
        assert reports[-1] == (rest, rest)
        for stored, fresh in zip(store.tables(shards), work.tables(shards), strict=True):
            assert stored.rows.equals(fresh.rows) and stored[1:] == fresh[1:]
    TokenStore(tmp_path / "store", {"seed": 1})
    assert not [*(tmp_path / "store").glob("*.arrow")]


def test_rows_of_tables_are_read_by_number(traces):
    with pool_of(traces, valid_fraction=0) as work:
        tables = [table.rows for table in work.tables(work.sharding.shards())]
    rows, parts = (
        TokenRows([tables[0], tables[0].slice(0, 0), *tables[1:]]),
        ("prompt_ids", "trace_ids", "solution_ids", "step_lengths"),
    )
    assert len(rows) == 40
    for row, other in zip(rows, expected(range(40)), strict=True):
        assert {part: ids.tolist() for part, ids in row.items()} == {part: other[part] for part in parts}
    assert len(TokenRows([])) == 0 and len(TokenRows([tables[0].slice(3, 2)])) == 2
    assert TokenRows([tables[0].slice(3, 2)])[0]["trace_ids"].tolist() == rows[3]["trace_ids"].tolist()
    with pytest.raises(IndexError):
        rows[40]
