"""What a file of some kind is given to, and what is to come of it."""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple


class Try(NamedTuple):
    """One call of a command with a file that is not as it should be, or that is odd and yet right.

    Attributes:
        kind: What is odd.
        files: Content of each file, by its path in the folder of the call; None: it is not there.
        command: The call.
        wanted: "refused" in one line that names ``named``; "fine"; "either": one or the other.
        named: What the line must name; "" in the place of the first file.
        first: A call before it, which may be refused.
        rows: How many rows ``rows.out`` must have where all is fine; None: no matter.
    """

    kind: str
    files: Mapping[str, bytes | None]
    command: tuple[str, ...]
    wanted: Literal["refused", "fine", "either"]
    named: str = ""
    rows: int | None = None
    first: tuple[str, ...] = ()


def try_mixed(todo: list, attempt: Callable[[Any], str], minutes: float, most: int | None = None) -> Counter[str]:
    """Make attempts in an order that mixes all, so that a part of them is a sample; returns the counts of their ends.

    Args:
        todo: What to attempt, each.
        attempt: Attempts one; returns what came of it.
        minutes: When to stop.
        most: How many at most; None: all.
    """
    counts: Counter[str] = Counter()
    until = time.monotonic() + 60 * minutes
    for one in random.Random(0).sample(todo, len(todo))[:most]:
        if time.monotonic() > until:
            break
        counts[attempt(one)] += 1
    return counts


CONVERT = ("data", "convert")
OUT = ("--out", "rows.out")


def flipped(content: bytes, draw: random.Random, most: int = 3) -> bytes:
    """Return content with a few bits changed, or a part cut off, doubled or set to zero."""
    changed = bytearray(content)
    kind = draw.choice(("flip", "flip", "flip", "cut", "zeros", "double", "noise"))
    at = draw.randrange(len(changed))
    if kind == "flip":
        for _ in range(draw.randint(1, most)):
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    elif kind == "cut":
        del changed[at:]
    elif kind == "zeros":
        changed[at : at + 64] = bytes(len(changed[at : at + 64]))
    elif kind == "noise":
        changed[at : at + 8] = draw.randbytes(len(changed[at : at + 8]))
    else:
        changed[at:at] = changed[at : at + 32]
    return bytes(changed)
