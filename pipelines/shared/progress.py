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
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from pipelines.shared.console import PlainConsole

    name, rate = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[rate]}")
    columns = (name, BarColumn(), MofNCompleteColumn(), rate)
    figures_column = TextColumn("{task.fields[figures]}", style="dim", markup=False)
    # text that the command prints meanwhile goes above the bar, but stays on stdout where that is a file or a pipe
    redirect = {"console": PlainConsole(stderr=True), "redirect_stdout": sys.stdout.isatty()}
    with Progress(*columns, TimeRemainingColumn(), figures_column, **redirect) as bars:
        task = bars.add_task(escaped(title), total=None, rate="", figures="")

        def advance(done: int, total: int, figures: Mapping[str, float] = {}) -> None:
            """Move the bar."""
            speed = bars.tasks[task].finished_speed or bars.tasks[task].speed
            rate = f"{speed:.3g}/s" if speed else ""
            bars.update(task, completed=done, total=total, rate=rate, figures=escaped(_written(figures)))

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
            parts.append(f"{_minutes((total - done) / rate)} left")
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


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
