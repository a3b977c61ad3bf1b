"""How long work tells how far it is."""

from collections.abc import Mapping
from typing import Protocol


class Advance(Protocol):
    """What long work calls to tell how far it is, as often as it likes."""

    def __call__(self, done: int, total: int, figures: Mapping[str, float] = {}, /) -> None:
        """Take note that ``done`` of ``total`` are done, and of the latest figures."""


class RunningTotal:
    """Makes one advance of those of several parts, one after the other.

    Args:
        advance: Is told of the whole; None: nothing is.
        total: How much the parts are together.
    """

    def __init__(self, advance: Advance | None, total: int) -> None:
        self.advance, self.total, self.before = advance, total, 0

    def __call__(self, done: int, total: int, figures: Mapping[str, float] = {}, /) -> None:
        """Take note that ``done`` of ``total`` of the current part are done."""
        if self.advance:
            self.advance(self.before + done, self.total, figures)
        if done == total:
            self.before += total
