import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixlm.data.samples import to_sample
from mixlm.data.template import Template
from mixlm.data.tokenization import tokenize_samples
from mixlm.encoding import tokenizer_pool as tokenizing
from mixlm.encoding.corpus import Corpus
from mixlm.encoding.options import EncodingOptions
from mixlm.encoding.token_store import TokenRows, TokenStore
from mixlm.encoding.tokenizer_pool import Tokenizing
from mixlm.errors import InputError
from mixlm.model.loading import build_tokenizer
from tests.tiny_data import raw_rows


PROGRAM = """
import json, sys, time
from tests.mixlm.encoding.test_tokenizer_pool import tokenizing_of

if __name__ == "__main__":
    with tokenizing_of(sys.argv[1], processes=2) as work:
        list(work.tables(work.corpus.shards()))
        print(json.dumps([*work.pool._processes]), flush=True)
        time.sleep(600)
"""
ROWS = [{**row, "id": index, **({"hard": "yes"} if index > 25 else {})} for index, row in enumerate(raw_rows(40))]
TOKENIZER = build_tokenizer(["1 + 2 ? so it is"], 280)


@pytest.fixture
def traces(tmp_path):
    path = tmp_path / "traces.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def tokenizing_of(traces, processes: int = 0, **options) -> Tokenizing:
    options = {"valid_fraction": 0.1, "shard_rows": 15, "template": Template(separator=" ; "), **options}
    return Tokenizing(Corpus(str(traces), EncodingOptions(**options)), TOKENIZER, processes)


def expected(numbers) -> list[dict]:
    return tokenize_samples(TOKENIZER, Template(separator=" ; "), [to_sample(ROWS[i]) for i in numbers], numbers)


def test_tables_hold_the_tokenized_rows_of_their_shards_numbered_as_in_the_file(traces):
    with tokenizing_of(traces) as work:
        shards = work.corpus.shards()
        for shard, table in zip(shards, work.tables(shards), strict=True):
            rows = [
                {name: value for name, value in row.items() if value is not None} for row in table.rows.to_pylist()
            ]
            assert rows == expected(work.corpus.numbers(shard).tolist()) and table.skipped == 0


@pytest.mark.parametrize("block", [4, 2000])
def test_any_number_of_processes_gives_the_same_tables(traces, monkeypatch, block):
    monkeypatch.setattr(tokenizing, "BLOCK", block)
    with tokenizing_of(traces) as one, tokenizing_of(traces, processes=2) as many:
        shards = one.corpus.shards()
        assert [table.rows for table in one.tables(shards)] == [table.rows for table in many.tables(shards)]
        assert [table.rows for table in many.tables(shards[1:2])] == [table.rows for table in one.tables(shards[1:2])]


@pytest.mark.parametrize("processes", [0, 2])
def test_malformed_rows_stop_or_are_counted(traces, processes):
    traces.write_text(traces.read_text() + '{"question": "?"}\n{\n')
    with tokenizing_of(traces, processes, valid_fraction=0, skip_bad_rows=True) as work:
        assert [(table.rows.num_rows, table.skipped) for table in work.tables(work.corpus.shards())] == [
            (15, 0),
            (15, 0),
            (10, 2),
        ]
    with tokenizing_of(traces, processes, valid_fraction=0) as work:
        with pytest.raises(InputError, match=r"traces.jsonl:41: .*--skip-bad-rows"):
            list(work.tables(work.corpus.shards()))


def test_a_shard_of_malformed_rows_alone_is_empty_and_has_the_same_types(traces):
    traces.write_text('{"question": "?", "steps": [], "answer": "1"}\n' + "{\n" * 3)
    with tokenizing_of(traces, valid_fraction=0, shard_rows=2, skip_bad_rows=True) as work:
        first, second = work.tables(work.corpus.shards())
    assert (second.rows.num_rows, second.skipped) == (0, 2) and second.rows.schema == first.rows.schema


def test_a_process_that_dies_is_one_line(traces):
    with tokenizing_of(traces, processes=2) as work:
        list(work.tables(work.corpus.shards()))
        for process in [*work.pool._processes.values()]:
            os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(InputError, match="a process that tokenises has died.*--workers 0"):
            list(work.tables(work.corpus.shards()))


def test_no_process_outlives_the_one_that_asked(traces, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    asking = subprocess.Popen(
        [sys.executable, str(program), str(traces)], stdout=subprocess.PIPE, text=True, env=environment
    )
    workers = json.loads(asking.stdout.readline())
    asking.kill()
    asking.communicate()
    deadline = time.monotonic() + 30
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(workers) == 2 and not any(map(alive, workers))


def alive(pid: int) -> bool:
    """Tell whether a process is there and has not ended."""
    state = Path(f"/proc/{pid}/stat")
    try:
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_few_rows_are_tokenised_by_this_process_alone(traces, monkeypatch):
    assert tokenizing_of(traces, processes=None).processes == 0
    monkeypatch.setattr(tokenizing, "WORTH_A_PROCESS", 10)
    monkeypatch.setattr(tokenizing, "cores", lambda: 8)
    assert tokenizing_of(traces, processes=None).processes == 4
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert tokenizing_of(traces, processes=None).processes == 2


def test_a_store_gives_back_what_was_tokenised_and_keeps_what_it_has(traces, tmp_path):
    with tokenizing_of(traces) as work:
        shards = work.corpus.shards()
        store = TokenStore(tmp_path / "store", {"seed": 0})
        store.fill(work, shards[:2], None)
        files = {file: file.stat().st_mtime_ns for file in (tmp_path / "store").glob("*.arrow")}
        reports = []
        TokenStore(tmp_path / "store", {"seed": 0}).fill(work, shards, lambda *report: reports.append(report[:2]))
        assert len(files) == 2 and all(file.stat().st_mtime_ns == time for file, time in files.items())
        rest = sum(len(work.corpus.numbers(shard)) for shard in shards[2:])
        assert reports[-1] == (rest, rest)
        for stored, fresh in zip(store.tables(shards), work.tables(shards), strict=True):
            assert stored.rows.equals(fresh.rows) and stored.skipped == fresh.skipped
    TokenStore(tmp_path / "store", {"seed": 1})
    assert not [*(tmp_path / "store").glob("*.arrow")]


def test_rows_of_tables_are_read_by_number(traces):
    with tokenizing_of(traces, valid_fraction=0) as work:
        tables = [table.rows for table in work.tables(work.corpus.shards())]
    rows, parts = (
        TokenRows([tables[0], tables[0].slice(0, 0), *tables[1:]]),
        ("prompt_ids", "trace_ids", "solution_ids"),
    )
    assert len(rows) == 40
    for row, other in zip(rows, expected(range(40)), strict=True):
        assert {part: ids.tolist() for part, ids in row.items()} == {part: other[part] for part in parts}
    assert len(TokenRows([])) == 0 and len(TokenRows([tables[0].slice(3, 2)])) == 2
    assert TokenRows([tables[0].slice(3, 2)])[0]["trace_ids"].tolist() == rows[3]["trace_ids"].tolist()
    with pytest.raises(IndexError):
        rows[40]
