import os
import re
import subprocess
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from mixlm.methods import METHODS, build_method
from mixlm.methods.mixing import PAPER_LENGTHS
from mixlm.methods.parse import parse_assignments
from mixlm.run import load_run
from pipelines.encode import main as encode
from pipelines.shared.command import command
from pipelines.shared.config_file import FOLDER, shipped_recipes
from pipelines.train import main as train
from tests.tiny_data import write_encoded, write_scratch


RESULTS = FOLDER.parents[1] / "docs" / "results"
RECIPES = shipped_recipes()
TRAINING = {name: path for name, path in RECIPES.items() if path.stem != "encode"}
TASKS = {"gsm8k", "prontoqa", "prosqa", "math"}
SOURCES = ("arXiv 2412.06769", "arXiv 2502.03275", "arXiv 2405.14838")
ROWS = 40  # one batch, so that 20 steps are 20 epochs and schedules move


def read(path: Path) -> tuple[str, dict, dict[str, str]]:
    """Return the comment at the top, the options, and the options of the method."""
    text = path.read_text(encoding="utf-8")
    head = re.match("(#.*\n)+", text)
    values = yaml.load(text, Loader=yaml.BaseLoader)
    comment = " ".join(line.lstrip("# ") for line in head.group().splitlines()) if head else ""
    return comment, values, parse_assignments(tuple(values.pop("method-option", ())))


def parse(main: click.Command, *arguments: object) -> dict:
    """Parse as the command does, without running it; whatever is wrong raises."""
    return main.make_context("test", [*map(str, arguments)]).params


def test_recipes_are_those_of_the_tasks_and_all_yaml_files_but_the_demo_s():
    assert {name.partition("/")[0] for name in RECIPES} == TASKS
    assert sorted([FOLDER / "demo.yaml", *RECIPES.values()]) == sorted(FOLDER.rglob("*.yaml"))


def test_every_method_has_a_recipe_and_every_task_a_first_stage():
    assert {path.stem for path in TRAINING.values()} == set(METHODS)
    assert {f"{task}/encode" for task in TASKS} < set(RECIPES)


@pytest.mark.parametrize("name", TRAINING)
def test_recipe_of_training_fits_the_command_and_the_method(name):
    _, values, options = read(TRAINING[name])
    given = parse(train, "data", "--config", name, "--out", "run")
    assert given["method"] == values["method"] == TRAINING[name].stem
    assert given["model"] == values["model"]
    for key in values.keys() - {"model", "method", "scheduler"}:
        read_back = given[key.replace("-", "_")]
        assert read_back == (values[key] == "true" if isinstance(read_back, bool) else float(values[key]))
    assert parse_assignments(given["method_option"]) == options
    method = build_method(given["method"], options)
    assert options.keys() <= method.options().keys()


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in TRAINING])
def test_recipe_of_encoding_fits_the_command(name):
    values = read(RECIPES[name])[1]
    given = parse(encode, "data", "--config", name, "--out", "encoded")
    assert {key: str(given[key.replace("-", "_")]) for key in values} == {**values, "learning-rate": "1e-05"}
    assert (given["chunk_length"], given["compression_rate"]) == (16, 16)
    assert given["codebook_size"] == (64 if name in ("prontoqa/encode", "prosqa/encode") else 1024)


@pytest.mark.parametrize("name", RECIPES)
def test_comment_names_the_source_and_accounts_for_every_value(name):
    comment, values, options = read(RECIPES[name])
    assert any(source in comment for source in SOURCES)
    sibling = re.search(r"Settings: those of ([\w-]+)\.yaml", comment)
    theirs, their_options = read(RECIPES[name].with_name(f"{sibling[1]}.yaml"))[1:] if sibling else ({}, {})
    taken = {*theirs.items(), *their_options.items()}
    for key, value in (*values.items(), *options.items()):
        named = re.search(rf"(?<![\w-]){key}(?![\w-])", comment)
        assert key == "method" or named or (key, value) in taken, f"{name}: where does {key} come from?"


def test_settings_that_a_method_shares_with_its_sibling_are_the_same():
    """Coconut and its ablations, assorted and its controls: they are compared, so nothing else may differ."""
    for task in TASKS - {"math"}:
        base = read(RECIPES[f"{task}/coconut"])
        for method in ("coconut-no-curriculum", "coconut-no-thought", "pause-as-thought", "cot", "sol-only", "pause"):
            _, values, options = read(RECIPES[f"{task}/{method}"])
            assert values.items() - {("method", method)} <= base[1].items()
            assert method == "pause" or options.items() <= base[2].items()
    controls = {name for name, method in METHODS.items() if "control" in method.source}
    assert len(controls) == 6
    for task in TASKS - {"gsm8k"}:
        _, values, options = read(RECIPES[f"{task}/assorted"])
        for control in controls:
            assert read(RECIPES[f"{task}/{control}"])[1:] == ({**values, "method": control}, options)


def draws(method):
    """Whether a method draws how much becomes latent, by the rule of its option ``mix``."""
    return method in METHODS and "mix" in build_method(method, {}).options()


def test_recipes_and_grids_name_how_m_is_drawn_and_how_the_rate_falls():
    """Another default changes no paper's settings and no published result's."""
    recipes = [read(path)[1:] for path in TRAINING.values()]
    named = [options for values, options in recipes if draws(values["method"])]
    assert all("scheduler" in values for values, _ in recipes)
    for path in RESULTS.rglob("*.yaml"):
        grid = yaml.safe_load(path.read_text(encoding="utf-8"))
        settings = {label: entry or {} for label, entry in (grid.get("methods") or {}).items()}
        named += [own.get("options", {}) for label, own in settings.items() if draws(own.get("method", label))]
        rates = [{**grid.get("train", {}), **own.get("train", {})} for own in settings.values()]
        assert not path.with_suffix(".jsonl").exists() or all("scheduler" in rate for rate in rates)
    assert len(named) > 40 and all("mix" in options for options in named)


def test_lengths_are_the_paper_s():
    options = read(RECIPES["math/assorted"])[2]
    assert build_method("assorted", options) == build_method("assorted", {"mix": "paper", "lengths": PAPER_LENGTHS})


def test_command_line_goes_before_a_recipe_and_adds_to_the_method_s_options():
    given = parse(train, "data", "--config", "prosqa/coconut", "--model", "other", "-o", "stages=2", "--out", "run")
    assert (given["model"], given["batch_size"]) == ("other", 128)
    assert parse_assignments(given["method_option"]) == {**read(RECIPES["prosqa/coconut"])[2], "stages": "2"}


def test_a_file_goes_before_a_recipe_of_the_same_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("gsm8k").mkdir()
    assert parse(train, "data", "--config", "gsm8k/cot", "--out", "run")["epochs"] == 25
    Path("gsm8k/cot").write_text("method: cot\nmodel: mine\nepochs: 3\n")
    assert parse(train, "data", "--config", "gsm8k/cot", "--out", "run")["epochs"] == 3


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("gsm8k/cocnut", "did you mean gsm8k/coconut, "),
        ("gsm8k/coconut.yaml", "did you mean gsm8k/coconut, "),
        ("gsm8k/xyz", "did you mean gsm8k/"),
        ("coconut", "did you mean gsm8k/coconut, prontoqa/coconut, prosqa/coconut"),
        ("math", "did you mean math/assorted, math/assorted-all, "),
        ("nowhere.yml", "no such file and no shipped recipe; `mixlm methods` lists the recipes"),
        (".", "File '.' is a directory"),
    ],
)
def test_what_is_neither_file_nor_recipe_is_one_line_that_names_the_close_ones(asked, answer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    @command("work")
    def work() -> None:
        raise AssertionError("not reached")

    result = CliRunner().invoke(work, ["--config", asked])
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"'{asked}'" in line
    assert answer in line


def test_recipe_of_another_command_is_refused_by_name_of_file_and_option():
    result = CliRunner().invoke(encode, ["data", "--config", "gsm8k/cot", "--out", "encoded"])
    assert result.exit_code == 2
    assert f"{Path('gsm8k', 'cot.yaml')}: unknown option 'method'" in result.stderr


def test_recipes_are_in_the_wheel(installed, tmp_path):
    program = "from pipelines.shared.config_file import shipped_recipes as s; [print(*item) for item in s().items()]"
    call = [installed / "python", "-c", program]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(call, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
    found = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert list(found) == list(RECIPES)
    assert all(path.startswith(str(installed.parent / "lib")) for path in found.values())


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """The data and the model of a toy run."""
    folder = tmp_path_factory.mktemp("toy")
    return write_encoded(folder, ROWS), write_scratch(folder)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_from_its_recipe(method, toy, tmp_path):
    data, model = toy
    name = next(f"{task}/{method}" for task in ("gsm8k", "math") if f"{task}/{method}" in RECIPES)
    size = ["--model", model, "--steps", 20, "--batch-size", ROWS, "--out", tmp_path / "run"]
    result = CliRunner().invoke(train, [str(data), "--config", name, *map(str, size)])
    assert result.exit_code == 0, result.output
    run = load_run(tmp_path / "run")
    assert run.method_name == method
    assert (run.path / "model.safetensors").is_file()
    assert run.method.options() == build_method(method, read(RECIPES[name])[2]).options()
    assert run.arguments["learning_rate"] == float(read(RECIPES[name])[1]["learning-rate"])
