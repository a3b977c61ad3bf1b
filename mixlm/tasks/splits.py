"""Telling the splits of a generated task apart: a question belongs to one of them for good."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from mixlm.errors import InputError


_PARTS = 100  # one of them is valid


def is_valid(origin: str) -> bool:
    """Tell whether rows made from a question belong to the split "valid"."""
    return int.from_bytes(hashlib.sha256(origin.encode()).digest()[:8], "big") % _PARTS == 0


def drawn(questions: Iterable[str], count: int, where: str | Path) -> set[str]:
    """Return ``count`` of the questions, always the same ones: those whose hashes are the smallest.

    Neither their order nor the version of Python matters.

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
    return set(sorted(different, key=lambda text: hashlib.sha256(text.encode()).digest())[:count])


SPLITS = ("train", "valid", "test")


def require_split(split: str) -> None:
    """Find out whether there is a split of this name.

    Raises:
        InputError: If there is none.
    """
    if split not in SPLITS:
        raise InputError(f"split '{split}': there is none; choose from {', '.join(SPLITS)}")


def split_of(question: str) -> str:
    """Return the split to which a question belongs: 8 of 10 to "train", 1 each to "valid" and "test".

    The hash of the text decides, so no seed, number of rows or other option brings a question from one into another.
    """
    tenth = int.from_bytes(hashlib.sha256(question.encode()).digest()[:8], "big") % 10
    return {8: "valid", 9: "test"}.get(tenth, "train")
