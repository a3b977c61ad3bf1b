import json
import sys

import pytest
import yaml
from click.testing import CliRunner

from pipelines import demo
from pipelines.cli import main
from pipelines.demo_plan import MODELS, plan_demo, read_recipe
from tests.report_data import read_report
from tests.toy_recipe import DATA, ROWS, STAGES
from vqvae.one_writer import one_writer


MISSING = object()
TOY = {
    "rows": ROWS,
    "data": DATA,
    **STAGES,
    "evaluate": {"latents": "free,exact:0%,exact:100%"},
}


@pytest.fixture(scope="module")
def toy(tmp_path_factory, warm):
    folder = tmp_path_factory.mktemp("demo")
    (folder / "toy.yaml").write_text(yaml.safe_dump(TOY))
    arguments = ["demo", "--out", str(folder / "out"), "--seed", "3", "--recipe", str(folder / "toy.yaml")]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "executable", warm)
        result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return folder / "out", result.output


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_summary_holds_what_the_evaluations_measured(toy):
    out, _ = toy
    summary = read(out / "summary.json")
    for name in MODELS:
        evaluation = read(out / f"evaluation-{name}.json")
        records = [json.loads(line) for line in (out / f"evaluation-{name}.jsonl").read_text().splitlines()]
        free = [record for record in records if record["latents"] == "free"]
        assert len(free) == TOY["rows"]["test"]
        assert summary[name]["accuracy"] == sum(record["right"] for record in free) / len(free)
        assert summary[name]["tokens"] == pytest.approx(sum(one["tokens"]["total"] for one in free) / len(free))
        assert summary[name]["interval"] == evaluation["modes"]["free"]["interval"]
        assert summary[name]["modes"].keys() == evaluation["modes"].keys()
        assert read(out / name / "mixlm.json")["method_name"] == MODELS[name]
    assert summary["assorted"]["modes"]["exact:100%"]["latents"] == TOY["data"]["operations"]
    assert summary["assorted"]["modes"]["exact:0%"]["latents"] == 0


def test_summary_holds_what_stage_1_measured(toy):
    out, _ = toy
    summary, manifest = read(out / "summary.json"), read(out / "encoded" / "manifest.json")
    assert manifest["codebook"]["measured_on"] == "valid"
    for name in ("used", "perplexity", "token_accuracy", "unigram_accuracy", "code_gap", "codebook_size"):
        assert summary["stage1"][name] == manifest["codebook"][name]
    steps = {step for line in (out / "train.jsonl").read_text().splitlines() for step in json.loads(line)["steps"]}
    assert summary["stage1"]["distinct_chunks"] == len(steps)


def test_seconds_of_every_command_are_told(toy):
    out, _ = toy
    seconds = read(out / "summary.json")["seconds"]
    trainings, evaluations = ({f"{what}_{name}" for name in MODELS} for what in ("train", "evaluate"))
    data = {"data_train", "data_valid", "data_test"}
    assert seconds.keys() == {*data, "encode", *trainings, *evaluations, "answers", "report", "total"}
    assert all(value > 0 for value in seconds.values()) and seconds["total"] >= max(seconds.values())


def test_every_command_is_shown_and_kept(toy):
    out, output = toy
    lines = [line for line in (out / "commands.sh").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in output.splitlines() if line.startswith("$ ")] == [f"$ {line}" for line in lines]
    seeded = [line for line in lines if line.startswith(("mixlm data", "mixlm-encode", "mixlm-train"))]
    assert len(seeded) == 3 + 1 + len(MODELS) and all("--seed 3" in line for line in seeded)
    assert f"mixlm-generate {out / 'assorted'} --input {out / 'questions.jsonl'} --explain" in lines
    assert "codes used" in output and "fewer tokens" in output


def test_three_test_questions_are_answered(toy):
    out, _ = toy
    questions = [json.loads(line)["question"] for line in (out / "questions.jsonl").read_text().splitlines()]
    tested = [json.loads(line)["question"] for line in (out / "test.jsonl").read_text().splitlines()]
    assert len(questions) == 3 and questions == tested[:3]


def test_a_page_shows_the_models_their_figures_and_their_answers(toy):
    out, output = toy
    assert f"\n{out / 'report.html'} shows the models, every code and the answers: open it in a browser.\n" in output
    data = read_report(out / "report.html")
    assert [run["name"] for run in data["runs"]] == [*MODELS]
    for run in data["runs"]:
        measured = read(out / "summary.json")[run["name"]]["modes"]
        assert {mode: one["accuracy"] for mode, one in run["modes"].items()} == {
            mode: one["accuracy"] for mode, one in measured.items()
        }
    assert {len(column["answers"]) for column in data["columns"]} == {TOY["rows"]["test"]}
    assert data["runs"][1]["codebook"]["codes"][0].keys() >= {"count", "seen", "neighbours"}


def test_a_folder_of_an_earlier_demo_starts_anew_and_keeps_what_is_not_the_demos(tmp_path):
    out, recipe = tmp_path / "demo", read_recipe(demo.RECIPE)
    plan = plan_demo(recipe, out, seed=0)
    demo.prepare(out, plan, recipe["model"])
    (out / "encoded").mkdir()
    (out / "encoded" / "manifest.json").write_text("{}")
    (out / "summary.json").write_text("{}")
    (out / "my-notes.txt").write_text("mine")
    demo.prepare(out, plan, recipe["model"])
    assert sorted(path.name for path in out.iterdir()) == ["commands.sh", "model.yaml", "my-notes.txt"]


def test_two_demos_do_not_write_into_one_folder(tmp_path):
    with one_writer(tmp_path / "demo"):
        result = CliRunner().invoke(main, ["demo", "--out", str(tmp_path / "demo")])
    assert result.exit_code == 1 and f"{tmp_path / 'demo'}: another command writes there" in result.stderr


def test_a_folder_of_somebody_else_is_refused_and_untouched(tmp_path):
    (tmp_path / "train.jsonl").write_text("mine")
    result = CliRunner().invoke(main, ["demo", "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {tmp_path}: exists and is not from an earlier demo")
    assert [path.name for path in tmp_path.iterdir()] == ["train.jsonl"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rows": MISSING}, "has the sections rows, data, model"),
        ({"rows": 5}, "section 'rows' is no mapping"),
        ({"model": None}, "section 'model' is no mapping"),
        ({"model": {"model_type": "llama", "hidden_sise": 8}}, "hidden_sise"),
        ({"rows": {"train": 5, "test": 5}}, "how many rows train, valid, test have"),
        ({"rows": {"train": 5, "valid": 2, "test": "many"}}, "data_test: Invalid value for '--rows': 'many'"),
        ({"evaluate": {"latents": "exact:100%"}}, "add free to latents"),
        ({"train": {"stepps": 3}}, "train: unknown option 'stepps'"),
        ({"train": {"pakc": False}}, "train: unknown option 'pakc'"),
        ({"train": {"steps": False}}, "'steps' of train is true or false"),
        ({"encode": {True: 3}}, "encode has the name True"),
        ({"evaluate": {"latents": "free,exakt:100%"}}, "exakt"),
        ({"encode": {"codebook-size": "big"}}, "encode: Invalid value for '--codebook-size'"),
    ],
)
def test_a_recipe_with_a_mistake_is_refused_before_anything_is_written(tmp_path, changed, message):
    recipe = {**read_recipe(demo.RECIPE), **changed}
    recipe = {section: values for section, values in recipe.items() if values is not MISSING}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    arguments = ["demo", "--out", str(tmp_path / "out"), "--recipe", str(tmp_path / "recipe.yaml")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1 and result.stderr.startswith(f"Error: {tmp_path / 'recipe.yaml'}: ")
    assert message in result.stderr and len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_flags_of_a_recipe_are_typed_as_such_and_an_empty_section_is_none(tmp_path):
    recipe = {**yaml.safe_load(demo.RECIPE.read_text()), "template": None, "train": {"bf16": True, "pack": False}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    plan = plan_demo(read_recipe(tmp_path / "recipe.yaml"), tmp_path, seed=0)
    plan.check(tmp_path / "recipe.yaml")
    assert plan.text.arguments[-4:] == ("--bf16", "--no-pack", "--seed", "0")


def test_commands_of_the_recipe_are_valid_and_the_codebook_smaller_than_its_task(tmp_path):
    recipe = read_recipe(demo.RECIPE)
    plan = plan_demo(recipe, tmp_path, seed=1)
    for job in (*plan.data, plan.first, plan.text, *plan.second, *plan.evaluation, plan.answers, plan.report):
        name, *rest = job.arguments
        command = main.get_command(None, name)
        if name == "data":
            command = command.get_command(None, rest.pop(0))
        values = command.make_context(name, rest).params
        assert values.get("seed", 1) == (0 if name in ("evaluate", "generate") else 1)
    assert recipe["encode"]["codebook-size"] < 200
