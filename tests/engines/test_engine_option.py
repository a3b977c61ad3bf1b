"""``--engine``: one command starts an engine, has its answers, and leaves nothing of it."""

import ctypes
import sys

import psutil
import pytest

from pipelines.generate import main
from tests.calling import call_command


@pytest.fixture
def adopting():
    """Let this process be the parent of whatever its children leave behind."""
    if sys.platform != "linux":
        pytest.skip("of other systems nobody is told what is left behind")
    adopt = 36
    ctypes.CDLL(None).prctl(adopt, 1, 0, 0, 0)
    before = {*psutil.Process().children(recursive=True)}
    yield lambda: [one for one in psutil.Process().children(recursive=True) if one not in before]
    ctypes.CDLL(None).prctl(adopt, 0, 0, 0, 0)


def test_one_command_gives_the_lines_of_decoding_here_and_nothing_is_left(engine, assorted, task, adopting):
    outs = [task / "here.jsonl", task / "there.jsonl"]
    options = ["--input", task / "questions.jsonl", "--max-new-tokens", 60]
    call_command(main, assorted, *options, "--output", outs[0])
    result = call_command(main, assorted, *options, "--output", outs[1], "--engine", engine)
    assert outs[0].read_text().count("\n") == 200 and outs[0].read_bytes() == outs[1].read_bytes()
    assert f"starting vLLM ({engine}) to serve {assorted}\n" in result.stderr and "ready after" in result.stderr
    assert adopting() == []
