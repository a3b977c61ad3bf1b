import pickle
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from datasets import Dataset

from mixlm.data.mapped import READS, Mapped


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is mapped")


@pytest.fixture
def rows(tmp_path) -> Dataset:
    file = tmp_path / "rows.arrow"
    table = pyarrow.table({"ids": [[number] * 100 for number in range(5000)], "text": ["word " * 20] * 5000})
    with pyarrow.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    return Dataset.from_file(str(file))


def resident(rows: Dataset) -> int:
    """Return how many kB of the rows' file this process holds."""
    file, lines = rows.cache_files[0]["filename"], iter(Path("/proc/self/smaps").read_text().splitlines())
    next(line for line in lines if line.endswith(file))
    return int(next(line for line in lines if line.startswith("Rss:")).split()[1])


def test_what_was_read_is_given_back_and_reads_the_same_again(rows):
    mapped = Mapped(rows.data.table)
    before = rows.to_dict()
    assert resident(rows) > 1000
    mapped.give_back()
    assert resident(rows) == 0
    assert rows.to_dict() == before


def test_rows_read_one_by_one_are_given_back_now_and_then(rows):
    mapped = Mapped(rows.data.table)
    for index in range(READS - 1):
        assert rows[index]["ids"][0] == index
        mapped.count_read()
    assert resident(rows) > 0
    mapped.count_read()
    assert resident(rows) == 0


def test_what_lies_in_memory_is_left_alone():
    values = np.arange(100_000)
    mapped = Mapped(pyarrow.table({"values": values}))
    mapped.give_back()
    assert mapped.regions == [] and values.sum() == 4999950000


def test_in_another_process_nothing_is_given_back(rows):
    assert Mapped(rows.data.table).regions
    assert pickle.loads(pickle.dumps(Mapped(rows.data.table))).regions == []
