"""Progress of long work: a bar on a terminal, now and then a line elsewhere, JSON for a process that shows it."""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from mixlm.shown import escaped
from pipelines.shared.terminal import echo


if TYPE_CHECKING:
    from vqvae.advance import Advance

AS_JSON = "MIXLM_PROGRESS_AS_JSON"  # in the environment of a command whose progress another process shows
_MARK = '{"reached": '


class Reached(NamedTuple):
    """How far some work is.

    Attributes:
        title: What is done.
        done: How much of it.
        total: How much there is.
        figures: Shown beside it.
    """

    title: str
    done: int
    total: int
    figures: Mapping[str, float] = {}


def read_reached(line: str) -> Reached | None:
    """Return what ``JsonProgress`` wrote; None if the line is another one."""
    return Reached(*json.loads(line)["reached"]) if line.startswith(_MARK) else None


@contextmanager
def progress_bar(title: str) -> Iterator["Advance"]:
    """Show how far some work is, on stderr.

    Yields:
        A function ``advance(done, total, figures={})``, to be called as often as one likes; ``figures`` are shown
        beside the bar.
    """
    if AS_JSON in os.environ:
        yield JsonProgress(title).advance
    elif sys.stderr.isatty():
        with _bar(title) as advance:
            yield advance
    else:
        yield PlainProgress(title).advance


@contextmanager
def _bar(title: str) -> Iterator["Advance"]:
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    from pipelines.shared.console import PlainConsole

    # one text, the most important first, so that a narrow terminal cuts off the least important
    whole = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    columns = (
        BarColumn(bar_width=16),
        TextColumn("{task.description}{task.fields[reached]}", markup=False, table_column=whole),
    )
    # text that the command prints meanwhile goes above the bar, but stays on stdout where that is a file or a pipe
    redirect = {"console": PlainConsole(stderr=True), "redirect_stdout": sys.stdout.isatty()}
    with Progress(*columns, expand=True, **redirect) as bars:
        task = bars.add_task(escaped(title), total=None, reached="")

        def advance(done: int, total: int, figures: Mapping[str, float] = {}) -> None:
            """Move the bar."""
            speed = bars.tasks[task].finished_speed or bars.tasks[task].speed
            rate = f"{speed:.3g}/s" if speed else ""
            left = f"{time_of((total - done) / speed)} left" if speed and done < total else ""
            parts = filter(None, (f" {done}/{total}", left, _written(figures), rate))
            bars.update(task, completed=done, total=total, reached=escaped(", ".join(parts)))

        yield advance


def _to_stderr(line: str) -> None:
    echo(line, err=True)


class PlainProgress:
    """Progress as lines of text, one each ``pause`` seconds at most, and one at the end.

    Args:
        title: Starts every line.
        echo: Prints a line.
        clock: Tells the seconds.
        pause: Seconds from one line to the next.
    """

    def __init__(
        self,
        title: str,
        echo: Callable[[str], None] = _to_stderr,
        clock: Callable[[], float] = time.monotonic,
        pause: float = 10.0,
    ) -> None:
        self.title, self.echo, self.clock, self.pause = title, echo, clock, pause
        self.first: tuple[int, float] | None = None
        self.shown = clock()

    def advance(self, done: int, total: int, figures: Mapping[str, float] = {}) -> None:
        """Tell that ``done`` of ``total`` are done."""
        now = self.clock()
        self.first = self.first or (done, now)
        if done == total or now - self.shown >= self.pause:
            self.echo(self._line(Reached(self.title, done, total, figures), now))
            self.shown = now

    def _line(self, reached: Reached, now: float) -> str:
        title, done, total, figures = reached
        here, seconds = done - self.first[0], now - self.first[1]
        rate = here / seconds if here and seconds else 0.0
        parts = [f"{done}/{total}"]
        if rate:
            parts.append(f"{rate:.3g}/s")
        if rate and done < total:
            parts.append(f"{time_of((total - done) / rate)} left")
        return f"{title}: {', '.join(parts)} {_written(figures)}".rstrip()


class JsonProgress(PlainProgress):
    """Progress as lines for ``read_reached``: where it starts, then one a second at most, and the end.

    Args:
        title: What is done.
        echo: Prints a line.
        clock: Tells the seconds.
    """

    def __init__(
        self, title: str, echo: Callable[[str], None] = _to_stderr, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(title, echo, clock, pause=1.0)
        self.shown = -math.inf

    def _line(self, reached: Reached, now: float) -> str:
        return f"{_MARK}{json.dumps(reached, default=float)}}}"


def _written(figures: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in figures.items())


def time_of(seconds: float) -> str:
    """Return a time as minutes and seconds, or from an hour on as hours and minutes.

    >>> time_of(1990), time_of(12_300)
    ('33:10', '3 h 25 min')
    """
    minutes = int(seconds) // 60
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes}:{int(seconds) % 60:02d}"
