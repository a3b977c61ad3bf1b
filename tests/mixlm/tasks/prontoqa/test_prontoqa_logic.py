"""The answer of a row follows from its question alone, in one way, and the steps are that way."""

from collections.abc import Callable
from itertools import product

import pytest

from mixlm.tasks.prontoqa import task as prontoqa
from mixlm.tasks.prontoqa.task import load
from mixlm.tasks.prontoqa.words import FAMILIES
from tests.mixlm.tasks.generating import generator
from tests.mixlm.tasks.prontoqa.prontoqa_reading import (
    Reading,
    Statement,
    proofs,
    read_question,
    read_sentence,
    read_steps,
    sentences,
    steps_of,
)


generate = generator(prontoqa)
WIDE = {"concepts": 71, "families": 21}
SHAPES = [
    {"hops": hops, "distractors": distractors, "balanced": balanced, **WIDE}
    for hops, distractors, balanced in product((1, 2, 3, 5, 8), (True, False), (True, False))
]
QUESTION = (
    "Every wumpus is not shy. Each jompus is a wumpus. Each impus is shy. Jompuses are impuses. "
    "Alex is a vumpus. Alex is a jompus. True or false: Alex is shy."
)


def assert_sound(row: dict, hops: int) -> None:
    reading = read_question(row["question"])
    (way,) = proofs(reading)
    assert len(way) == hops + 1
    assert row["answer"] == str(way[-1].denied == reading.asked.denied)
    assert read_steps(row["steps"]) == steps_of(way)
    given = set(sentences(row["question"].split(" True or false: ")[0]))
    facts = {row["steps"][0].partition(".")[0] + "."}
    for step in row["steps"]:
        fact, *rules = sentences(step)
        assert fact in facts | given
        assert set(rules) <= given
        facts = {sentence_about(reading.asked.subject, read_sentence(rule)) for rule in rules}


def sentence_about(entity: str, rule: Statement) -> str:
    """What a rule says of an entity, in words."""
    noun = rule.predicate
    if noun.endswith("pus"):
        noun = f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
    return f"{entity} is {'not ' if rule.denied else ''}{noun}."


def assert_consistent(reading: Reading) -> None:
    """Nothing is said and denied of an entity, and no class has two properties of a family."""
    family_of = {word: family for family in FAMILIES for word in family}
    for entity in {it.subject for it in reading.statements if it.form == "entity"}:
        seen, families = {entity}, []
        waiting = [entity]
        while waiting:
            for it in reading.about(waiting.pop()):
                if it.predicate in family_of:
                    families.append(family_of[it.predicate])
                else:
                    assert it.predicate not in seen
                    seen.add(it.predicate)
                    waiting.append(it.predicate)
        assert len(set(families)) == len(families)


def test_the_prover_finds_every_way_there_is_and_no_other():
    reading = read_question(QUESTION)
    found = proofs(reading)
    assert sorted([it.subject for it in way] for way in found) == [
        ["Alex", "jompus", "impus"],
        ["Alex", "jompus", "wumpus"],
    ]
    assert {way[-1].denied for way in found} == {True, False}
    assert proofs(read_question(QUESTION.replace("Alex is a jompus", "Alex is a lempus"))) == []


@pytest.mark.parametrize(
    "wrong", ["Each wumpus are shy.", "wumpuses are shy.", "Wumpuses are an impus.", "Wumpus is."]
)
def test_the_reader_knows_four_forms_only(wrong):
    with pytest.raises(AssertionError):
        read_sentence(wrong)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_answer_follows_in_one_way_and_the_steps_are_it(shape):
    for row in generate(40, **shape):
        assert_sound(row, shape["hops"])
        assert_consistent(read_question(row["question"]))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_world_has_the_sentences_and_classes_of_its_shape(shape):
    hops, distractors, balanced = shape["hops"], shape["distractors"], shape["balanced"]
    for row in generate(10, **shape):
        said = read_question(row["question"]).statements
        branch = 4 * hops + 2 if distractors else 2 * hops
        assert sum(it.form != "entity" for it in said) == (2 * branch if balanced else branch + 1)
        assert sum(it.form == "entity" for it in said) == (1 + distractors) * (1 + balanced)
        assert all(it.form == "entity" for it in said[-(1 + distractors) * (1 + balanced) :])
        classes = {word for it in said for word in it[:2] if word.endswith("pus")}
        branch = 2 * hops + 3 if distractors else hops + 1
        assert len(classes) == (2 * branch if balanced else branch + 1)


def rate(rows: list[dict], guess: Callable[[Reading], bool]) -> float:
    """How often a guess that only looks at a question is the answer."""
    return sum(str(guess(read_question(row["question"]))) == row["answer"] for row in rows) / len(rows)


def asked_affirmed(reading: Reading) -> bool:
    return not reading.asked.denied


def first_said(reading: Reading) -> bool:
    said = [it for it in reading.statements if it.predicate == reading.asked.predicate]
    return said[0].denied == reading.asked.denied


def said_of_the_class_named_most(reading: Reading) -> bool:
    said = [it for it in reading.statements if it.predicate == reading.asked.predicate]
    named = [word for it in reading.statements for word in it[:2]]
    return max(said, key=lambda it: named.count(it.subject)).denied == reading.asked.denied


@pytest.mark.parametrize(("distractors", "hops"), [*product((True, False), (1, 2, 3))])
def test_balanced_the_other_name_in_the_question_makes_the_other_answer_right(distractors, hops):
    rows = list(generate(100, balanced=True, distractors=distractors, hops=hops, **WIDE))
    for row in rows:
        world, asked = row["question"].split(" True or false: ")
        names = {it.subject for it in read_question(row["question"]).statements if it.form == "entity"}
        entity, other = sorted(names, key=asked.startswith, reverse=True)
        turned = read_question(f"{world} True or false: {asked.replace(entity, other)}")
        (way,) = proofs(turned)
        assert len(way) == hops + 1
        assert str(way[-1].denied == turned.asked.denied) != row["answer"]


@pytest.mark.parametrize("hops", [1, 3])
def test_balanced_no_cue_tells_the_answer_and_otherwise_one_does(hops):
    rows = list(generate(2000, balanced=True, hops=hops, **WIDE))
    for cue in (asked_affirmed, first_said, said_of_the_class_named_most):
        assert rate(rows, cue) == pytest.approx(0.5, abs=4 * 0.5 / 2000**0.5)
    assert rate(list(generate(200, hops=hops)), said_of_the_class_named_most) == 1


def test_the_form_of_a_question_tells_a_little_of_the_answer_unless_balanced():
    noise = 4 * 0.5 / 9000**0.5
    rows = {balanced: generate(9000, hops=1, distractors=False, balanced=balanced) for balanced in (True, False)}
    assert rate(list(rows[True]), asked_affirmed) == pytest.approx(0.5, abs=noise)
    # A chain ends in a denial in 0.7 / 1.7 of (0.7 / 1.7 + 2 x 0.3 / 1.3) questions: 47.15 %.
    assert rate(list(rows[False]), asked_affirmed) == pytest.approx(1 - 0.4715, abs=noise)


def test_real_data_answers_follow_in_one_way_of_five_hops(data_folder):
    for split in ("train", "valid", "test"):
        for row in load(split):
            assert_sound(row, hops=5)


def test_real_data_cues_are_worth_as_much_as_in_generated_rows(data_folder):
    real, ours = list(load("train"))[:4000], list(generate(4000))
    noise = 4 * 0.5 * (2 / 4000) ** 0.5
    for cue in (asked_affirmed, first_said, said_of_the_class_named_most):
        assert rate(ours, cue) == pytest.approx(rate(real, cue), abs=noise)
    # Nothing else is said of the class that has the opposite property: the published rows give their answer away.
    assert rate(real, said_of_the_class_named_most) == 1
