import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from pipelines.cli import main
from tests.grid_bench import COT, DATA, DROPPED, LATE, TWIN, make_bench


pytest.importorskip("matplotlib")
bench = pytest.fixture(make_bench)


def test_parts_are_run_in_order_each_once_though_cells_share_them(bench):
    done = bench.compare()
    assert done.exit_code == 0, done.output
    assert bench.log() == [*DATA, *COT, *DROPPED, *TWIN, *LATE]
    assert bench.finished() == ["cot", "dropped", "twin", "late"]
    assert "cot-0: 75.0% right, 9.0 tokens (free)" in done.stderr
    assert re.findall(r"; (\d) more cells?, about \d+:\d\d\n", done.stderr) == ["3", "2", "1"]


def test_two_at_a_time_still_run_each_part_once(bench):
    assert bench.compare("--jobs", "2", seeds=[0, 1]).exit_code == 0
    both = [part.replace("-0", f"-{seed}") for part in (*COT, *DROPPED, *TWIN, *LATE) for seed in (0, 1)]
    assert Counter(bench.log()) == Counter([*DATA, *both])
    assert Counter(bench.finished()) == {"cot": 2, "dropped": 2, "twin": 2, "late": 2}


def test_a_finished_cell_is_never_run_again(bench):
    bench.compare()
    before, _ = bench.results(), bench.log()
    again = bench.compare()
    assert again.exit_code == 0 and "4 cells, 4 done" in again.stderr
    assert bench.log() == [] and bench.results() == before
    more = bench.compare(seeds=[0, 1])
    assert "8 cells, 4 done" in more.stderr
    assert not {part for part in bench.log() if part.endswith("-0") or part.startswith("data")}
    assert bench.results()[:4] == before


def test_the_model_itself_is_a_row_as_any_other(bench):
    done = bench.compare(model="gpt2", methods={"base": None, "cot": None}, seeds=[0, 1])
    assert done.exit_code == 0, done.output
    assert bench.log() == [*DATA, "evaluate base-0", *COT, "train cot-1", "evaluate cot-1"]
    base = bench.results()[0]
    assert (base["label"], base["method"], base["settings"]["train"]) == ("base", "base", {})
    assert list(base["seconds"]) == ["evaluate"] and base["modes"]["free"]["right"] == "1101"
    assert "3 of 3 cells" in done.stdout and "base minus each other method" in done.stdout


def test_evaluations_have_an_engine_which_is_no_setting_of_a_cell(bench, tmp_path):
    (engine := tmp_path / "its python").touch(0o755)
    bench.compare("--only", "cot")
    before, _ = bench.results(), bench.log()
    done = bench.compare("--engine", str(engine))
    assert done.exit_code == 0 and "4 cells, 1 done" in done.stderr, done.output
    assert bench.log() == [*DROPPED, *TWIN, "train late-0", "evaluate late-0"]
    assert bench.results()[:1] == before and before[0]["engine"] is None
    dropped, told = bench.results()[1], f"--engine '{engine}'"
    assert [told in line for line in dropped["commands"]] == [False] * 5 + [True] and told in dropped["command"]
    assert told not in before[0]["commands"][-1] and "engine" not in json.dumps(dropped["settings"])
    titles, *rows = [line.split(" | ") for line in Path("out/table.md").read_text().splitlines()[2:8]]
    assert "decoded by |" in titles[-1] and [row[-1] for row in rows[1:]] == ["here |", *["vllm 1.0 |"] * 3]
    again = bench.compare()
    assert "4 cells, 4 done" in again.stderr and bench.log() == []


def test_an_engine_that_is_not_there_is_told_before_anything_runs(bench):
    done = bench.compare("--engine", "none/python")
    assert done.exit_code == 1 and done.output == (
        "Error: --engine none/python: no python is there; give that of the environment in which vLLM is\n"
    )
    assert bench.log() == [] and not Path("out").exists()


def test_only_what_is_named_is_run(bench):
    assert bench.compare("--only", "late").exit_code == 0
    assert bench.log() == [*DATA, "train cot-0", *LATE]
    assert bench.compare("--only", "cot", "--seed", "1", seeds=[0, 1]).exit_code == 0
    assert bench.log() == ["train cot-1", "evaluate cot-1"]
    assert bench.compare("--only", "no").exit_code == 1


def test_no_run_shows_what_is_there(bench):
    nothing = bench.compare("--no-run")
    assert (nothing.exit_code, nothing.output) == (0, "out: no cell is finished yet\n")
    assert not Path("out").exists()
    bench.compare("--only", "cot")
    bench.log()
    shown = bench.compare("--no-run")
    assert shown.exit_code == 0 and bench.log() == []
    assert "1 of 4 cells" in shown.stdout


@pytest.mark.parametrize("how", ["fail", "die"])
def test_after_a_failure_the_others_go_on_and_the_next_call_does_what_is_missing(bench, how):
    failed = bench.compare(behave={"evaluate dropped-0": how, "train late-0": how})
    assert failed.exit_code == 1
    assert bench.log() == [*DATA, *COT, *DROPPED, *TWIN, "train late-0"]
    assert bench.finished() == ["cot", "twin"]
    errors = [line for line in failed.stderr.splitlines() if line.startswith("Error: ")]
    assert [line.split(": ")[1] for line in errors] == ["dropped-0", "late-0", "failed"]
    assert "mixlm evaluate out/runs/dropped-0" in errors[0] and ("out of luck" in errors[0]) == (how == "fail")
    assert "2 of 4 cells" in failed.stdout  # what is there is shown all the same
    assert bench.compare().exit_code == 0
    assert bench.log() == ["evaluate dropped-0", *LATE]
    assert bench.finished() == ["cot", "twin", "dropped", "late"]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_what_failed_for_one_cell_is_not_tried_again_for_another(bench, jobs):
    failed = bench.compare("--jobs", jobs, behave={"encode dropped-0": "fail"})
    assert failed.exit_code == 1 and bench.log().count("encode dropped-0") == 1
    assert sorted(bench.finished()) == ["cot", "late"]
    assert "needs 'encode dropped-0', which failed" in failed.stderr


def test_a_result_says_how_it_was_made(bench):
    bench.compare()
    late, dropped = bench.results()[3], bench.results()[1]
    assert (late["label"], late["method"], late["seed"]) == ("late", "coconut", 0)
    assert late["command"] == "mixlm compare grid.yaml --out out --only late --seed 0"
    assert late["commands"][-1].startswith("mixlm evaluate out/runs/late-0 out/data/test.jsonl")
    assert len(late["commands"]) == len([*DATA, "train cot-0", *LATE])
    assert late["settings"]["start"]["method"] == "cot" and late["stage1"] is None
    assert dropped["stage1"] == {"codes_used": 3} and dropped["modes"]["direct"]["right"] == "0001"
    assert dropped["modes"]["free"]["right"] == "1101" and dropped["samples"] == 1 and dropped["rows"] == 4
    assert dropped["data"]["test"]["file"] == "out/data/test.jsonl" and len(dropped["data"]["test"]["sha256"]) == 64
    assert yaml.safe_load(Path("out/model.yaml").read_text()) == {"model_type": "llama"}


def test_seconds_are_of_all_attempts_and_what_is_shared_counts_for_each(bench):
    bench.compare(behave={"train dropped-0": "fail"})
    bench.compare()
    lines = [json.loads(line) for line in Path("out/parts.jsonl").read_text().splitlines()]
    attempts = Counter(line["part"] for line in lines if line["seconds"])
    assert attempts == {part: 1 + (part == "train dropped-0") for part in (*DATA, *COT, *DROPPED, *TWIN, *LATE)}
    assert all(line["cpu_seconds"] > 0 for line in lines if line["seconds"])  # that which failed worked, too
    wall, cpu = Counter(), Counter()
    for line in lines:
        wall[line["part"]] += line["seconds"]
        cpu[line["part"]] += line["cpu_seconds"]
    seconds = {result["label"]: result["seconds"] for result in bench.results()}
    needed = {
        "cot": {"train": ["train cot-0"], "evaluate": ["evaluate cot-0"]},
        "late": {"train": ["train cot-0", "train late-0"], "evaluate": ["evaluate late-0"]},
        "dropped": {"encode": ["encode dropped-0"], "train": ["train dropped-0"], "evaluate": ["evaluate dropped-0"]},
        "twin": {"encode": ["encode dropped-0"], "train": ["train twin-0"], "evaluate": ["evaluate twin-0"]},
    }
    for label, kinds in needed.items():
        assert seconds[label].keys() == kinds.keys()
        for kind, parts in kinds.items():
            assert seconds[label][kind]["wall"] == pytest.approx(sum(wall[part] for part in parts), rel=1e-4)
            assert seconds[label][kind]["cpu"] == pytest.approx(sum(cpu[part] for part in parts), rel=1e-4)


def test_paths_may_have_spaces_and_be_absolute(bench, tmp_path):
    bench.prepare()
    Path("my grid.yaml").write_text(Path("grid.yaml").read_text())
    done = CliRunner().invoke(main, ["compare", "my grid.yaml", "--only", "cot"])
    assert done.exit_code == 0, done.output
    assert "results in my grid\n" in done.stderr and Path("my grid/results.jsonl").exists()
    bench.log()
    again = CliRunner().invoke(main, ["compare", str(tmp_path / "my grid.yaml"), "--out", str(tmp_path / "my grid")])
    assert again.exit_code == 0, again.output
    assert bench.log() == [*DROPPED, *TWIN, *LATE]
    results = [json.loads(line) for line in Path("my grid/results.jsonl").read_text().splitlines()]
    assert {len(one["commands"][0].split("'")) for one in results} == {3}  # the path is in quotes
