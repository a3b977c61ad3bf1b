"""Which split a question belongs to, for good: the hash of its text decides.

So no seed, number of rows, order or other option brings a question from one split into another.
"""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from mixlm.errors import InputError


SPLITS = ("train", "valid", "test")


def require_split(split: str, splits: Sequence[str]) -> None:
    """Raise an ``InputError`` unless there is a split of this name."""
    if split not in splits:
        raise InputError(f"split '{split}': there is none; choose from {', '.join(splits)}")


def split_of(question: str) -> str:
    """Return the split to which a question belongs: 8 of 10 to "train", 1 each to "valid" and "test"."""
    return {8: "valid", 9: "test"}.get(_number(question) % 10, "train")


def is_valid(origin: str) -> bool:
    """Tell whether rows made from a question belong to "valid", if there is no test: 1 of 100 does."""
    return _number(origin) % 100 == 0


def drawn(questions: Iterable[str], count: int, where: str | Path) -> set[str]:
    """Return ``count`` of the questions, always the same ones: those whose hashes are the smallest.

    Args:
        questions: The questions; equal ones count once.
        count: How many.
        where: What error messages call their file.

    Raises:
        InputError: If no question would be left.
    """
    different = set(questions)
    if len(different) <= count:
        raise InputError(f"{where}: has {len(different)} questions, and {count} are held out; give the whole file")
    return set(sorted(different, key=_digest)[:count])


def _number(text: str) -> int:
    return int.from_bytes(_digest(text)[:8], "big")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
