"""What a file of some kind is given to, and what is to come of it."""

import random
from collections.abc import Mapping
from typing import Literal, NamedTuple


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
