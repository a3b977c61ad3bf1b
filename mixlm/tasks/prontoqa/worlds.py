"""Worlds of ProntoQA: who belongs to which class, which class is part of which, and what is true of each.

With ``Z`` the property in question, ``p`` others, and ``-`` "each .. is", a world of two hops is::

    entity - A - B - Z        the chain: one class a hop, and the property that is asked about
             |   |
             A-p B-top        every class of the chain has one property and one parent more than the chain needs
             A-a B-b          siblings of the chain; each has a property: a-p, b-p
    entity - s - t            the entity's second class, which has a property, s-p, and a parent without one
    x - not Z                 of another class the opposite is true

The published rows are such worlds of five hops. There the class of which the opposite is true is named nowhere else,
which tells it from the chain's without any reasoning. In a balanced world ``not Z`` ends the chain of a second entity,
in a world of the same shape.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, starmap
from typing import NamedTuple

from mixlm.tasks.prontoqa.words import CONCEPTS, FAMILIES, NAMES


class Fact(NamedTuple):
    """What is true of a class or an entity.

    Attributes:
        subject: A class, or the name of an entity.
        predicate: A class, or a property.
        is_property: Whether ``predicate`` is a property.
        negated: Whether the property is denied.
    """

    subject: str
    predicate: str
    is_property: bool = False
    negated: bool = False


@dataclass(frozen=True)
class World:
    """A world and the property of its entity that takes all hops to prove.

    Attributes:
        rules: Facts about classes.
        members: Facts about entities.
        proof: Facts from the entity to the property: its class, a rule for each hop.
    """

    rules: list[Fact]
    members: list[Fact]
    proof: list[Fact]

    @property
    def entity(self) -> str:
        """Return the name of the entity in question."""
        return self.proof[0].subject

    @property
    def conclusion(self) -> Fact:
        """Return what the proof shows of the entity."""
        return self.proof[-1]._replace(subject=self.entity)

    def key(self) -> str:
        """Return a text that is the same for all questions on this world, however they are put."""
        return "\n".join(sorted(f"{it.subject} {it.negated} {it.predicate}" for it in self.rules + self.members))


@dataclass(frozen=True)
class Shape:
    """What the worlds of a data set have in common.

    Attributes:
        hops: Classes of the chain.
        distractors: Whether the chain's classes have siblings, and the entity a second class.
        balanced: Whether a second entity's chain ends in the opposite property.
        concepts: Classes to choose from, the first so many of ``CONCEPTS``.
        families: Families to choose from, the first so many of ``FAMILIES``.
        names: Entities to choose from, the first so many of ``NAMES``.
    """

    hops: int
    distractors: bool
    balanced: bool
    concepts: int
    families: int
    names: int

    @staticmethod
    def least(hops: int, distractors: bool, balanced: bool) -> dict[str, int]:
        """Return how many classes, families and names one world takes, by the name of the option.

        Args:
            hops: See ``Shape``.
            distractors: See ``Shape``.
            balanced: See ``Shape``.
        """
        branch = 2 * hops + 3 if distractors else hops + 1
        properties = 2 * hops + 1 if distractors else hops
        return {"concepts": 2 * branch if balanced else branch + 1, "families": properties, "names": 1 + balanced}


def _share_negated(affirmed: float, negated: float) -> float:
    """Return the share of negated properties among those kept with these chances, if one of three is drawn negated."""
    return negated / (negated + 2 * affirmed)


# The published questions were found by walking up from the entity's class. Whether the walk ended at a class, to ask
# about its property, or went on was drawn with weights 0.3 : 1 if the property was affirmed and 0.7 : 1 if negated.
_ASIDE = _share_negated(1, 1)
_PASSED = _share_negated(1 / 1.3, 1 / 1.7)
_ASKED = _share_negated(0.3 / 1.3, 0.7 / 1.7)


def draw_world(rng: random.Random, shape: Shape) -> World:
    """Return a world; every class, family and name in it is as likely as any other.

    Args:
        rng: Of the draw.
        shape: With enough classes, families and names, see ``Shape.least``.
    """
    least = Shape.least(shape.hops, shape.distractors, shape.balanced)
    classes = iter(rng.sample(CONCEPTS[: shape.concepts], least["concepts"]))
    entity, *others = rng.sample(NAMES[: shape.names], least["names"])
    family, *families = rng.sample(FAMILIES[: shape.families], least["families"])
    # Balanced, both chains must be as likely to hold the denial, or the form of the question would tell the answer.
    asked = Fact("", rng.choice(family), True, rng.random() < (0.5 if shape.balanced else _ASKED))
    opposite = asked._replace(negated=not asked.negated)
    proof, rules, members = _branch(rng, shape, entity, classes, families, asked)
    if not shape.balanced:
        return World([*rules, opposite._replace(subject=next(classes))], members, proof)
    rng.shuffle(families)
    _, more_rules, more_members = _branch(rng, shape, others[0], classes, families, opposite)
    return World(rules + more_rules, members + more_members, proof)


def _branch(
    rng: random.Random,
    shape: Shape,
    entity: str,
    classes: Iterator[str],
    families: list[tuple[str, ...]],
    asked: Fact,
) -> tuple[list[Fact], list[Fact], list[Fact]]:
    """Return the proof of an entity's property, and the facts about classes and about the entity around it."""
    unused = iter(families)

    def property_of(subject: str, negated: float) -> Fact:
        """Draw a property of the next family, negated with this probability."""
        return Fact(subject, rng.choice(next(unused)), True, rng.random() < negated)

    chain = [next(classes) for _ in range(shape.hops)]
    proof = [*starmap(Fact, pairwise([entity, *chain])), asked._replace(subject=chain[-1])]
    rules = [*proof[1:], Fact(chain[-1], next(classes)), *(property_of(it, _PASSED) for it in chain[:-1])]
    if not shape.distractors:
        return proof, rules, proof[:1]
    for concept in chain:
        sibling = next(classes)
        rules += [Fact(concept, sibling), property_of(sibling, _ASIDE)]
    second = next(classes)
    rules += [Fact(second, next(classes)), property_of(second, _ASIDE)]
    return proof, rules, [proof[0], Fact(entity, second)]
