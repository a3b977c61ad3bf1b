"""ProntoQA (Saparov and He 2022): is it true of an entity, through the classes of an invented world?

A row of two hops; five are the default::

    {"question": "Wumpuses are not shy. Jompuses are small. Each jompus is a wumpus. Each impus is shy. Jompuses are
                  rompuses. .. Alex is a vumpus. Alex is a jompus. True or false: Alex is shy.",
     "steps": ["Alex is a jompus. Each jompus is a wumpus.", "Alex is a wumpus. Wumpuses are not shy.",
               "Alex is not shy."],
     "answer": "False"}

Published rows are those of Coconut (Hao et al. 2024): 9,000 and 200 of five hops, made with the generator of the
task's authors, github.com/asaparov/prontoqa (Apache-2.0), fictional ontologies, sentences in random order. "valid" is
the 200, "test" the last 1,000 of the 9,000, "train" the others.

Generated rows have the words, the forms, the worlds (see ``worlds``) and the frequencies of the published
ones. A world, whatever is asked of it and however its sentences are put and ordered, belongs to one split for good.

Published and generated rows alike can be answered by a look: of the two classes that have the property in question or
its opposite, the one that no other sentence names is the wrong one. Balanced rows cannot: another name in the question
is as likely and makes the other answer right.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mixlm.data.reading import RawRow, read_rows
from mixlm.errors import InputError
from mixlm.tasks.prontoqa.words import (
    CONCEPTS,
    FAMILIES,
    NAMES,
    PUBLISHED_CONCEPTS,
    PUBLISHED_FAMILIES,
    PUBLISHED_NAMES,
    plural,
    with_article,
)
from mixlm.tasks.prontoqa.worlds import Fact, Shape, World, draw_world
from mixlm.tasks.sources import find
from mixlm.tasks.splits import SPLITS, require_split, split_of
from vqvae.option_types import require_types


CHECK = "exact"
ANSWERS = ("False", "True")
_TEST_ROWS = 1000
_FORMS = ("plural", "plural", "Each", "Every")  # as often in the published rows
_FRUITLESS_DRAWS = 10_000


@dataclass(frozen=True)
class Options:
    """What can be chosen about the rows.

    Attributes:
        hops: Rules from the entity's class to the property in question. A row has a step more.
        distractors: Give every class on the way a further parent and the entity a further class.
        balanced: Give the opposite property to a second entity, by as many hops, instead of to a class that nothing
            else is said of. No cue then tells the answer without the way to it.
        concepts: Names of classes to choose from. By default the 17 of the published rows, or all that a world takes.
        families: Families of properties to choose from, such as hot, cold and temperate. By default the 13 of the
            published rows, or all that a world takes.
        names: Names of entities to choose from.
    """

    hops: int = 5
    distractors: bool = True
    balanced: bool = False
    concepts: int | None = None
    families: int | None = None
    names: int = PUBLISHED_NAMES

    def __post_init__(self) -> None:
        """Raise an ``InputError`` if a value is not of its option's type, or there are no such worlds."""
        require_types(self)
        self.shape()

    def shape(self) -> Shape:
        """Return the shape of the worlds.

        Raises:
            InputError: If an option is too small or too large.
        """
        if self.hops < 1:
            raise InputError(f"--hops {self.hops}: give 1 or more")
        least = Shape.least(self.hops, self.distractors, self.balanced)
        usual = {"concepts": PUBLISHED_CONCEPTS, "families": PUBLISHED_FAMILIES}
        given = {"concepts": self.concepts, "families": self.families, "names": self.names}
        for (option, number), words in zip(given.items(), (CONCEPTS, FAMILIES, NAMES), strict=True):
            if least[option] > len(words):
                raise InputError(
                    f"--hops {self.hops}: would take {least[option]} {option} and there are {len(words)}; give fewer"
                )
            if number is None:
                given[option] = max(usual[option], least[option])
            elif not least[option] <= number <= len(words):
                raise InputError(f"--{option} {number}: give {least[option]} to {len(words)} for --hops {self.hops}")
        return Shape(self.hops, self.distractors, self.balanced, **given)


def generate(rows: int, split: str = "train", seed: int = 0, options: Options = Options()) -> Iterator[RawRow]:
    """Yield rows with different questions; see ``mixlm.tasks``.

    Raises:
        InputError: If there is no such split, an option is too small or too large, or new questions are no longer
            found.
    """
    require_split(split, SPLITS)
    shape = options.shape()
    rng = random.Random(seed)
    seen: set[str] = set()
    fruitless = 0
    while len(seen) < rows:
        world = draw_world(rng, shape)
        row = _row(rng, world) if split_of(world.key()) == split else None
        if row and row["question"] not in seen:
            seen.add(row["question"])
            fruitless = 0
            yield row
        elif (fruitless := fruitless + 1) == _FRUITLESS_DRAWS:
            raise InputError(
                f"--rows {rows}: split '{split}' has {len(seen)} different questions and hardly more; give more "
                "--hops, --concepts, --families or --names"
            )


def load(split: str = "train", *, source: str | Path | None = None) -> Iterator[RawRow]:
    """Yield the rows of a split in the order of the published file.

    Args:
        split: One of ``SPLITS``.
        source: The published file: of 9,000 rows for "train" and "test", of 200 for "valid". By default
            prontoqa/prontoqa_train.json or prontoqa_valid.json in the folder named by MIXLM_DATA.

    Raises:
        InputError: If the file is not given or not there, a row is of another kind, or there are too few rows to keep
            1,000 for the test.
    """
    require_split(split, SPLITS)
    name = "prontoqa/prontoqa_valid.json" if split == "valid" else "prontoqa/prontoqa_train.json"
    source = source or find(name, "--source", "prontoqa")
    rows = [_published(row, where) for where, row in read_rows(source)]
    if split != "valid":
        if len(rows) <= _TEST_ROWS:
            raise InputError(f"{source}: {len(rows)} rows, and the last 1,000 are the test; give the published file")
        rows = rows[-_TEST_ROWS:] if split == "test" else rows[:-_TEST_ROWS]
    yield from rows


def _row(rng: random.Random, world: World) -> RawRow:
    conclusion, true = world.conclusion, rng.random() < 0.5
    asked = conclusion if true else conclusion._replace(negated=not conclusion.negated)
    sentences = {fact: _sentence(fact, rng.choice(_FORMS)) for fact in world.rules}
    members = [*map(_about_entity, world.members)]
    rules = [*sentences.values()]
    rng.shuffle(rules)
    rng.shuffle(members)
    steps = [f"{_about_entity(Fact(world.entity, rule.subject))} {sentences[rule]}" for rule in world.proof[1:]]
    return {
        "question": " ".join([*rules, *members, f"True or false: {_about_entity(asked)}"]),
        "steps": [*steps, _about_entity(conclusion)],
        "answer": ANSWERS[true],
    }


def _sentence(rule: Fact, form: str) -> str:
    denial = "not " if rule.negated else ""
    if form == "plural":
        predicate = rule.predicate if rule.is_property else plural(rule.predicate)
        return f"{plural(rule.subject).capitalize()} are {denial}{predicate}."
    predicate = rule.predicate if rule.is_property else with_article(rule.predicate)
    return f"{form} {rule.subject} is {denial}{predicate}."


def _about_entity(fact: Fact) -> str:
    predicate = fact.predicate if fact.is_property else with_article(fact.predicate)
    return f"{fact.subject} is {'not ' if fact.negated else ''}{predicate}."


def _published(row: dict, where: str) -> RawRow:
    question, steps, answer = (row.get(name) for name in ("question", "steps", "answer"))
    if not isinstance(question, str) or not isinstance(steps, list) or answer not in ANSWERS:
        raise InputError(
            f"{where}: needs a question, a list of steps and the answer True or False; see ProntoQA's file"
        )
    return {"question": question, "steps": steps, "answer": answer}
