"""How long work tells how far it is."""

from collections.abc import Mapping
from typing import Protocol


class Advance(Protocol):
    """What long work calls to tell how far it is, as often as it likes."""

    def __call__(self, done: int, total: int, figures: Mapping[str, float] = {}, /) -> None:
        """Take note that ``done`` of ``total`` are done, and of the latest figures."""
