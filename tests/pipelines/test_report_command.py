import json
import shutil
from dataclasses import replace
from functools import partial

import pytest

from mixlm.encoding.dataset import load_encoded
from mixlm.evaluation.evaluate import evaluate
from mixlm.evaluation.inputs import open_rows
from mixlm.generation.engine import Engine
from mixlm.generation.kept.lines import KeptLines
from mixlm.report.stage1 import stage1_of
from mixlm.run import load_run
from mixlm.shown import escaped
from pipelines.evaluate import main as evaluate_command
from pipelines.report import main
from tests.calling import call_command
from tests.report_data import read_report
from tests.tiny_runs import saved_run, write_encoded_for


call = partial(call_command, main)


@pytest.fixture(scope="module")
def encoded(run, tmp_path_factory):
    return write_encoded_for(tmp_path_factory.mktemp("data") / "encoded", run.tokenizer(), train=4, valid=3)


@pytest.fixture(scope="module")
def cot(tmp_path_factory):
    return saved_run(tmp_path_factory.mktemp("runs") / "cot", "cot")


def test_what_is_shown_is_what_evaluate_measures(run, encoded, tmp_path):
    out = tmp_path / "report.html"
    assert f"wrote {out}" in call(run.path, "--data", encoded, "--out", out).stdout
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    data, engine = read_report(out), Engine.load(run.path)
    rows = open_rows(encoded, engine)
    measured = evaluate(engine, rows, latents="free,text")
    (shown,) = data["runs"]
    assert list(shown["modes"]) == ["free", "text"]
    for mode, figures in measured["modes"].items():
        own = shown["modes"][mode]
        assert [own["accuracy"], own["low"], own["high"]] == [figures["accuracy"], *figures["interval"]]
        assert (own["tokens"], own["latents"]) == (figures["tokens"]["total"], figures["latents"])
    for column in data["columns"]:
        records = [one for one in measured["records"] if one["latents"] == column["mode"]]
        assert [(one["row"], one["text"], one["right"]) for one in column["answers"]] == [
            (one["row"], escaped(one["text"]), one["right"]) for one in records
        ]
        codes = [one["chips"]["codes"] if "chips" in one else [] for one in column["answers"]]
        assert codes == [one["codes"] for one in records]
    assert [(row["question"], row["gold"], row["steps"]) for row in data["rows"]] == [
        (f"{number} + 1?", str(number + 1), [f"{number} + 1 = {number + 1}"]) for number in range(3)
    ]
    assert [one["seen"] for one in shown["codebook"]["codes"]] == [
        sum(row["codes"].count(code) for row in rows) for code in range(5)
    ]


def test_runs_of_one_name_are_told_by_their_paths(run, cot, encoded, tmp_path):
    again = tmp_path / "again" / run.path.name
    shutil.copytree(run.path, again)
    out = tmp_path / "report.html"
    call(run.path, again, "--data", encoded, "--out", out)
    assert [one["name"] for one in read_report(out)["runs"]] == [str(run.path), str(again)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "report.html"]


def test_without_rows_there_is_no_answer_and_each_part_says_so(run, cot, tmp_path):
    out = tmp_path / "report.html"
    call(run.path, cot.path, "--out", out)
    data = read_report(out)
    assert data["rows"] == data["columns"] == [] and [one["modes"] for one in data["runs"]] == [{}, {}]
    first, second = data["runs"]
    assert first["codebook"]["missing"] == ["no rows were given: --data FILE shows how codes are used, and answers"]
    assert first["stage1"] is None and "give them by --data" in first["stage1_missing"]
    assert second["codebook"] is None and second["stage1_missing"] == ""


@pytest.mark.parametrize("method", ["drop-prefix", "frequent-ngrams"])
def test_what_has_no_latents_of_codes_has_no_codebook(method, encoded, tmp_path):
    other, out = saved_run(tmp_path / "other", method), tmp_path / "report.html"
    other.method_state = {"seed": 0, "strings": [[1, 2]] * 5}
    other.save()
    call(other.path, "--out", out)
    assert [one["codebook"] for one in read_report(out)["runs"]] == [None]


def test_an_evaluation_without_free_decoding_is_shown(run, tmp_path):
    source, figures, out = tmp_path / "rows.jsonl", tmp_path / "figures.json", tmp_path / "report.html"
    source.write_text(json.dumps({"question": "1 + 2?", "steps": ["1 + 2 = 3"], "answer": "3"}) + "\n")
    call_command(evaluate_command, run.path, source, "--latents", "exact:2", "--out", figures)
    call(run.path, "--data", source, "--evaluation", figures, "--out", out)
    assert [one["mode"] for one in read_report(out)["columns"]] == ["exact:2"]


def test_an_evaluation_is_shown_and_not_made_again(run, cot, tmp_path, monkeypatch):
    source = tmp_path / "rows.jsonl"
    rows = [{"question": f"{n} + 2?", "steps": [f"{n} + 2 = {n + 2}"], "answer": str(n + 2)} for n in range(4)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    figures, out = tmp_path / "figures.json", tmp_path / "report.html"
    call_command(evaluate_command, run.path, source, "--latents", "free,exact:2", "--out", figures)
    call(run.path, cot.path, "--data", source, "--evaluation", figures, "--limit", 2, "--out", out)
    data = read_report(out)
    answered = [(one["run"], one["mode"], len(one["answers"])) for one in data["columns"]]
    assert answered == [(0, "free", 2), (0, "exact:2", 2), (1, "free", 2)]
    assert data["runs"][0]["codebook"]["rows"] == 2
    assert data["runs"][0]["modes"]["free"]["answers"] == 4  # figures stay those that were measured
    call(run.path, cot.path, "--data", source, "--evaluation", figures, "--out", out)
    data = read_report(out)
    answered = [(one["run"], one["mode"], len(one["answers"])) for one in data["columns"]]
    assert answered == [(0, "free", 4), (0, "exact:2", 4), (1, "free", 4)]
    assert data["runs"][0]["codebook"]["rows"] == 4  # encoded by the run's own stage 1
    chips = [one["chips"] for one in data["columns"][1]["answers"]]
    assert all(len(one["texts"]) == len(one["alternatives"]) == 2 for one in chips)

    refused = call(cot.path, "--data", source, "--evaluation", figures, "--out", out, code=1)
    assert f"{figures}: is of another run ({run.path})" in refused.stderr
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps({**row, "question": "2?"}) + "\n" for row in rows))
    refused = call(run.path, "--data", other, "--evaluation", figures, "--out", out, code=1)
    assert "row 0 of its answers is not that of" in refused.stderr
    other.write_text(json.dumps(rows[0]) + "\n")
    refused = call(run.path, "--data", other, "--evaluation", figures, "--out", out, code=1)
    assert f"{run.path}: row 1 of its answers is not in {other}; give the same rows" in refused.stderr
    with figures.with_suffix(".jsonl").open("a") as file:
        file.write("{}\n")
    refused = call(run.path, "--data", source, "--evaluation", figures, "--out", out, code=1)
    assert "changed since it was written" in refused.stderr
    assert read_report(out) == data


def test_an_interrupted_call_goes_on_after_the_answers_that_it_has(run, encoded, tmp_path, monkeypatch):
    out, made = tmp_path / "report.html", []
    with monkeypatch.context() as patched:
        patched.setattr("mixlm.report.report.Report.add", lambda *rest: (_ for _ in ()).throw(OSError("full")))
        call(run.path, "--data", encoded, "--out", out, code=1)
    assert [path.name for path in tmp_path.iterdir()] == [".report-run.jsonl.part"]
    monkeypatch.setattr(KeptLines, "keep", lambda self, lines: made.append(lines))
    call(run.path, "--data", encoded, "--out", out)
    assert not made and [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: no such run folder"),
        (["RUN", "--data", "nowhere.jsonl"], "nowhere.jsonl"),
        (["RUN", "--evaluation", "nowhere.json"], "no such file; give the .json that mixlm evaluate --out wrote"),
        (["RUN", "--evaluation", "EMPTY"], "no figures of mixlm evaluate"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(run, tmp_path, arguments, said):
    empty = tmp_path / "empty.json"
    empty.write_text("{}")
    named = {"RUN": str(run.path), "EMPTY": str(empty)}
    result = call(*(named.get(one, one) for one in arguments), "--out", tmp_path / "report.html", code=1)
    assert said in result.stderr and result.stderr.strip().count("\n") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["empty.json"]


def test_the_page_takes_the_place_of_nothing_that_it_reads(run, tmp_path):
    for name, option in (("rows.jsonl", "--data"), ("figures.json", "--evaluation")):
        (tmp_path / name).write_text("{}\n")
        result = call(run.path, option, tmp_path / name, "--out", tmp_path / name, code=1)
        assert "is what is read, and would be lost" in result.stderr and (tmp_path / name).read_text() == "{}\n"


def test_encoded_data_that_were_moved_with_the_run_are_found_beside_it(run, encoded, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(run.path, moved / "run")
    shutil.copytree(encoded, moved / "encoded")
    told = replace(load_run(moved / "run"), arguments={"data": "nowhere/encoded"})
    assert stage1_of(told).manifest == load_encoded(moved / "encoded").manifest
    shutil.rmtree(moved / "encoded")
    assert stage1_of(told).missing == "the encoded data (nowhere/encoded) are not here; give them by --data"
