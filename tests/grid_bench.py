"""A folder in which a comparison runs fake commands."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from pipelines.cli import main
from pipelines.reports import comparison as report_comparison
from pipelines.shared import jobs as side_by_side
from tests import fake_commands


FAKE = [sys.executable, "-S", fake_commands.__file__]
GRID = {
    "data": {"task": "chain-arithmetic", "rows": {"train": 6, "valid": 4, "test": 4}},
    "model": {"model_type": "llama"},
    "methods": {
        "cot": None,
        "dropped": {"method": "drop-prefix"},
        "twin": {"method": "drop-prefix", "train": {"steps": 7}},
        "late": {"method": "coconut", "start": "cot"},
    },
    "seeds": [0],
}
DATA = ["data train", "data valid", "data test"]
COT, LATE = ["train cot-0", "evaluate cot-0"], ["train late-0", "evaluate late-0"]
DROPPED = ["encode dropped-0", "train dropped-0", "evaluate dropped-0"]
TWIN = ["train twin-0", "evaluate twin-0"]


class Bench:
    """A folder with a grid whose commands are fake ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def compare(self, *options, behave=None, **changes):
        """Run the command, with behaviours of its commands and sections of the grid in place of those above."""
        self.prepare(behave, **changes)
        return CliRunner().invoke(main, ["compare", "grid.yaml", "--out", "out", *options])

    def prepare(self, behave=None, **changes):
        Path("grid.yaml").write_text(yaml.safe_dump({**GRID, **changes}, sort_keys=False))
        Path("behave.json").write_text(json.dumps(behave or {}))

    def log(self):
        """What has run since the last call."""
        path = self.folder / "log.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def results(self):
        path = self.folder / "out" / "results.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def finished(self):
        return [result["label"] for result in self.results()]


def make_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """To be made a fixture."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(side_by_side, "command_of", lambda job: [*FAKE, job.name, *job.arguments])
    monkeypatch.setattr(report_comparison, "draw_pareto", lambda *given: [])  # it takes longer than all else
    yield Bench(tmp_path)
