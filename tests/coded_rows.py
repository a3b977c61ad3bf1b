"""Codes of rows that are written by hand: each stands for equally many tokens."""

from typing import Any

from vqvae import Cutting


def fixed(rate: int, length: int | None = None) -> Cutting:
    """The cutting of chunks of ``length`` tokens, or of one code each, whose codes stand for ``rate``."""
    return Cutting("fixed", length or rate, rate)


def coded(row: dict[str, Any], codes: list[int], rate: int = 2) -> dict[str, Any]:
    """A row with these codes."""
    return {**row, "codes": codes, "code_ends": [rate * (place + 1) for place in range(len(codes))]}
