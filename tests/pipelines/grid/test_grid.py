from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.grid.grid import Entry, Grid


COT = Entry("cot", "cot", train={"steps": 5}, evaluate={"latents": "free"})
ASSORTED = Entry("assorted", "assorted", {"mix": "uniform"}, None, {"steps": 3}, {"steps": 5}, {"latents": "free"})
COCONUT = Entry("late", "coconut", start="cot", train={"epochs": 3})
GRID = Grid(
    Path("g.yaml"),
    {"task": "chain-arithmetic", "rows": {"train": 5, "valid": 2, "test": 2}},
    {"model_type": "llama", "hidden_size": 8},
    {"separator": ""},
    {"cot": COT, "assorted": ASSORTED, "late": COCONUT},
    (0, 1),
)


def with_entry(name: str, **changes) -> Grid:
    entry = replace(GRID.entries[name], **changes)
    return replace(GRID, entries={**GRID.entries, name: entry})


def test_settings_are_all_that_an_entry_is_made_of():
    shared = {"data": GRID.data, "model": GRID.model, "template": {"separator": ""}}
    cot = {
        **shared,
        "method": "cot",
        "options": {},
        "start": None,
        "train": {"steps": 5},
        "evaluate": {"latents": "free"},
    }
    assert GRID.settings("cot") == cot
    own = {"method": "assorted", "options": {"mix": "uniform"}, "encode": {"steps": 3}}
    assert GRID.settings("assorted") == {**cot, **own}
    late = {"method": "coconut", "start": cot, "train": {"epochs": 3}, "evaluate": {}}
    assert GRID.settings("late") == {**cot, **late}


@pytest.mark.parametrize(
    "changed",
    [
        replace(GRID, path=Path("other.yaml")),
        replace(GRID, seeds=(5,)),
        replace(GRID, entries={"assorted": ASSORTED, "cot": COT, "more": replace(COT, label="more"), "late": COCONUT}),
        replace(GRID, model={"hidden_size": 8, "model_type": "llama"}),
        with_entry("cot", label="other", encode={"steps": 9}),  # cot has no stage 1
    ],
)
def test_what_does_not_matter_leaves_the_identity(changed):
    assert {label: changed.identity(label) for label in GRID.entries} == {
        label: GRID.identity(label) for label in GRID.entries
    }


@pytest.mark.parametrize(
    ("changed", "labels"),
    [
        (replace(GRID, data={**GRID.data, "seed": 1}), {"cot", "assorted", "late"}),
        (replace(GRID, model="other"), {"cot", "assorted", "late"}),
        (replace(GRID, template={"separator": " "}), {"cot", "assorted", "late"}),
        (with_entry("assorted", encode={"steps": 4}), {"assorted"}),
        (with_entry("assorted", options={}), {"assorted"}),
        (with_entry("assorted", method="random-codes"), {"assorted"}),
        (with_entry("assorted", evaluate={"latents": "text"}), {"assorted"}),
        (with_entry("cot", train={"steps": 6}), {"cot", "late"}),  # what it starts from is another
        (with_entry("cot", evaluate={"latents": "text"}), {"cot", "late"}),
        (with_entry("late", start=None), {"late"}),
        (with_entry("late", train={"epochs": 4}), {"late"}),
    ],
)
def test_what_matters_changes_the_identity_of_those_it_concerns(changed, labels):
    assert {label for label in GRID.entries if changed.identity(label) != GRID.identity(label)} == labels


def test_an_identity_does_not_change_between_versions():
    # Results that were written once are looked up by it.
    assert GRID.identity("cot") == "57c809caccc9"
