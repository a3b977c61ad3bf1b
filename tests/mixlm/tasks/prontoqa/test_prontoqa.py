import json
from collections import Counter
from itertools import islice

import pytest

from mixlm.errors import InputError
from mixlm.tasks.prontoqa import task as prontoqa
from mixlm.tasks.prontoqa.task import SPLITS, load
from mixlm.tasks.prontoqa.words import CONCEPTS, FAMILIES, NAMES
from tests.mixlm.tasks.generating import generator
from tests.mixlm.tasks.prontoqa.prontoqa_reading import read_question


generate = generator(prontoqa)
SMALL = {"hops": 1, "distractors": False, "concepts": 3, "families": 2, "names": 2}
SMALLEST = {**SMALL, "families": 1, "names": 1}


def world_of(row: dict) -> frozenset:
    """What the sentences of a question say, in whatever form and order."""
    return frozenset(it[:3] for it in read_question(row["question"]).statements)


@pytest.fixture
def published(tmp_path):
    """A file of 1,003 rows in the layout of the published ones."""
    rows = [{"question": f"True or false: {n}", "steps": ["s"], "answer": "True", "idx": n} for n in range(1003)]
    path = tmp_path / "prontoqa_train.json"
    path.write_text(json.dumps(rows))
    return path


def test_same_seed_same_rows_another_seed_others():
    assert list(generate(40, seed=3)) == list(generate(40, seed=3))
    assert list(generate(40, seed=3)) == list(islice(generate(400, seed=3), 40))
    assert list(generate(40, seed=3)) != list(generate(40, seed=4))


def test_rows_are_what_they_were_when_results_were_published():
    row = next(generate(1, hops=1))
    assert row["question"] == (
        "Every vumpus is not overcast. Each rompus is not fruity. Lempuses are sterpuses. Wumpuses are happy. "
        "Each lempus is a wumpus. Each lempus is overcast. Rompuses are impuses. Polly is a lempus. "
        "Polly is a rompus. True or false: Polly is overcast."
    )
    assert row["steps"] == ["Polly is a lempus. Each lempus is overcast.", "Polly is overcast."]
    assert row["answer"] == "True"


@pytest.mark.parametrize("shape", [SMALL, {**SMALL, "balanced": True, "concepts": 4, "families": 1}], ids=str)
def test_a_world_is_in_one_split_however_it_is_asked_about_and_worded(shape):
    worlds = {split: {world_of(row) for row in generate(150, split, seed=7, **shape)} for split in SPLITS}
    assert all(worlds.values())
    for split in SPLITS:
        for other in set(SPLITS) - {split}:
            assert not worlds[split] & {world_of(row) for row in generate(150, other, seed=8, **shape)}
    repeated = Counter(world_of(row) for row in generate(150, "valid", seed=7, **shape))
    assert max(repeated.values()) > 1, "no world was asked about twice, so the test shows nothing"


def test_a_question_comes_once_and_splits_have_eight_one_and_one_of_ten_worlds():
    rows = {split: [row["question"] for row in generate(300, split, **SMALL)] for split in SPLITS}
    assert all(len(set(questions)) == 300 for questions in rows.values())
    every = Counter()
    for split in SPLITS:
        found = {world_of(row) for seed in range(3) for row in generate(1500, split, seed=seed, **SMALL)}
        every[split] = len(found)
    # Two names; 3 classes in order; 2 families, of 4 and 2 words, of which one is denied or affirmed.
    assert sum(every.values()) == 2 * 6 * (4 + 2) * 2
    assert 0.7 < every["train"] / every.total() < 0.9


def test_no_more_questions_is_an_error_that_names_the_remedy(monkeypatch):
    monkeypatch.setattr("mixlm.tasks.prontoqa.task._FRUITLESS_DRAWS", 200)
    with pytest.raises(InputError, match=r"--rows 100000: split 'test' has \d+ different questions .* more --hops"):
        list(generate(100_000, "test", **SMALLEST))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hops": 0}, "--hops 0: give 1 or more"),
        ({"concepts": 13}, "--concepts 13: give 14 to 71 for --hops 5"),
        ({"concepts": 72}, "--concepts 72: give 14 to 71 for --hops 5"),
        ({"hops": 7, "families": 13}, "--families 13: give 15 to 21 for --hops 7"),
        ({"hops": 11}, "--hops 11: would take 23 families and there are 21; give fewer"),
        ({"balanced": True, "hops": 3, "concepts": 17}, "--concepts 17: give 18 to 71"),
        ({"balanced": True, "hops": 2, "names": 1}, "--names 1: give 2 to 23"),
        ({"split": "dev"}, "split 'dev': there is none; choose from train, valid, test"),
    ],
)
def test_wrong_options_are_errors_before_any_row(options, message):
    with pytest.raises(InputError, match=message):
        next(generate(1, **options))


@pytest.mark.parametrize("shape", [{"hops": 10, "concepts": 24, "families": 21}, {"hops": 6}, SMALL])
def test_the_least_vocabulary_is_enough(shape):
    least = dict(shape, names=1)
    rows = list(generate(20, **least))
    assert {read_question(row["question"]).asked.subject for row in rows} == {NAMES[0]}
    assert {len(row["steps"]) for row in rows} == {shape["hops"] + 1}


def test_words_are_different_and_are_told_apart_by_their_endings():
    words = [word for family in FAMILIES for word in family]
    for kind in (CONCEPTS, words, NAMES):
        assert len(set(kind)) == len(kind)
    assert all(concept.endswith("pus") for concept in CONCEPTS)
    assert not any(word.endswith(("pus", "puses")) for word in words)


@pytest.mark.parametrize(
    ("options", "concepts", "families"),
    [({"hops": 1}, 17, 13), ({}, 17, 13), ({"hops": 10}, 24, 21), ({"balanced": True}, 26, 13)],
)
def test_the_vocabulary_is_the_published_one_or_as_large_as_a_world_takes(options, concepts, families):
    rows = list(generate(30, **options))
    assert rows == list(generate(30, **options, concepts=concepts, families=families))
    assert rows != list(generate(30, **options, concepts=concepts + 1, families=families))


def test_larger_vocabularies_are_used():
    rows = [read_question(row["question"]) for row in generate(400, concepts=71, families=21, names=23)]
    used = {word for row in rows for it in row.statements for word in it[:2]}
    assert used == {*CONCEPTS, *NAMES} | {word for family in FAMILIES for word in family}


def test_test_is_the_last_thousand_rows_and_train_the_others(published):
    train, test = list(load("train", source=published)), list(load("test", source=published))
    assert train == [{"question": f"True or false: {n}", "steps": ["s"], "answer": "True"} for n in range(3)]
    assert [row["question"] for row in test] == [f"True or false: {n}" for n in range(3, 1003)]
    assert len(list(load("valid", source=published))) == 1003


def test_a_file_too_small_or_of_another_kind_is_an_error(tmp_path, published):
    other = tmp_path / "other.jsonl"
    other.write_text('{"question": "q", "steps": ["s"], "answer": "yes"}\n')
    with pytest.raises(InputError, match="other.jsonl:1: needs a question, a list of steps and the answer True or"):
        list(load("valid", source=other))
    published.write_text(json.dumps(json.loads(published.read_text())[:1000]))
    with pytest.raises(InputError, match="1000 rows, and the last 1,000 are the test"):
        list(load("train", source=published))
    with pytest.raises(InputError, match="split 'dev': there is none"):
        list(load("dev", source=published))


def test_without_the_data_both_remedies_are_named(monkeypatch):
    monkeypatch.delenv("MIXLM_DATA", raising=False)
    with pytest.raises(InputError, match="prontoqa_valid.json.* MIXLM_DATA .*--source"):
        list(load("valid"))


def test_real_data_splits_share_no_question_nor_world(data_folder):
    rows = {split: list(load(split)) for split in SPLITS}
    assert {split: len(found) for split, found in rows.items()} == {"train": 8000, "valid": 200, "test": 1000}
    assert len({row["question"] for found in rows.values() for row in found}) == 9200
    assert len({world_of(row) for found in rows.values() for row in found}) == 9200
