"""A running total modulo 10 over additions and subtractions: small, unlimited, and of no use without its steps.

A row of three operations::

    {"question": "start 3 ; + 4 ; - 9 ; + 5",
     "steps": ["so now 3 + 4 gives 7 .", "so now 7 - 9 gives 8 .", "so now 8 + 5 gives 3 ."],
     "answer": "3"}

A step is always eight words. Under a byte-level BPE tokenizer built from the rows it is eight tokens, and with
``--separator ""`` the same eight wherever it stands. There are ``2 * modulus ** 2`` different steps: 200.

A question belongs to one split for good: the hash of its text decides, 8 of 10 questions to "train" and 1 each to
"valid" and "test". No seed, number of rows or other option can bring a question from one split into another.
"""

import hashlib
import random
from collections.abc import Iterator

from mixlm.errors import InputError


SPLITS = {"train": range(0, 8), "valid": range(8, 9), "test": range(9, 10)}
_OPERATORS = "+-"


def generate(
    rows: int, split: str = "train", operations: int = 6, modulus: int = 10, seed: int = 0
) -> Iterator[dict[str, str | list[str]]]:
    """Yield rows with different questions; the same arguments yield the same rows.

    Args:
        rows: How many.
        split: Key of ``SPLITS``.
        operations: Additions and subtractions of a question; also the number of its steps.
        modulus: Every number is below it.
        seed: Of the draw.

    Yields:
        Rows with ``question``, ``steps`` and ``answer``.

    Raises:
        InputError: If there are not that many different questions.
    """
    rng = random.Random(seed)
    possible = modulus * (len(_OPERATORS) * modulus) ** operations
    seen: set[str] = set()
    given = 0
    while given < rows:
        if len(seen) == possible:
            raise InputError(f"--rows {rows}: split '{split}' has {given} different questions; give more --operations")
        row = _draw(rng, operations, modulus)
        if row["question"] in seen:
            continue
        seen.add(row["question"])
        if split_of(row["question"]) == split:
            given += 1
            yield row


def split_of(question: str) -> str:
    """Return the split to which a question belongs."""
    tenth = int.from_bytes(hashlib.sha256(question.encode()).digest()[:8], "big") % 10
    return next(split for split, tenths in SPLITS.items() if tenth in tenths)


def extract_answer(text: str) -> str | None:
    """Return the answer in a text that ends ``.. gives 3 .`` or ``### 3``; None if the text has no word.

    >>> extract_answer("so now 8 + 5 gives 3 .\\n### 3")
    '3'
    """
    words = text.replace(" .", "").split()
    return words[-1] if words else None


def check(gold: str, answer: str | None) -> bool:
    """Tell whether ``answer`` is the number ``gold``."""
    return answer == gold


def _draw(rng: random.Random, operations: int, modulus: int) -> dict[str, str | list[str]]:
    total = rng.randrange(modulus)
    question, steps = [f"start {total}"], []
    for _ in range(operations):
        operator, operand = rng.choice(_OPERATORS), rng.randrange(modulus)
        result = (total + operand if operator == "+" else total - operand) % modulus
        question.append(f"{operator} {operand}")
        steps.append(f"so now {total} {operator} {operand} gives {result} .")
        total = result
    return {"question": " ; ".join(question), "steps": steps, "answer": str(total)}
