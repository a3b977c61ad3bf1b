import copy

import pytest
import yaml

from mixlm.errors import InputError
from mixlm.tasks import open_task
from pipelines.grid.parse import EVERY_LENGTH, read_grid


GRID = {
    "data": {"task": "chain-arithmetic", "rows": {"train": 60, "valid": 4, "test": 5}, "options": {"operations": 2}},
    "model": {"model_type": "llama", "hidden_size": 32},
    "template": {"separator": ""},
    "encode": {"chunk-length": 8, "steps": 60},
    "train": {"steps": 40, "batch-size": 32},
    "evaluate": {"batch-size": 50},
    "methods": {"cot": None, "assorted": {"options": {"mix": "uniform"}}},
    "seeds": [0, 1],
}


@pytest.fixture
def read(tmp_path):
    """A function that reads ``GRID`` with some sections replaced."""

    def read(**changes):
        path = tmp_path / "grid.yaml"
        path.write_text(yaml.safe_dump({**copy.deepcopy(GRID), **changes}, sort_keys=False))
        return read_grid(path)

    return read


def test_sections_and_methods_are_read_in_order(read, tmp_path):
    grid = read()
    assert grid.path == tmp_path / "grid.yaml"
    assert (grid.data, grid.model, grid.template) == (GRID["data"], GRID["model"], GRID["template"])
    assert list(grid.entries) == ["cot", "assorted"] and grid.seeds == (0, 1)
    assorted = grid.entries["assorted"]
    assert (assorted.label, assorted.method, assorted.options) == ("assorted", "assorted", {"mix": "uniform"})
    assert assorted.encode == {"chunk-length": 8, "steps": 60} and assorted.start is None
    assert assorted.train == {"steps": 40, "batch-size": 32}
    assert assorted.evaluate == {"batch-size": 50, "latents": EVERY_LENGTH}
    assert assorted.needs_codes and not grid.entries["cot"].needs_codes


def test_an_entry_goes_before_the_grid_option_by_option(read):
    own = {"method": "assorted", "train": {"steps": 9, "bf16": True}, "encode": {"steps": 7}, "evaluate": {"limit": 3}}
    grid = read(methods={"longer": own, "assorted": None})
    longer, other = grid.entries["longer"], grid.entries["assorted"]
    assert longer.method == "assorted"
    assert longer.train == {"steps": 9, "batch-size": 32, "bf16": True}
    assert longer.encode == {"chunk-length": 8, "steps": 7}
    assert longer.evaluate == {"batch-size": 50, "limit": 3, "latents": EVERY_LENGTH}
    assert other.train == GRID["train"] and other.encode == GRID["encode"]


def test_an_option_is_the_same_in_both_spellings(read):
    grid = read(train={"batch_size": 8}, methods={"cot": {"train": {"batch-size": 16}}, "sol-only": None})
    assert grid.entries["cot"].train == {"batch-size": 16}
    assert grid.entries["sol-only"].train == {"batch-size": 8}


def test_sections_that_may_be_left_out(read, tmp_path):
    grid = read(template=None, encode=None, train=None, evaluate=None)
    assert (grid.template, grid.entries["assorted"].train) == ({}, {})
    (tmp_path / "least.yaml").write_text(
        "data: {train: a.jsonl, valid: b.jsonl, test: c.jsonl}\nmodel: M\nmethods: {cot: }"
    )
    least = read_grid(tmp_path / "least.yaml")
    assert least.data == {"train": "a.jsonl", "valid": "b.jsonl", "test": "c.jsonl"}
    assert (least.model, least.seeds) == ("M", (0,))


def test_a_seed_named_twice_is_one(read):
    assert read(seeds=[3, 0, 3]).seeds == (3, 0)


@pytest.mark.parametrize(
    ("method", "latents"),
    [
        ("assorted", "free,exact:0%,25%,50%,100%"),
        ("random-codes", "free,exact:0%,25%,50%,100%"),
        ("assorted-poisson", "free,exact:0%,25%,50%,100%"),
        ("drop-prefix", "free,direct"),  # it has codes in training, none in its answers
        ("cot", "free"),
        ("coconut", "free"),
        ("pause", "free"),
    ],
)
def test_modes_of_decoding_follow_from_the_method(read, method, latents):
    assert read(methods={method: None}).entries[method].evaluate["latents"] == latents


@pytest.mark.parametrize(
    ("shared", "cot"),
    [
        ("free,exact:0%,50%", "free,exact:0%"),
        ("exact:100%", "free"),
        ("text,max:0,direct", "text,max:0,direct"),
        (["free", "max:2"], "free"),
    ],
)
def test_of_the_grids_modes_a_method_without_latents_takes_those_it_has(read, shared, cot):
    entries = read(evaluate={"latents": shared}).entries
    assert entries["cot"].evaluate["latents"] == cot
    assert entries["assorted"].evaluate["latents"] == (shared if isinstance(shared, str) else ",".join(shared))


def test_answers_are_compared_as_the_task_says_unless_the_grid_says_how(read, monkeypatch):
    monkeypatch.setattr(open_task("chain-arithmetic"), "CHECK", "number")
    select = {"cot": {"train": {"select": "accuracy"}}}
    entries = read(methods={**GRID["methods"], **select}, train={"select": "last"}).entries
    assert entries["assorted"].evaluate["check"] == "number"
    assert "check" not in entries["assorted"].train
    entries = read(train={"select": "accuracy"}).entries
    assert entries["assorted"].train["check"] == "number"
    assert read(evaluate={"check": "exact"}).entries["cot"].evaluate["check"] == "exact"


def test_the_model_itself_is_an_entry_without_training(read):
    own = {"method": "base", "evaluate": {"limit": 3}}
    grid = read(model="gpt2", methods={"base": None, "short": own, "cot": None}, evaluate={"latents": "free,exact:9"})
    base, short = grid.entries["base"], grid.entries["short"]
    assert base.untrained and not base.needs_codes and not grid.entries["cot"].untrained
    assert base.evaluate == {"latents": "free"} and short.evaluate == {**base.evaluate, "limit": 3}
    assert grid.seeds_of("base") == (0,) and grid.seeds_of("cot") == (0, 1)
    longer = read(model="gpt2", methods={"base": None}, evaluate={"latents": "free"}, train={"steps": 7})
    assert longer.identity("base") == grid.identity("base")


def test_published_rows_need_no_number(read):
    assert read(data={"task": "gsm8k"}).data == {"task": "gsm8k"}
    assert read(data={"task": "gsm8k", "rows": {"test": 5}}).data["rows"] == {"test": 5}


def of(section, **options):
    return {section: {name.replace("_", "-"): value for name, value in options.items()}}


def method(**keys):
    return {"methods": {"cot": keys}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metods": {}}, "no section is called 'metods'"),
        ({"data": None}, "section 'data' is missing"),
        ({"methods": {}}, "section 'methods' is missing"),
        ({"methods": ["cot"]}, "methods is no mapping"),
        ({"methods": {1: None}}, "methods has the name 1, .* quotes"),
        ({"methods": {"a/b": {"method": "cot"}}}, "'a/b' is no name for a method"),
        ({"methods": {"": {"method": "cot"}}}, "'' is no name"),
        ({"methods": {"asorted": None}}, "'asorted': .* no such method; choose from cot"),
        (method(steps=5), "no key of method 'cot' is called 'steps'"),
        (method(options={"mix": "uniform"}), "'cot': method option 'mix'"),
        (method(options={"mix": None}), "'mix' of 'cot' is empty"),
        (method(start="sol-only"), "'cot' starts from 'sol-only', which is no method"),
        (method(start=["cot"]), r"'cot' starts from \['cot'\]"),
        (method(start="cot"), "'cot' starts from itself"),
        ({"methods": {"base": None}}, "'base' is the model before training, and one from scratch knows nothing"),
        ({"methods": {"base": None}, "model": "a.yaml"}, "'base' is the model before training"),
        (
            {"methods": {"base": {"train": {"steps": 3}}}},
            "no key of method 'base' is called 'train'; choose from method, ev",
        ),
        ({"methods": {"base": None, "cot": {"start": "base"}}}, "'cot' starts from the grid's model in any case"),
        (of("evaluate", base=True), "evaluate cannot hold 'base'; write an entry 'base'"),
        (of("evaluate", separator=""), "evaluate cannot hold 'separator'; .* 'template'"),
        ({"methods": {"cot": {"start": "icot"}, "icot": {"start": "cot"}}}, "starts from itself"),
        (method(evaluate={"latents": "exact:50%"}), "'cot' writes no latents"),
        (of("evaluate", latents="half"), "--latents 'half': no such mode"),
        (of("encode", out="x"), "encode cannot hold 'out'"),
        (of("encode", model="m"), "encode cannot hold 'model'; write the section 'model'"),
        (of("encode", separator=""), "encode cannot hold 'separator'; .* 'template'"),
        (of("train", seed=3), "train cannot hold 'seed'; write the section 'seeds'"),
        (of("train", method="cot"), "train cannot hold 'method'"),
        (of("train", valid="v.jsonl"), "train cannot hold 'valid'; write the section 'data'"),
        (of("train", config="c.yaml"), "train cannot hold 'config'"),
        (of("evaluate", split="test"), "evaluate cannot hold 'split'"),
        (of("evaluate", endpoint="http://localhost:8000"), "evaluate cannot hold 'endpoint'; a server serves one run"),
        (of("evaluate", engine="vllm"), "evaluate cannot hold 'engine'; give --engine to mixlm compare"),
        (method(evaluate={"served_model": "m"}), "evaluate of 'cot' cannot hold 'served-model'"),
        (of("evaluate", concurrency=4), "evaluate cannot hold 'concurrency'"),
        (method(train={"out": "x"}), "train of 'cot' cannot hold 'out'"),
        (method(train={"stepz": 3}), "train of 'cot': unknown option 'stepz'; did you mean steps"),
        (method(train={"no-pack": True}), "train of 'cot': unknown option 'no-pack'; did you mean .*pack"),
        (of("evaluate", bf16=True), "evaluate: unknown option 'bf16'; the options are answer-pattern, batch"),
        (of("train", steps=None), "'steps' of train is empty"),
        (of("train", steps={"a": 1}), "'steps' of train is no text, number"),
        (of("train", save_every=False), "'save-every' of train is true or false, .* in quotes"),
        (method(train={"scheduler": True}), "'scheduler' of train of 'cot' is true or false"),
        (of("evaluate", latents=["free", False]), "'latents' of evaluate is true or false"),
        (of("template", separator=False), "'separator' of template is true or false"),
        ({"data": {**GRID["data"], "options": {"operations": True}}}, "'operations' of options of data is true or"),
        ({"data": {**GRID["data"], "seed": False}}, "'seed' of data is no whole number"),
        ({"train": {"batch-size": 1, "batch_size": 2}}, "train has 'batch-size' twice"),
        (of("template", steps=3), "no option of template is called 'steps'"),
        ({"model": 5}, "'model' is neither a name nor a mapping"),
        ({"seeds": 3}, "'seeds' is no list"),
        ({"seeds": []}, "'seeds' is no list"),
        ({"seeds": [-1]}, "'seeds' is no list"),
        ({"seeds": [2**32]}, "'seeds' is no list of whole numbers from 0 to below"),
        ({"seeds": [True]}, "'seeds' is no list"),
        ({"data": {"task": "chess"}}, "no such task"),
        ({"data": {**GRID["data"], "row": 3}}, "no key of data is called 'row'"),
        ({"data": {"task": "chain-arithmetic"}}, "how many rows of 'train'"),
        ({"data": {**GRID["data"], "rows": {"train": 5, "valid": 0, "test": 1}}}, "how many rows of 'valid'"),
        ({"data": {**GRID["data"], "rows": {"train": 5, "dev": 1}}}, "no split of data is called 'dev'"),
        ({"data": {**GRID["data"], "options": {"operations": None}}}, "'operations' of data is empty"),
        (
            {"data": {**GRID["data"], "options": {"operation": 2}}},
            "unknown option 'operation'; did you mean operations",
        ),
        ({"data": {**GRID["data"], "options": {"split": "test"}}}, "options of data cannot hold 'split'"),
        ({"data": {**GRID["data"], "options": {"rows": 5}}}, "cannot hold 'rows'; write it beside 'options'"),
        ({"data": {"train": "a.jsonl", "test": "c.jsonl"}}, "the file of data 'valid' is missing"),
        ({"data": {"train": 1, "valid": 2, "test": 3}}, "data names no files"),
        ({"data": {"train": "a", "valid": "b", "test": "c", "dev": "d"}}, "no file of data is called 'dev'"),
    ],
)
def test_mistakes_are_one_line_that_names_the_file(read, tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as error:
        read(**changes)
    assert "\n" not in str(error.value)
    if "no such task" not in message:
        assert str(error.value).startswith(f"{tmp_path / 'grid.yaml'}: ")


def test_a_task_without_one_of_the_splits_needs_files(read, monkeypatch):
    monkeypatch.setattr(open_task("chain-arithmetic"), "SPLITS", ("train", "test"))
    with pytest.raises(InputError, match="has no split 'valid'; name the three files instead"):
        read()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "section 'data' is missing"),
        ("- cot\n", "a grid is no mapping"),
        ("data:\n\ttask: x\n", "line 2: not valid YAML"),
        ("model: a\nseeds: [0]\nseeds: [1]\n", "line 3: 'seeds' stands twice"),
        ("methods:\n  cot: {}\n  sol-only: {}\n  cot: {train: {steps: 3}}\n", "line 4: 'cot' stands twice"),
        ("\x00", "not valid YAML"),
    ],
)
def test_what_is_no_grid_is_refused(tmp_path, text, message):
    (tmp_path / "grid.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_grid(tmp_path / "grid.yaml")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="no.yaml: cannot be read"):
        read_grid(tmp_path / "no.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        read_grid(tmp_path)
