"""What is measured of answers that vLLM gives is what is measured of decoding here."""

import json
from pathlib import Path

import pytest
import yaml

from mixlm.analysis.interventions import DEFAULT, needs_model
from mixlm.analysis.suite import Case, analyze
from mixlm.evaluation.evaluate import evaluate
from mixlm.evaluation.inputs import open_rows
from mixlm.generation.engine import Engine
from mixlm.generation.options import GenerationOptions
from pipelines.compare import main as compare
from pipelines.engines.server import ServedHere, Server
from pipelines.evaluate import main as evaluation
from tests.calling import call_command
from tests.engines.conftest import CODES, MODEL, TRAINING


OPTIONS = GenerationOptions(max_new_tokens=64, batch_size=50)


def without_seconds(modes: dict[str, dict]) -> dict[str, dict]:
    return {mode: {name: figure for name, figure in one.items() if name != "seconds"} for mode, one in modes.items()}


@pytest.mark.parametrize("method", ["assorted", "coconut"])
def test_figures_are_those_of_decoding_here(task, method, request):
    server: Server = request.getfixturevalue(f"served_{method}")
    engine = Engine.load(server.run.path, "cpu")
    source, modes = (task / "encoded", "free,text,direct,exact:50%,max:1") if method == "assorted" else (None, "free")
    rows = open_rows(source or task / "train.jsonl", engine, "train", 40)
    here = evaluate(engine, rows, OPTIONS, modes)
    there = evaluate(ServedHere(server, engine, 16, print), rows, OPTIONS, modes)
    assert here.pop("engine") is None and there.pop("engine").startswith("vllm 0.")
    loss, own = there.pop("loss"), here.pop("loss")
    assert list(loss) == (["m=0", "m=all"] if method == "assorted" else ["own"])
    assert loss == {name: pytest.approx(one, 1e-4) for name, one in own.items()}
    modes = [without_seconds(result.pop("modes")) for result in (here, there)]
    assert modes[0] == modes[1] and here == there and len(here["records"]) == 40 * len(modes[0])


@pytest.mark.parametrize("method", ["assorted", "coconut"])
def test_tables_of_analyses_are_those_of_decoding_here(task, method, request):
    server: Server = request.getfixturevalue(f"served_{method}")
    engine = Engine.load(server.run.path, "cpu")
    rows = open_rows(task / "train.jsonl", engine, "train", 40)
    there = analyze(Case(ServedHere(server, engine, 16, print), rows, OPTIONS))
    kinds = [kind for kind in DEFAULT if not needs_model(kind, server.run)]
    here = analyze(Case(engine, rows, OPTIONS, kinds=kinds), [finding.name for finding in there])
    assert [(one.name, one.rows) for one in there] == [(one.name, one.rows) for one in here]
    assert [one.name for one in there] == ["interventions", *(["steer"] if method == "assorted" else []), "sweep"]


def test_a_comparison_starts_an_engine_for_each_cell(task, engine, tmp_path, monkeypatch):
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    grid = {
        "data": {split: str(task / "train.jsonl") for split in ("train", "valid")}
        | {"test": str(tmp_path / "test.jsonl")},
        "model": MODEL,
        "encode": {**CODES, "steps": 50},
        "train": {**TRAINING, "steps": 100},
        "evaluate": {"max-new-tokens": 40},
        "methods": {"cot": None, "assorted": {"evaluate": {"latents": "free,exact:50%"}}},
    }
    (tmp_path / "test.jsonl").write_text("\n".join((task / "questions.jsonl").read_text().splitlines()[:30]))
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(grid))
    out: Path = tmp_path / "out"
    result = call_command(compare, tmp_path / "grid.yaml", "--out", out, "--engine", engine)
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert "decoded by" in result.stdout and len({line["engine"] for line in lines}) == 1
    for line in lines:
        run, here = out / "runs" / f"{line['label']}-0", tmp_path / f"{line['label']}.json"
        modes = ("--latents", ",".join(line["modes"]), "--max-new-tokens", 40)
        call_command(evaluation, run, tmp_path / "test.jsonl", *modes, "--out", here)
        answers = out / "answers" / f"{line['label']}-0.jsonl"
        assert line["engine"].startswith("vllm 0.") and here.with_suffix(".jsonl").read_bytes() == answers.read_bytes()
