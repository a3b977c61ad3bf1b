"""Progress of long work: a bar on a terminal, now and then a line elsewhere, JSON for a process that shows it."""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from mixlm.shown import escaped
from pipelines.shared.terminal import echo, manner, notice


if TYPE_CHECKING:
    from rich.progress import Progress, Task

    from vqvae.advance import Advance

AS_JSON = "MIXLM_PROGRESS_AS_JSON"  # in the environment of a command whose progress another process shows
_MOST_BARS = 8  # with more of them, those of what is done make room
_MARK = '{"reached": '
SHORT = 20 * 60  # seconds of work that is suggested in place of long work
_MEASURED, _LONG = 10.0, 120.0  # seconds that are measured, and of work that is called long


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
def progress_bar(title: str, fewer: str = "", shorter: str = "") -> Iterator["Advance"]:
    """Show how far some work is, on stderr, and soon how long all of it takes; with ``--quiet`` nowhere.

    Args:
        title: What is done.
        fewer: Option that says how much there is to do; empty: none does.
        shorter: What else would make it shorter.

    Yields:
        A function ``advance(done, total, figures={})``, to be called as often as one likes; ``figures`` are shown
        beside the bar.
    """
    if AS_JSON in os.environ:
        yield JsonProgress(title).advance
    elif manner().quiet:
        yield lambda done, total, figures={}: None
    elif sys.stderr.isatty():
        with Bars.shown() as bars:
            bars.begin(title, title)
            yield Forecast(lambda *reached: bars.move(title, Reached(title, *reached)), title, fewer, shorter)
    else:
        yield Forecast(PlainProgress(title).advance, title, fewer, shorter)


class Forecast:
    """An ``Advance`` that says once, after a short measurement, how long work takes, if that is long.

    Args:
        advance: Is told of everything.
        title: What is done.
        fewer: Option that says how much there is to do; empty: none does.
        shorter: What else would make it shorter.
        say: Prints a line.
        clock: Tells the seconds.
    """

    def __init__(
        self,
        advance: "Advance",
        title: str,
        fewer: str = "",
        shorter: str = "",
        say: Callable[[str], None] = notice,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.advance, self.title, self.fewer, self.shorter = advance, title, fewer, shorter
        self.say, self.clock = say, clock
        self.first: tuple[int, float] | None = None
        self.said = False

    def __call__(self, done: int, total: int, figures: Mapping[str, float] = {}, /) -> None:
        """Tell that ``done`` of ``total`` are done; the first call starts the measurement."""
        self.advance(done, total, figures)
        if self.said:
            return
        now = self.clock()
        if self.first is None:
            self.first = done, now
        elif done > self.first[0] and now - self.first[1] >= _MEASURED:
            self.said = True
            each = (now - self.first[1]) / (done - self.first[0])
            if each * (total - done) >= _LONG:
                self.say(self._line(total - self.first[0], total, each))

    def _line(self, here: int, total: int, each: float) -> str:
        """Return how long all of this call takes, and what would be shorter."""
        less = max(int(SHORT / each), 1)
        tries = [f"{self.fewer} {less} takes about {time_of(SHORT)}"] * bool(self.fewer and less < total)
        tries += [self.shorter] * bool(self.shorter)
        what = f"{self.title}: {here:,} to do, {each:.2g} s each: about {time_of(here * each)}"
        return f"{what}; shorter: {', or '.join(tries)}" if tries else what


class Bars:
    """Bars on a terminal, on stderr, one for each name.

    Args:
        progress: What draws them.
    """

    _open: ClassVar["Bars | None"] = None  # of two that draw on one terminal each would draw over the other

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._tasks: dict[str, Task] = {}
        self._titles: dict[str, str] = {}

    @classmethod
    @contextmanager
    def shown(cls, passing: bool = False) -> Iterator["Bars"]:
        """Show bars until this ends; those that are ``passing`` vanish then. Within it others are among them."""
        if cls._open is not None:
            yield cls._open
            return
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        from pipelines.shared.console import PlainConsole

        # one text, the most important first, so that a narrow terminal cuts off the least important
        whole = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        columns = (
            BarColumn(bar_width=12),
            TextColumn("{task.description}{task.fields[reached]}", markup=False, table_column=whole),
        )
        # text that the command prints meanwhile goes above the bar, but stays on stdout where that is a file or a pipe
        redirect = {"console": PlainConsole(stderr=True), "redirect_stdout": sys.stdout.isatty()}
        with Progress(*columns, expand=True, transient=passing, **redirect) as progress:
            cls._open = cls(progress)
            try:
                yield cls._open
            finally:
                cls._open = None

    def begin(self, name: str, title: str) -> None:
        """Show a bar for work of which is not known yet how much there is, in place of what the bar has shown.

        Args:
            name: Of the bar, which stands beside it.
            title: What is done, which is told too where it is not the name.
        """
        if name in self._tasks:
            self._progress.reset(self._tasks[name].id, total=None, reached="")
        else:
            self._make_room()
            task = self._progress.add_task(escaped(name), total=None, reached="")
            self._tasks[name] = next(one for one in self._progress.tasks if one.id == task)
        self._titles[name] = title

    def move(self, name: str, reached: Reached) -> None:
        """Show by a bar how far work is."""
        title, done, total, figures = reached
        if self._titles.get(name) != title:
            self.begin(name, title)
        task = self._tasks[name]
        speed = task.finished_speed or task.speed
        left = f"{time_of((total - done) / speed)} left" if speed and done < total else ""
        first, *others = [_written({key: value}) for key, value in figures.items()] or [""]
        parts = [f" {done}/{total}", left, first, title * (title != name), " ".join(others)]
        parts.append(f"{speed:.3g}/s" if speed else "")
        text = escaped(", ".join(filter(None, parts)))
        self._progress.update(task.id, completed=done, total=total, reached=text)

    def remove(self, name: str) -> None:
        """Take a bar away."""
        self._progress.remove_task(self._tasks.pop(name).id)
        del self._titles[name]

    def _make_room(self) -> None:
        """Take away the bars of what is done, if there are many."""
        ended = [name for name, task in self._tasks.items() if task.finished and len(self._tasks) >= _MOST_BARS]
        for name in ended:
            self.remove(name)


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
