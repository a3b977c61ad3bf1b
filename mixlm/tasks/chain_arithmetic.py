"""A running total over additions and subtractions: small, unlimited, and of no use without its steps.

A row of three operations::

    {"question": "start 3 ; + 4 ; - 9 ; + 5",
     "steps": ["so now 3 + 4 gives 7 .", "so now 7 - 9 gives 8 .", "so now 8 + 5 gives 3 ."],
     "answer": "3"}

In one wording a step is always the same number of words, eight by default. Under a byte-level BPE tokenizer built from
the rows it is as many tokens, and with ``--separator ""`` the same ones wherever it stands. There are then
``2 * modulus ** 2`` different steps: 200. More words make a trace longer and tell nothing more, as language does; so
do more wordings, of which each step draws one.

A question belongs to one split for good, see ``splits``.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Literal

from mixlm.data.reading import RawRow
from mixlm.errors import InputError
from mixlm.tasks.splits import SPLITS, require_split, split_of
from vqvae.option_types import require_types


CHECK = "exact"
_OPERATORS = "+-"
_CORE = 6  # words of "3 + 4 gives 7 ."
WORDINGS = (
    "{before} {event} gives {after} .",
    "{event} takes us from {before} to {after} .",
    "the total was {before} and after {event} it is {after} .",
    "{before} becomes {after} with {event} .",
    "next comes {event} , and {before} goes to {after} .",
    "out of {before} and {event} we make {after} .",
    "{after} is what {before} {event} leaves .",
    "as we were at {before} , {event} brings {after} .",
)
_FILLER = "we keep the total in mind and go on with the next of the operations , which is not hard : so now".split()


@dataclass(frozen=True)
class Options:
    """What can be chosen about the rows.

    Attributes:
        operations: Additions and subtractions of a question; also the number of its steps.
        modulus: Every number is below it.
        words: Words of a step in the first wording, at least 6; all above that carry nothing.
        wordings: Ways to tell a step, at most 8; each step draws one. Questions and answers do not depend on it.
        trace: full tells what each step calculates, in so many words; terse its result alone.
    """

    operations: int = 6
    modulus: int = 10
    words: int = 8
    wordings: int = 1
    trace: Literal["full", "terse"] = "full"

    def __post_init__(self) -> None:
        """Raise an ``InputError`` if an option is out of bounds."""
        require_types(self)
        bounds = {
            "operations": (1, 1000),
            "modulus": (2, 10**9),
            "words": (_CORE, 1000),
            "wordings": (1, len(WORDINGS)),
        }
        for name, (least, most) in bounds.items():
            if not least <= getattr(self, name) <= most:
                raise InputError(f"--{name} {getattr(self, name)}: give a number from {least} to {most}")


def generate(rows: int, split: str = "train", seed: int = 0, options: Options = Options()) -> Iterator[RawRow]:
    """Yield rows with different questions; see ``mixlm.tasks``.

    Raises:
        InputError: If there is no such split, or there are not that many different questions.
    """
    require_split(split, SPLITS)
    rng, wording = random.Random(seed), random.Random(f"wording of {seed}")
    possible = options.modulus * (len(_OPERATORS) * options.modulus) ** options.operations
    seen: set[str] = set()
    given = 0
    while given < rows:
        if len(seen) == possible:
            raise InputError(f"--rows {rows}: split '{split}' has {given} different questions; give more --operations")
        row = _draw(rng, wording, options)
        if row["question"] in seen:
            continue
        seen.add(row["question"])
        if split_of(row["question"]) == split:
            given += 1
            yield row


def _draw(rng: random.Random, wording: random.Random, options: Options) -> RawRow:
    total = rng.randrange(options.modulus)
    question, steps, filler = [f"start {total}"], [], _filler(options.words - _CORE)
    for _ in range(options.operations):
        operator, operand = rng.choice(_OPERATORS), rng.randrange(options.modulus)
        result = (total + operand if operator == "+" else total - operand) % options.modulus
        question.append(f"{operator} {operand}")
        told = WORDINGS[wording.randrange(options.wordings)]
        full = filler + told.format(before=total, event=question[-1], after=result)
        steps.append(full if options.trace == "full" else str(result))
        total = result
    return {"question": " ; ".join(question), "steps": steps, "answer": str(total)}


def _filler(words: int) -> str:
    """Return the last ``words`` words before a step's first number, each with a space behind it."""
    return "".join(f"{word} " for word in reversed([*islice(cycle(reversed(_FILLER)), words)]))
