"""Long multiplication, column by column from the right: the trace is long, and each step of it small.

A row of two digits by two::

    {"question": "What is 4 7 * 8 2?",
     "steps": ["0 + 7 * 2 = 1 4 , write 4 , carry 1", "1 + 4 * 2 = 9", "9 + 7 * 8 = 6 5 , write 5 , carry 6",
               "6 + 4 * 8 = 3 8 , write 8 , carry 3"],
     "answer": "3 8 5 4"}

A step adds one product of two digits to the total of its column. The last of a column writes the total's last digit,
which is the answer's digit there, and carries the others. So what all later steps need of a step is one small number:
with three digits by three no total is above 260. What the last step carries is the answer's first digit, unless 0.

Numbers are told digit by digit, so that a tokenizer built from the rows has no tokens of several digits;
``--no-spaced`` tells them as usual, and is for a pretrained model.

Two numbers belong to one split for good, in either order and spaced or not, see ``splits``.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from mixlm.data.reading import RawRow
from mixlm.errors import InputError
from mixlm.tasks.splits import SPLITS, require_split, split_of
from vqvae.option_types import require_types


CHECK = "exact"
_MOST_DIGITS = 9


@dataclass(frozen=True)
class Options:
    """What can be chosen about the rows.

    Attributes:
        first: Digits of the first number, at most 9.
        second: Digits of the second number, at most 9; the steps are as many as products of two digits.
        spaced: Write a space between any two digits.
        trace: full tells what each step calculates; terse its result alone, the column's total.
    """

    first: int = 3
    second: int = 3
    spaced: bool = True
    trace: Literal["full", "terse"] = "full"

    def __post_init__(self) -> None:
        """Raise an ``InputError`` if an option is out of bounds."""
        require_types(self)
        for name in ("first", "second"):
            if not 1 <= getattr(self, name) <= _MOST_DIGITS:
                raise InputError(f"--{name} {getattr(self, name)}: give a number from 1 to {_MOST_DIGITS}")


def generate(rows: int, split: str = "train", seed: int = 0, options: Options = Options()) -> Iterator[RawRow]:
    """Yield rows with different questions; see ``mixlm.tasks``.

    Raises:
        InputError: If there is no such split, or there are not that many different questions.
    """
    require_split(split, SPLITS)
    rng = random.Random(seed)
    firsts, seconds = _numbers(options.first), _numbers(options.second)
    seen: set[tuple[int, int]] = set()
    given = 0
    while given < rows:
        if len(seen) == len(firsts) * len(seconds):
            raise InputError(f"--rows {rows}: split '{split}' has {given} different questions; give more --first")
        pair = rng.choice(firsts), rng.choice(seconds)
        if pair in seen:
            continue
        seen.add(pair)
        if split_of(f"{min(pair)} * {max(pair)}") == split:
            given += 1
            yield _row(*pair, options)


def _numbers(digits: int) -> range:
    """Return the numbers of so many digits, 0 left out."""
    return range(10 ** (digits - 1), 10**digits)


def _row(first: int, second: int, options: Options) -> RawRow:
    row = {
        "question": f"What is {first} * {second}?",
        "steps": multiply(first, second, options.trace),
        "answer": str(first * second),
    }
    if options.spaced:
        row |= {"question": _spaced(row["question"]), "answer": _spaced(row["answer"])}
        row["steps"] = [_spaced(step) for step in row["steps"]]
    return row


def multiply(first: int, second: int, trace: Literal["full", "terse"] = "full") -> list[str]:
    """Return the steps of a long multiplication.

    >>> multiply(47, 82)[:2]
    ['0 + 7 * 2 = 14 , write 4 , carry 1', '1 + 4 * 2 = 9']
    >>> multiply(47, 82, "terse")
    ['14', '9', '65', '38']
    """
    steps, total = [], 0
    for column in _columns(first, second):
        for left, right in column:
            before, total = total, total + left * right
            steps.append(str(total) if trace == "terse" else f"{before} + {left} * {right} = {total}")
        carry, digit = divmod(total, 10)
        if trace == "full":
            steps[-1] += f" , write {digit} , carry {carry}"
        total = carry
    return steps


def _columns(first: int, second: int) -> list[list[tuple[int, int]]]:
    """Return the products of two digits that each column adds up, from the right."""
    lefts, rights = ([int(digit) for digit in reversed(str(number))] for number in (first, second))
    columns: list[list[tuple[int, int]]] = [[] for _ in range(len(lefts) + len(rights) - 1)]
    for above, right in enumerate(rights):
        for place, left in enumerate(lefts):
            columns[place + above].append((left, right))
    return columns


def _spaced(text: str) -> str:
    """Return the text with a space between any two digits."""
    return re.sub(r"(?<=\d)(?=\d)", " ", text)
