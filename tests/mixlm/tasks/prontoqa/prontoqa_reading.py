"""Reading ProntoQA's questions, which knows nothing of how they were made, and proving answers from what was read."""

import re
from dataclasses import dataclass
from typing import NamedTuple


NOUN = r"[a-z]+pus"
ABOUT_CLASS = re.compile(rf"(?:(Each|Every) ({NOUN}) is|([A-Z][a-z]+pus)es are) (not )?(?:an? ({NOUN})|([a-z]+))\.")
ABOUT_ENTITY = re.compile(rf"([A-Z][a-z]+) is (not )?(?:an? ({NOUN})|([a-z]+))\.")
SENTENCE = re.compile(r"[A-Z][^.]*\.")


class Statement(NamedTuple):
    subject: str
    predicate: str
    denied: bool
    form: str
    """"Each", "Every", "plural", or "entity"."""


@dataclass
class Reading:
    statements: list[Statement]
    asked: Statement

    def about(self, subject: str) -> list[Statement]:
        return [it for it in self.statements if it.subject == subject]


def read_sentence(sentence: str) -> Statement:
    if found := ABOUT_CLASS.fullmatch(sentence):
        form, one, many, denial, noun, word = found.groups()
        if many and word and word.endswith("puses"):
            word = word.removesuffix("es")
        assert not (many and noun), f"{sentence}: an article behind a plural"
        return Statement(one or many.lower(), noun or word, bool(denial), form or "plural")
    found = ABOUT_ENTITY.fullmatch(sentence)
    assert found, f"{sentence}: unknown form"
    name, denial, noun, word = found.groups()
    return Statement(name, noun or word, bool(denial), "entity")


def sentences(text: str) -> list[str]:
    found = SENTENCE.findall(text)
    assert " ".join(found) == text
    return found


def read_question(question: str) -> Reading:
    world, asked = question.split(" True or false: ")
    return Reading([read_sentence(it) for it in sentences(world)], read_sentence(asked))


def proofs(reading: Reading) -> list[list[Statement]]:
    """Every way from the entity asked about to its property or the denial of it."""
    found, open_ways = [], [[it] for it in reading.about(reading.asked.subject)]
    while open_ways:
        way = open_ways.pop()
        if way[-1].predicate == reading.asked.predicate:
            found.append(way)
        assert len(way) < 30, "the classes go round in a circle"
        open_ways += [[*way, it] for it in reading.about(way[-1].predicate)]
    return found


def steps_of(way: list[Statement]) -> list[list[Statement]]:
    """The steps that put a proof into words: each time a fact about the entity and a rule, then what follows."""
    entity = way[0].subject
    facts = [it._replace(subject=entity, form="entity") for it in way]
    return [[fact, rule] for fact, rule in zip(facts, way[1:], strict=False)] + [[facts[-1]]]


def read_steps(steps: list[str]) -> list[list[Statement]]:
    return [[read_sentence(it) for it in sentences(step)] for step in steps]
