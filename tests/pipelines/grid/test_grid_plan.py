import json
import shlex
from pathlib import Path

import pytest
import yaml

from mixlm.errors import InputError
from pipelines.grid.commands import check_command
from pipelines.grid.parse import read_grid
from pipelines.grid.plan import Plan
from pipelines.grid.run import _require_traces, run_cells
from tests.manifests import whole_manifest


RESULTS = Path(__file__).parents[3] / "docs" / "results"
GRID = {
    "data": {"task": "chain-arithmetic", "rows": {"train": 60, "valid": 4, "test": 5}, "options": {"operations": 2}},
    "model": {"model_type": "llama", "hidden_size": 32},
    "template": {"separator": ""},
    "encode": {"chunk-length": 8},
    "train": {"steps": 40},
    "evaluate": {"batch-size": 50},
    "methods": {
        "cot": None,
        "assorted": {"options": {"mix": "uniform"}, "train": {"bf16": True, "pack": False}},
        "random": {"method": "random-codes"},
        "coarse": {"method": "assorted", "encode": {"chunk-length": 16}},
        "late": {"method": "coconut", "start": "cot", "train": {"steps": 9}},
    },
    "seeds": [0, 3],
}


RECONSTRUCTION = {"objective": "reconstruction"}


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """A function that returns the plan of ``GRID`` with some sections replaced."""
    monkeypatch.chdir(tmp_path)

    def make(out="out", **changes):
        Path("grid.yaml").write_text(yaml.safe_dump({**GRID, **changes}, sort_keys=False))
        return Plan(read_grid("grid.yaml"), Path(out))

    return make


def lines(cell):
    return [part.job.line() for part in cell.parts]


DATA = [
    f"mixlm data chain-arithmetic --rows {rows} --split {split} --seed 0 --operations 2 --out out/data/{split}.jsonl"
    for split, rows in GRID["data"]["rows"].items()
]
TRAIN_COT = (
    "mixlm-train out/data/train.jsonl --model out/model.yaml --out out/runs/cot-3 --method cot "
    "--valid out/data/valid.jsonl --separator '' --steps 40 --seed 3"
)


def test_commands_of_a_method_on_text(plan):
    cell = plan().cell("cot", 3)
    evaluate = (
        "mixlm evaluate out/runs/cot-3 out/data/test.jsonl --batch-size 50 --latents free --out out/answers/cot-3.json"
    )
    assert lines(cell) == [*DATA, TRAIN_COT, evaluate]
    assert cell.name == "cot-3"
    assert [part.kind for part in cell.parts] == ["data", "data", "data", "train", "evaluate"]
    files = ["data/train.jsonl", "data/valid.jsonl", "data/test.jsonl", "runs/cot-3/mixlm.json", "answers/cot-3.json"]
    assert [part.finished for part in cell.parts] == [Path("out") / file for file in files]


def test_commands_of_a_method_with_codes(plan):
    assert lines(plan().cell("assorted", 0)) == [
        *DATA,
        "mixlm-encode out/data/train.jsonl --valid out/data/valid.jsonl --model out/model.yaml "
        "--out out/encoded/assorted-0 --separator '' --chunk-length 8 --seed 0",
        "mixlm-train out/encoded/assorted-0 --model out/model.yaml --out out/runs/assorted-0 --method assorted "
        "-o mix=uniform --steps 40 --bf16 --no-pack --seed 0",
        "mixlm evaluate out/runs/assorted-0 out/data/test.jsonl --batch-size 50 "
        "--latents free,exact:0%,25%,50%,100% --out out/answers/assorted-0.json",
    ]


def test_a_start_is_trained_first_and_is_the_model(plan):
    late = lines(plan().cell("late", 3))
    assert late[:4] == [*DATA, TRAIN_COT]
    assert late[4] == (
        "mixlm-train out/data/train.jsonl --model out/runs/cot-3 --out out/runs/late-3 --method coconut "
        "--valid out/data/valid.jsonl --separator '' --steps 9 --seed 3"
    )


def test_entries_with_the_same_stage_1_share_its_encoding(plan):
    encodings = {
        label: next(part.finished.parent.name for part in plan().cell(label, 0).parts if part.kind == "encode")
        for label in ("assorted", "random", "coarse")
    }
    assert encodings == {"assorted": "assorted-0", "random": "assorted-0", "coarse": "coarse-0"}


def test_what_is_begun_is_shared_by_an_entry_that_comes_to_stand_before_it(plan):
    Path("out/encoded/assorted-0").mkdir(parents=True)
    methods = {"random": GRID["methods"]["random"], **GRID["methods"]}
    found = plan(methods=methods)
    assert found.cell("assorted", 0).parts == plan().cell("assorted", 0).parts
    folders = [found.cell("random", seed).parts[3].finished.parent.name for seed in GRID["seeds"]]
    assert folders == ["assorted-0", "random-3"]


def test_a_pattern_of_answers_is_of_what_reads_text_alone(plan):
    found = plan(encode={"answer-pattern": "= (.*)"}, train={"answer-pattern": "= (.*)"})
    assert ["--answer-pattern" in line for line in lines(found.cell("cot", 0))[3:]] == [True, False]
    assert ["--answer-pattern" in line for line in lines(found.cell("assorted", 0))[3:]] == [True, False, False]


@pytest.mark.parametrize("sections", [("train",), ("encode",), ("evaluate",), ("train", "evaluate")])
def test_a_pattern_of_answers_for_some_methods_alone_is_refused(plan, sections):
    given = {"answer-pattern": "= (.*)"}
    with pytest.raises(
        InputError, match="would find other answers in the same rows; give one 'answer-pattern' to enc"
    ):
        plan(**{name: {**GRID[name], **given} for name in sections})


def test_test_rows_are_read_by_one_pattern(plan):
    """An entry's own would find other right answers; the model before training is told it as it is evaluated."""
    one, other = {"answer-pattern": "= (.*)"}, {"answer-pattern": "is (.*)"}
    refused = "give one 'answer-pattern' to encode, train and evaluate"
    learned = {"encode": {**GRID["encode"], **one}, "train": {**GRID["train"], **one}}
    with pytest.raises(InputError, match=f"'late' would find other answers in the same rows; {refused}"):
        plan(**learned, methods={"cot": None, "late": {"method": "cot", "evaluate": other}})
    with pytest.raises(InputError, match=f"'base' would find other answers in the same rows; {refused}"):
        plan(**learned, model="gpt2", methods={"cot": None, "base": None})
    assert plan(encode={**GRID["encode"], **one}, methods={"assorted": None})  # which reads what was encoded
    found = plan(**learned, model="gpt2", methods={"cot": None, "base": {"evaluate": one}})
    assert "--answer-pattern" in lines(found.cell("base", found.grid.seeds_of("base")[0]))[-1]


def test_shares_of_latents_need_test_rows_with_traces(plan, tmp_path):
    steps = {"train": ["1 = 1"], "valid": ["1 = 1"], "test": []}
    for split, own in steps.items():
        (tmp_path / f"{split}.jsonl").write_text(json.dumps({"question": "1?", "steps": own, "answer": "1"}) + "\n")
    data = {split: str(tmp_path / f"{split}.jsonl") for split in steps}
    found = plan(data=data, model="gpt2")
    with pytest.raises(InputError, match="test.jsonl: its rows have no trace, of which exact:100%, .* take a share"):
        run_cells(found, found.cells(), 1)
    assert not found.out.exists()
    found = plan(data={**data, "test": data["valid"]}, model="gpt2")
    _require_traces(found, found.cells())
    rows = [{"question": "1?", "steps": own, "answer": "1"} for own in ([], ["1 = 1"])]
    Path(data["test"]).write_text("".join(json.dumps(rows[number == 150]) + "\n" for number in range(151)))
    _require_traces(found := plan(data=data, model="gpt2"), found.cells())
    Path(data["test"]).write_text(json.dumps({"question": "1?", "answer": "1"}) + "\n")
    with pytest.raises(InputError, match="column 'answer' has no trace"):
        run_cells(found, found.cells(), 1)


def test_what_an_entry_makes_idle_is_told_before_anything_runs(plan):
    found = plan(encode={"merge": True}, methods={"cot": None, "b": {"method": "assorted", "encode": RECONSTRUCTION}})
    with pytest.raises(
        InputError, match="encode b-0: --merge does nothing with --objective reconstruction; leave it out"
    ):
        run_cells(found, found.cells(), 1)


def test_files_and_a_named_model_are_taken_as_they_are(plan):
    files = {"train": "my data/a.jsonl", "valid": "b.jsonl", "test": "c.jsonl"}
    cell = plan(data=files, model="gpt2").cell("cot", 0)
    train, evaluate = map(shlex.split, lines(cell))
    assert train[1:4] == ["my data/a.jsonl", "--model", "gpt2"]
    assert train[train.index("--valid") + 1] == "b.jsonl" and evaluate[3] == "c.jsonl"


def test_published_rows_are_loaded_without_a_seed_and_all_of_them_unless_told(plan):
    data = {"task": "gsm8k", "rows": {"train": 100}, "options": {"trace": "equations"}}
    assert lines(plan(data=data).cell("cot", 0))[:2] == [
        "mixlm data gsm8k --rows 100 --split train --trace equations --out out/data/train.jsonl",
        "mixlm data gsm8k --split valid --trace equations --out out/data/valid.jsonl",
    ]


def test_the_model_itself_is_evaluated_once_by_the_template(plan):
    made = plan(model="gpt2", methods={"base": None, "cot": None})
    assert [cell.name for cell in made.cells()] == ["base-0", "cot-0", "cot-3"]
    assert [cell.name for cell in made.cells(("base",), (3,))] == []
    (cell,) = made.cells(("base",))
    assert lines(cell) == [
        *DATA,
        "mixlm evaluate gpt2 out/data/test.jsonl --base --separator '' --batch-size 50 --latents free "
        "--out out/answers/base-0.json",
    ]
    check_command(cell.parts[-1].job, made.grid.path)


def test_what_is_left_empty_is_the_default(plan):
    data = {"task": "chain-arithmetic", "rows": GRID["data"]["rows"], "seed": None, "options": None}
    assert lines(plan(data=data).cell("cot", 0))[0] == (
        "mixlm data chain-arithmetic --rows 60 --split train --seed 0 --out out/data/train.jsonl"
    )


GRIDS = sorted([*RESULTS.glob("*.yaml"), *RESULTS.glob("gpu/*.yaml")])


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_grids_of_the_results_can_be_run(path, tmp_path):
    for part in {
        part.job.name: part for cell in Plan(read_grid(path), tmp_path).cells() for part in cell.parts
    }.values():
        check_command(part.job, path)


def test_cells_are_all_or_those_named(plan):
    made = plan()
    assert [cell.name for cell in made.cells()][:3] == ["cot-0", "cot-3", "assorted-0"] and len(made.cells()) == 10
    assert [cell.name for cell in made.cells(("late", "cot"), (3,))] == ["cot-3", "late-3"]
    with pytest.raises(InputError, match="--only x: not in grid.yaml; it has cot, assorted, random, coarse, late"):
        made.cells(("x",))
    with pytest.raises(InputError, match="--seed 1: not in grid.yaml; it has 0, 3"):
        made.cells((), (1,))


def test_the_command_of_a_cell_can_be_typed(plan):
    made = plan("my out")
    command = shlex.split(made.command(made.cell("cot", 3)))
    assert command == ["mixlm", "compare", "grid.yaml", "--out", "my out", "--only", "cot", "--seed", "3"]


def test_a_folder_is_the_same_however_it_is_given(plan, tmp_path):
    (tmp_path / "out").mkdir()
    commands = {
        tuple(lines(plan(out).cell("cot", 0))) for out in ("out", "./out/", str(tmp_path / "out"), "out/../out")
    }
    assert len(commands) == 1
    outside = plan(tmp_path.parent / "elsewhere")
    assert outside.out == tmp_path.parent / "elsewhere"


def identities(plan):
    return {part.job.name: part.identity for cell in plan.cells() for part in cell.parts}


def test_a_part_is_known_by_its_command_and_the_model_wherever_the_folder_lies(plan):
    before = identities(plan())
    assert len(set(before.values())) == len(before) == 3 + 4 + 10 + 10  # data, encodings, trainings, evaluations
    assert identities(plan("elsewhere/out")) == before

    def changed(**sections):
        after = identities(plan(**sections))
        return {name for name in before if after[name] != before[name]}

    assert changed(evaluate={"batch-size": 9}) == {name for name in before if name.startswith("evaluate")}
    assert changed(encode={"chunk-length": 4}) == {"encode assorted-0", "encode assorted-3"}
    assert changed(data={**GRID["data"], "rows": {"train": 61, "valid": 4, "test": 5}}) == {"data train"}
    late = {"train late-0", "train late-3"}  # their model is a run
    assert changed(model={"model_type": "gpt2"}) == {n for n in before if n[:5] in ("train", "encod")} - late
    late = {**GRID["methods"], "late": {"method": "coconut", "start": "cot"}}
    assert changed(methods=late) == {"train late-0", "train late-3"}


def test_an_encoding_is_done_when_its_manifest_says_so(plan):
    part = next(part for part in plan().cell("assorted", 0).parts if part.kind == "encode")
    assert not part.done()
    part.finished.parent.mkdir(parents=True)
    for done in (False, True):
        part.finished.write_text(json.dumps(whole_manifest(complete=done)))
        assert part.done() is done


def test_other_parts_are_done_when_their_file_is_there(plan):
    part = plan().cell("cot", 0).parts[-1]
    assert not part.done()
    part.finished.parent.mkdir(parents=True)
    part.finished.write_text("{}")
    assert part.done()
