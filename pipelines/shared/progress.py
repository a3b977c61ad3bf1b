"""Progress of long work: a bar with rate and time left on a terminal, a plain line now and then elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import click


SECONDS_BETWEEN_LINES = float(os.environ.get("MIXLM_SECONDS_BETWEEN_LINES", "10"))
Report = Callable[..., None]


@contextmanager
def progress_bar(title: str) -> Iterator[Report]:
    """Show how far some work is, on stderr.

    Yields:
        A function ``report(step, total=None, figures={})``, to be called as often as one likes; ``figures`` are shown
        beside the bar.
    """
    if sys.stderr.isatty():
        with _bar(title) as report:
            yield report
    else:
        lines = PlainProgress(title)
        yield lines.report
        lines.finish()


@contextmanager
def _bar(title: str) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    figures_column = TextColumn("{task.fields[figures]}", style="dim")
    # text that the command prints meanwhile goes above the bar, but stays on stdout where that is a file or a pipe
    redirect = {"console": Console(stderr=True), "redirect_stdout": sys.stdout.isatty()}
    with Progress(*columns, TimeRemainingColumn(), figures_column, **redirect) as progress:
        task = progress.add_task(title, total=None, rate="", figures="")

        def report(step: int, total: int | None = None, figures: Mapping[str, float] | None = None) -> None:
            """Move the bar."""
            speed = progress.tasks[task].finished_speed or progress.tasks[task].speed
            rate = f"{speed:.3g}/s" if speed else ""
            progress.update(task, completed=step, total=total, rate=rate, figures=_written(figures))

        yield report


class PlainProgress:
    """Progress as lines of text, one each ``SECONDS_BETWEEN_LINES`` at most, and one at the end.

    Args:
        title: Starts every line.
        echo: Prints a line.
        clock: Tells the seconds.
    """

    def __init__(
        self, title: str, echo: Callable[[str], None] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.title, self.clock = title, clock
        self.echo = echo or (lambda line: click.echo(line, err=True))
        self.first: tuple[int, float] | None = None
        self.shown = clock()
        self.pending = ""

    def report(self, step: int, total: int | None = None, figures: Mapping[str, float] | None = None) -> None:
        """Tell that ``step`` of ``total`` are done."""
        now = self.clock()
        self.first = self.first or (step, now)
        done, seconds = step - self.first[0], now - self.first[1]
        rate = done / seconds if done and seconds else 0.0
        parts = [f"{step}/{total}" if total else str(step)]
        if rate:
            parts.append(f"{rate:.3g}/s")
        if rate and total and step < total:
            parts.append(f"{_minutes((total - step) / rate)} left")
        self.pending = f"{self.title}: {', '.join(parts)} {_written(figures)}".rstrip()
        if step == total or now - self.shown >= SECONDS_BETWEEN_LINES:
            self._show(now)

    def finish(self) -> None:
        """Show the last report, where the end came before the total or the total is not known."""
        if self.pending:
            self._show(self.clock())

    def _show(self, now: float) -> None:
        self.echo(self.pending)
        self.pending, self.shown = "", now


def _written(figures: Mapping[str, float] | None) -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in (figures or {}).items())


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
