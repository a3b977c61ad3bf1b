"""Word problems told in many ways: amounts change hands, are compared, multiplied and shared, and one is asked for.

A row of three operations::

    {"question": "Milo has 27 lemons. Anouk has 21 lemons. Then Milo gets all of Anouk's lemons. Then Milo passes 5 on
                  to Anouk. For each of the lemons that Milo has now, Petra has 2. What is the number of lemons that
                  Petra has at last?",
     "steps": ["All 21 of Anouk go to Milo, and 27 + 21 = 48.", "5 go from Milo to Anouk: 48 - 5 = 43.",
               "Milo has one where Petra has 2, and 43 * 2 = 86."],
     "answer": "86"}

Every step works from the result of the step before it, with products and shares among the sums, so no short cut leads
past the steps. How a step is told is drawn at random: its wording tells nothing, its result everything. ``--wordings``
and ``--trace`` change the steps alone: the questions stay the same.

A question belongs to one split for good, see ``splits``.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from mixlm.data.reading import RawRow
from mixlm.errors import InputError
from mixlm.tasks.splits import SPLITS, require_split, split_of
from mixlm.tasks.word_problems.story import Event, Story, Sum, draw_story
from mixlm.tasks.word_problems.words import (
    ASKING,
    CLAUSES,
    NAMES,
    PARTS,
    SENTENCES,
    START,
    TELLING,
    THINGS,
    TIMES,
    WORDINGS,
)
from vqvae.option_types import require_types


CHECK = "number"
_MOST_OPERATIONS = len(NAMES) - 2  # somebody new may come with each


@dataclass(frozen=True)
class Options:
    """What can be chosen about the rows.

    Attributes:
        min_operations: Events of a question at least; also the number of its steps.
        max_operations: Events of a question at most; every number between is as likely.
        wordings: Ways to tell a step, at most 16.
        largest: No amount is above it; 20 or more.
        trace: full tells what happens in each step; terse its result alone.
    """

    min_operations: int = 2
    max_operations: int = 8
    wordings: int = WORDINGS
    largest: int = 100
    trace: Literal["full", "terse"] = "full"

    def __post_init__(self) -> None:
        """Raise an ``InputError`` if an option is out of bounds."""
        require_types(self)
        bounds = {
            "min_operations": (1, _MOST_OPERATIONS),
            "max_operations": (self.min_operations, _MOST_OPERATIONS),
            "wordings": (1, WORDINGS),
            "largest": (20, 10**6),
        }
        for name, (least, most) in bounds.items():
            if not least <= getattr(self, name) <= most:
                option = f"--{name}".replace("_", "-")
                raise InputError(f"{option} {getattr(self, name)}: give a number from {least} to {most}")


def generate(rows: int, split: str = "train", seed: int = 0, options: Options = Options()) -> Iterator[RawRow]:
    """Yield rows with different questions; see ``mixlm.tasks``.

    Raises:
        InputError: If there is no such split.
    """
    require_split(split, SPLITS)
    rng = random.Random(seed)
    seen: set[str] = set()
    while len(seen) < rows:
        operations = rng.randint(options.min_operations, options.max_operations)
        row = _row(rng, draw_story(rng, NAMES, operations, options.largest), options)
        if row["question"] not in seen and split_of(row["question"]) == split:
            seen.add(row["question"])
            yield row


def _row(rng: random.Random, story: Story, options: Options) -> RawRow:
    things, sums = rng.choice(THINGS), story.sums()
    question = [rng.choice(START).format(who=who, number=number, things=things) for who, number in story.start.items()]
    steps = []
    for event, done in zip(story.events, sums, strict=True):
        facts = _facts(event, done, things)
        question.append(rng.choice(TELLING[event.kind]).format_map(facts))
        full = _step(int(rng.random() * options.wordings), event, facts)
        steps.append(full if options.trace == "full" else str(done.result))
    question.append(rng.choice(ASKING).format(who=story.events[-1].who, things=things))
    return {"question": " ".join(question), "steps": steps, "answer": str(sums[-1].result)}


def _facts(event: Event, done: Sum, things: str) -> Mapping[str, str | int]:
    """Return what the templates of ``words`` are filled with."""
    number = event.number
    return event._asdict() | done._asdict() | {"things": things, "times": TIMES.get(number), "part": PARTS.get(number)}


def _step(wording: int, event: Event, facts: Mapping[str, str | int]) -> str:
    """Tell an event and its sum; of the first wordings each has a clause of its own."""
    sentence, clause = divmod(wording, len(CLAUSES[event.kind]))
    step = SENTENCES[sentence].format_map({**facts, "clause": CLAUSES[event.kind][clause].format_map(facts)})
    return step[0].upper() + step[1:]
