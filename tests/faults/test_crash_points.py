"""A few of the crash points; ``make test-faults`` tries all."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.forks import build_shim, environment


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the shim is one of Linux")
ROOT = Path(__file__).parents[2]


def test_an_interrupted_command_given_again_ends_as_if_nothing_had_been(tmp_path):
    results, around = tmp_path / "results.jsonl", environment(build_shim(tmp_path), tmp_path / "work")
    call = [sys.executable, "-m", "tests.faults.crash_points", str(tmp_path), str(results)]
    done = subprocess.run(call, cwd=ROOT, env=around, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    found = [json.loads(line) for line in results.read_text().splitlines()]
    assert len(found) == 12
    assert not [one for one in found if one.get("wrong")]
