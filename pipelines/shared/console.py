"""The terminal as rich knows it, on which text is text: no markup, no emoji by name, nothing that steers it."""

from typing import Any

from rich.console import Console
from rich.text import Text

from mixlm.shown import escaped
from pipelines.shared.terminal import manner


class PlainConsole(Console):
    """Prints strings, and tables of strings, as ``escaped``.

    Args:
        least_width: Wider than a narrow terminal: a line that wraps beats a figure that is cut off.
        stderr: Whether to print to stderr.
    """

    def __init__(self, least_width: int = 0, stderr: bool = False) -> None:
        hidden = manner().json and not stderr  # results, which are printed otherwise
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False, quiet=hidden)
        self.width = max(self.width, least_width)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Return a string as what rich prints; every string comes through here."""
        return super().render_str(escaped(text), **settings)
