import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixlm.data.samples import to_sample
from mixlm.data.template import Template
from mixlm.data.tokenization import tokenize_samples
from mixlm.encoding.options import EncodingOptions
from mixlm.encoding.tokens import tokenizer_pool
from mixlm.encoding.tokens.sharding import Sharding
from mixlm.encoding.tokens.token_tables import tell_answers
from mixlm.encoding.tokens.tokenizer_pool import TokenizerPool
from mixlm.errors import InputError
from mixlm.model.tokenizers import build_tokenizer
from tests.tiny_data import raw_rows


PROGRAM = """
import json, sys, time
from tests.mixlm.encoding.tokens.test_tokenizer_pool import pool_of

if __name__ == "__main__":
    with pool_of(sys.argv[1], processes=2) as work:
        list(work.tables(work.sharding.shards()))
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


def pool_of(traces, processes: int | None = 0, **changes) -> TokenizerPool:
    changes = {"valid_fraction": 0.1, "shard_rows": 15, "template": Template(separator=" ; "), **changes}
    options = EncodingOptions(**changes, workers=processes)
    return TokenizerPool(Sharding(str(traces), options), TOKENIZER, options)


def expected(numbers) -> list[dict]:
    return tokenize_samples(TOKENIZER, Template(separator=" ; "), [to_sample(ROWS[i]) for i in numbers], numbers)


def test_tables_hold_the_tokenized_rows_of_their_shards_numbered_as_in_the_file(traces):
    with pool_of(traces) as work:
        shards = work.sharding.shards()
        for shard, table in zip(shards, work.tables(shards), strict=True):
            rows = [
                {name: value for name, value in row.items() if value is not None} for row in table.rows.to_pylist()
            ]
            assert rows == expected(work.sharding.numbers(shard).tolist()) and table.skipped == 0


@pytest.mark.parametrize("block", [4, 2000])
def test_any_number_of_processes_gives_the_same_tables(traces, monkeypatch, block):
    monkeypatch.setattr(tokenizer_pool, "ROWS_OF_A_TASK", block)
    with pool_of(traces) as one, pool_of(traces, processes=2) as many:
        shards = one.sharding.shards()
        assert [table.rows for table in one.tables(shards)] == [table.rows for table in many.tables(shards)]
        assert [table.rows for table in many.tables(shards[1:2])] == [table.rows for table in one.tables(shards[1:2])]


@pytest.mark.parametrize("processes", [0, 2])
def test_malformed_rows_stop_or_are_counted(traces, processes):
    traces.write_text(traces.read_text() + '{"question": "?"}\n{\n')
    with pool_of(traces, processes, valid_fraction=0, skip_bad_rows=True) as work:
        assert [(table.rows.num_rows, table.skipped) for table in work.tables(work.sharding.shards())] == [
            (15, 0),
            (15, 0),
            (10, 2),
        ]
    with pool_of(traces, processes, valid_fraction=0) as work:
        with pytest.raises(InputError, match=r"traces.jsonl:41: .*--skip-bad-rows"):
            list(work.tables(work.sharding.shards()))


def test_a_chat_that_cannot_be_rendered_is_named_and_left_out_like_a_malformed_row(traces, monkeypatch):
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "a </think> 1"}]
    good = traces.read_text()
    traces.write_text(good + json.dumps({"messages": [*turns, *turns]}) + "\n")
    with pool_of(traces, valid_fraction=0) as work:
        with pytest.raises(InputError, match=r"traces.jsonl:41: the chat '\?' has turns .*--skip-bad-rows"):
            list(work.tables(work.sharding.shards()))
    with pool_of(traces, valid_fraction=0, skip_bad_rows=True) as work:
        assert [(table.rows.num_rows, table.skipped) for table in work.tables(work.sharding.shards())][2] == (10, 1)
    chats = (json.dumps({"messages": [*turns, *turns]}) + "\n") * 3
    monkeypatch.setattr(tokenizer_pool, "ROWS_OF_A_TASK", 3)
    traces.write_text(chats + good)  # a block of nothing else
    with pool_of(traces, valid_fraction=0, skip_bad_rows=True) as work:
        assert sum(table.skipped for table in work.tables(work.sharding.shards())) == 3
    traces.write_text(chats)
    with pool_of(traces, valid_fraction=0, skip_bad_rows=True) as work:
        assert sum(len(table.rows) for table in work.tables(work.sharding.shards())) == 0
        assert re.search(r"traces.jsonl:1: the chat '\?' has turns .*give --chat$", work.refusal)


@pytest.mark.parametrize("processes", [0, 2])
def test_how_answers_were_found_is_counted_by_shard(traces, monkeypatch, processes):
    monkeypatch.setattr(tokenizer_pool, "ROWS_OF_A_TASK", 4)
    marked = ['{"question": "?", "response": "a </think> 1"}'] * 2 + ['{"question": "?", "answer": "a #### 1"}']
    traces.write_text(traces.read_text() + "\n".join(marked) + "\n")
    with pool_of(traces, processes, valid_fraction=0) as work:
        tables = [*work.tables(work.sharding.shards())]
    assert [table.rules for table in tables] == [{}, {}, {"whole": 2, "hashes": 1}]
    said: list[str] = []
    tell_answers(tables, said.append), tell_answers(tables[:2], said.append)
    assert said == ["answers: 40 in a column of their own, 1 after '####', 2 as the text after the trace"]
    with pool_of(traces, processes, valid_fraction=0, answer_pattern="1") as work:
        assert [table.rules for table in work.tables(work.sharding.shards())][2] == {"pattern": 3}


def test_a_shard_of_malformed_rows_alone_is_empty_and_has_the_same_types(traces):
    traces.write_text('{"question": "?", "steps": [], "answer": "1"}\n' + "{\n" * 3)
    with pool_of(traces, valid_fraction=0, shard_rows=2, skip_bad_rows=True) as work:
        first, second = work.tables(work.sharding.shards())
    assert (second.rows.num_rows, second.skipped) == (0, 2) and second.rows.schema == first.rows.schema


def test_a_process_that_dies_is_one_line(traces):
    with pool_of(traces, processes=2) as work:
        list(work.tables(work.sharding.shards()))
        for process in [*work.pool._processes.values()]:
            os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(InputError, match="a process that tokenises has died.*--workers 0"):
            list(work.tables(work.sharding.shards()))


def test_no_process_outlives_the_one_that_asked(traces, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
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
    assert pool_of(traces, processes=None).processes == 0
    monkeypatch.setattr(tokenizer_pool, "WORTH_A_PROCESS", 10)
    monkeypatch.setattr(tokenizer_pool, "cores", lambda: 8)
    assert pool_of(traces, processes=None).processes == 4
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert pool_of(traces, processes=None).processes == 2
