import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.grid.folder import claimed
from tests.grid_bench import FAKE, GRID, make_bench


pytest.importorskip("matplotlib")
bench = pytest.fixture(make_bench)


START = "from pipelines.shared import jobs; jobs.command_of = lambda job: [*{fake}, job.name, *job.arguments]; "
# A job started in the background of a shell inherits that SIGINT is ignored, or SIGHUP; these tests may run in one.
START += "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
START += "signal.signal(signal.SIGHUP, signal.SIG_DFL); "
START += "from pipelines.cli import main; main()"


@pytest.mark.parametrize(
    ("end", "number"),
    [(os.kill, signal.SIGINT), (os.killpg, signal.SIGINT), (os.kill, signal.SIGTERM), (os.killpg, signal.SIGHUP)],
)
def test_an_interrupted_comparison_stops_its_commands_and_goes_on_when_called_again(bench, end, number):
    bench.prepare({"train dropped-0": "wait"})
    command = [sys.executable, "-c", START.format(fake=FAKE), "compare", "grid.yaml", "--out", "out", "--jobs", "2"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not Path("waiting").exists() and process.poll() is None:
        time.sleep(0.05)
    end(process.pid, number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, output + errors
    cells = re.fullmatch(
        "Error: interrupted; (.+) done, what others have made so far is kept in out; the same command goes on",
        errors.splitlines()[-1],
    )
    assert "Traceback" not in errors
    for left in (process.pid, int(Path("waiting").read_text())):
        with pytest.raises(ProcessLookupError):
            os.killpg(left, 0)
    done = bench.finished()
    assert cells[1] == f"{len(done)} cell{'s' * (len(done) != 1)}"
    first = bench.log()
    assert "dropped" not in done and "evaluate dropped-0" not in first
    assert bench.compare().exit_code == 0
    second = bench.log()
    assert sorted(bench.finished()) == ["cot", "dropped", "late", "twin"]
    assert not {f"evaluate {label}-0" for label in done} & set(second)
    assert second.count("train dropped-0") == 1 and "encode dropped-0" not in second


def changed(**keys):
    return {"methods": {**GRID["methods"], "cot": keys}}


def test_a_result_of_other_settings_is_refused_and_kept(bench):
    bench.compare("--only", "cot")
    before = {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    bench.log()
    for options in ((), ("--no-run",), ("--only", "dropped")):
        refused = bench.compare(*options, **changed(train={"steps": 9}))
        assert refused.exit_code == 1 and bench.log() == []
        assert "'cot' with seed 0 was run with other settings than grid.yaml has now" in refused.stderr
        assert "(train steps: nothing then, 9 now)" in refused.stderr and len(refused.stderr.splitlines()) == 1
    assert {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()} == before
    again = bench.compare("--only", "cot", **changed(train={"steps": 9, "log-every": 1}))
    assert "(train steps: nothing then, 9 now)" in again.stderr
    renamed = {"methods": {"other": {"method": "cot", "train": {"steps": 9}}, "cot": None}}
    assert bench.compare(**renamed).exit_code == 0
    assert bench.finished() == ["cot", "other"]


@pytest.mark.parametrize(
    ("done", "changes"),
    [
        ("runs/cot-0/mixlm.json", changed(train={"steps": 9})),
        ("runs/cot-0/mixlm.json", {"model": {"model_type": "gpt2"}}),
        ("data/train.jsonl", {"data": {**GRID["data"], "rows": {"train": 7, "valid": 4, "test": 4}}}),
        ("data/train.jsonl", {"data": {**GRID["data"], "seed": 1}}),
    ],
)
def test_parts_of_other_settings_are_not_taken_for_an_unfinished_cell(bench, done, changes):
    bench.compare("--only", "cot", behave={"evaluate cot-0": "fail"})
    bench.log()
    refused = bench.compare("--only", "cot", **changes)
    assert refused.exit_code == 1 and bench.log() == []
    assert f"out/{done}: is of other settings than grid.yaml has now" in refused.stderr
    assert bench.compare("--only", "cot").exit_code == 0
    assert bench.log() == ["evaluate cot-0"]


def test_a_wrong_evaluation_can_be_mended_without_training_again(bench):
    bench.compare("--only", "cot", behave={"evaluate cot-0": "fail"}, **changed(evaluate={"batch-size": 1}))
    bench.log()
    assert bench.compare("--only", "cot", **changed(evaluate={"batch-size": 2})).exit_code == 0
    assert bench.log() == ["evaluate cot-0"]


@pytest.mark.parametrize(("ending", "content"), [(".json", ""), (".jsonl", "{")])
def test_a_damaged_evaluation_is_told_and_measured_again_once_it_is_deleted(bench, ending, content):
    bench.compare("--only", "cot")
    (evaluation,) = Path("out").rglob("cot-0.json")
    evaluation.with_suffix(ending).write_text(content)
    Path("out/results.jsonl").unlink()
    refused = bench.compare("--only", "cot")
    assert refused.exit_code == 1 and isinstance(refused.exception, SystemExit) and bench.finished() == []
    assert f"Error: cot-0: {evaluation}: is not as it was written (" in refused.stderr
    evaluation.unlink()
    assert bench.compare("--only", "cot").exit_code == 0 and bench.finished() == ["cot"]


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"stepz": 3}, "train of 'late': unknown option 'stepz'; did you mean steps"),
        ({"steps": "many"}, "train late-0: Invalid value for '--steps': 'many'"),
    ],
)
def test_wrong_options_of_any_cell_are_found_before_anything_is_written(bench, train, message):
    late = {"methods": {**GRID["methods"], "late": {"method": "coconut", "train": train}}}
    refused = bench.compare(**late)
    assert refused.exit_code == 1 and bench.log() == [] and not Path("out").exists()
    assert refused.stderr.startswith(f"Error: grid.yaml: {message}")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"model_type": "llama", "hidden_sise": 16}, "has no field 'hidden_sise'; did you mean 'hidden_size'?"),
        ({"model_type": "lama"}, "transformers has no model type 'lama'; did you mean 'llama'?"),
        ({"model_type": "llama", "hidden_size": 16, "num_attention_heads": 3}, "not a multiple"),
        ({"model_type": "llama", "hidden_size": "a"}, "expected int"),
        ({"hidden_size": 16}, "needs the key 'model_type'"),
    ],
)
def test_a_model_that_cannot_be_is_found_before_anything_is_written(bench, model, message):
    refused = bench.compare(model=model)
    assert refused.exit_code == 1 and bench.log() == [] and not Path("out").exists()
    assert refused.stderr.startswith("Error: grid.yaml: model: ") and message in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_killed_comparisons_command_keeps_the_folder(bench):
    bench.prepare({"train dropped-0": "wait"})
    command = [sys.executable, "-c", START.format(fake=FAKE), "compare", "grid.yaml", "--out", "out", "--jobs", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    while not Path("waiting").exists() and process.poll() is None:
        time.sleep(0.05)
    process.kill()
    process.wait()
    refused = bench.compare()
    os.killpg(int(Path("waiting").read_text()), signal.SIGKILL)
    assert refused.exit_code == 1 and "out: another command writes there" in refused.stderr


def files(**changes):
    return {"data": {"train": "train.jsonl", "valid": "valid.jsonl", "test": "test.jsonl", **changes}}


def test_files_that_are_not_there_are_found_before_anything_is_written(bench):
    for split in ("train", "valid"):
        Path(f"{split}.jsonl").write_text(split)
    refused = bench.compare(**files())
    assert refused.exit_code == 1 and "test.jsonl: cannot be read" in refused.stderr
    assert not Path("out").exists()


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_results_of_other_data_are_never_joined(bench, split):
    for name in ("train", "valid", "test"):
        Path(f"{name}.jsonl").write_text(name)
    assert bench.compare("--only", "cot", **files()).exit_code == 0
    assert [one["file"] for one in bench.results()[0]["data"].values()] == ["train.jsonl", "valid.jsonl", "test.jsonl"]
    bench.log()
    Path(f"{split}.jsonl").write_text("others")
    refused = bench.compare(**files())
    assert refused.exit_code == 1 and bench.log() == []
    assert f"{split}.jsonl: is not the file that the results so far are of" in refused.stderr
    assert bench.compare("--only", "cot", **files()).exit_code == 0  # nothing is to be run, so nothing is joined
    Path(f"{split}.jsonl").write_text(split)
    assert bench.compare(**files()).exit_code == 0


@pytest.mark.parametrize("changed_file", ["train.jsonl", "valid.jsonl", "model.gguf"])
def test_what_was_made_of_other_rows_or_another_model_is_not_taken_for_an_unfinished_cell(bench, changed_file):
    given = {**files(), "model": "model.gguf"}
    for name in ("train.jsonl", "valid.jsonl", "test.jsonl", "model.gguf"):
        Path(name).write_text(name)
    bench.compare("--only", "dropped", behave={"evaluate dropped-0": "fail"}, **given)
    bench.log()
    Path(changed_file).write_text("others")
    refused = bench.compare(**given)
    assert refused.exit_code == 1 and bench.log() == [] and bench.finished() == []
    where = "out/encoded/dropped-0/manifest.json" if changed_file != "model.gguf" else "out/"
    assert (
        f"Error: {where}" in refused.stderr
        and f"was made of another {changed_file} than is there now" in refused.stderr
    )
    Path(changed_file).write_text(changed_file)
    assert bench.compare("--only", "dropped", **given).exit_code == 0 and bench.log() == ["evaluate dropped-0"]


def test_a_run_of_codes_of_other_rows_is_not_taken_up_though_its_codes_were_made_anew(bench):
    for name in ("train.jsonl", "valid.jsonl", "test.jsonl"):
        Path(name).write_text(name)
    bench.compare("--only", "dropped", behave={"evaluate dropped-0": "fail"}, **files())
    Path("train.jsonl").write_text("others")
    shutil.rmtree("out/encoded/dropped-0")
    refused = bench.compare("--only", "dropped", **files())
    assert "Error: out/runs/dropped-0/mixlm.json: was made of another train.jsonl than is there now" in refused.stderr


def test_answers_of_a_run_that_was_trained_again_are_not_its_own(bench):
    bench.compare("--only", "cot")
    Path("out/results.jsonl").unlink()
    Path("out/runs/cot-0/mixlm.json").write_text('{"trained": "again"}')
    refused = bench.compare("--only", "cot")
    assert refused.exit_code == 1 and bench.finished() == []
    assert (
        "Error: cot-0: out/answers/cot-0.json: is of another run than the one that is in out/runs/cot-0"
        in refused.stderr
    )
    Path("out/answers/cot-0.json").unlink()
    assert bench.compare("--only", "cot").exit_code == 0 and bench.finished() == ["cot"]


def test_a_second_process_is_refused(bench):
    with claimed(Path("out")):
        refused = bench.compare()
    assert refused.exit_code == 1 and bench.log() == []
    assert "out: another command writes there" in refused.stderr


@pytest.mark.parametrize("name", ["results.jsonl", "parts.jsonl"])
def test_a_broken_line_is_named_and_nothing_is_run(bench, name):
    bench.compare("--only", "cot")
    bench.log()
    with open(f"out/{name}", "a") as file:
        file.write('{"label": "dro\n')
    count = len(Path(f"out/{name}").read_text().splitlines())
    refused = bench.compare()
    assert refused.exit_code == 1 and bench.log() == []
    assert refused.stderr.startswith(f"Error: out/{name}:{count}: is no ")


def test_a_line_that_was_not_finished_when_the_power_went_is_no_obstacle(bench):
    bench.compare("--only", "cot")
    for name in ("results.jsonl", "parts.jsonl"):
        with open(f"out/{name}", "a") as file:
            file.write('{"label": "dro')
    assert bench.compare().exit_code == 0
    assert all(json.loads(line) for name in ("results.jsonl", "parts.jsonl") for line in open(f"out/{name}"))
