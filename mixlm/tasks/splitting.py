"""Telling the splits of a generated task apart: a question belongs to one of them for good."""

import hashlib

from mixlm.errors import InputError


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
