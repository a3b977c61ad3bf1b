"""Commands of this project run as processes of their own, some at a time, with a bar for each."""

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TextIO

import click

from mixlm.errors import InputError


_OWN_SCRIPTS = {"encode": "mixlm-encode", "train": "mixlm-train", "generate": "mixlm-generate"}


@dataclass(frozen=True)
class Job:
    """One command.

    Attributes:
        name: Short and unique, for progress and ``summary.json``.
        arguments: Of ``mixlm``, the subcommand first.
    """

    name: str
    arguments: tuple[str, ...]

    def line(self) -> str:
        """Return the command as a user would type it."""
        first, *rest = self.arguments
        return " ".join([_OWN_SCRIPTS.get(first, f"mixlm {first}"), *map(shlex.quote, rest)])


_PROGRESS = re.compile(r"(?P<title>[^:]+): (?P<step>\d+)/(?P<total>\d+)\b.*")
_LINES_OF_A_BUG = 30
_MOST_BARS = 8  # with more commands than that, the bars of those that have ended make room
Show = Callable[[str, str], None]  # the name of a job, and a line that it wrote to stderr


@dataclass
class Finished:
    """What a command left.

    Attributes:
        output: Its stdout.
        seconds: How long it took, the start of its process included.
        cpu_seconds: How long it kept processors busy; what else runs on the machine changes that little.
    """

    output: str
    seconds: float
    cpu_seconds: float = 0.0


def run_jobs(jobs: Sequence[Job], at_once: int = 2) -> dict[str, Finished]:
    """Run commands, ``at_once`` at the same time, each with one thread.

    Raises:
        InputError: If one fails; the others are stopped.
    """
    runner = Runner()
    with shown() as runner.show:
        pool = ThreadPoolExecutor(at_once)
        try:
            results = pool.map(runner.run, jobs)
            return {job.name: finished for job, finished in zip(jobs, results, strict=True)}
        finally:
            runner.stop()
            pool.shutdown(cancel_futures=True)


def environment() -> dict[str, str]:
    """Return the environment of a command: one thread, so that two commands do not fight over two cores."""
    return {"OMP_NUM_THREADS": "1", "MIXLM_SECONDS_BETWEEN_LINES": _pace(), **os.environ}


def _pace() -> str:
    """Return the seconds between progress lines: few where they move a bar, more where they are printed."""
    return "1" if sys.stderr.isatty() else "20"


def command_of(job: Job) -> list[str]:
    """Return what starts ``job`` as a process."""
    return [sys.executable, "-m", "pipelines", *job.arguments]


@dataclass
class Runner:
    """Runs commands, and can stop all that still run.

    Attributes:
        show: Called with what they write to stderr.
        processes: All that were started.
        stopped: Whether no more are to be started.
        stop_on_failure: Whether the failure of one ends the others.
        inherited: Descriptors of files that the commands keep open too.
    """

    show: Show = lambda name, line: None
    processes: list[subprocess.Popen] = field(default_factory=list)
    stopped: bool = False
    stop_on_failure: bool = True
    inherited: Sequence[int] = ()

    def run(self, job: Job) -> Finished:
        """Run one command to its end, showing what it writes to stderr.

        Raises:
            InputError: If it fails.
        """
        started = time.monotonic()
        if self.stopped:
            return Finished("", 0.0)
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            how = {"env": environment(), "process_group": 0, "pass_fds": self.inherited}  # Ctrl-C is for us
            process = subprocess.Popen(command_of(job), stdout=output, stderr=subprocess.PIPE, text=True, **how)
            self.processes.append(process)
            if self.stopped:  # another command failed while this one was being started
                process.terminate()
            tail = self._follow(job, process.stderr)
            cpu_seconds = _wait(process)
            if process.returncode and not self.stopped:
                if self.stop_on_failure:
                    self.stop()
                raise InputError(_failure(job, tail))
            output.seek(0)
            return Finished(output.read(), time.monotonic() - started, cpu_seconds)

    def _follow(self, job: Job, lines: TextIO) -> list[str]:
        """Show the lines as they come; return the last that are no progress."""
        tail: list[str] = []
        for line in lines:
            if not self.stopped:  # the last words of commands that were ended are of no interest
                self.show(job.name, line.rstrip())
            if not _PROGRESS.match(line):
                tail = [*tail, line.rstrip()][-_LINES_OF_A_BUG:]
        return tail

    def stop(self) -> None:
        """End whatever still runs."""
        self.stopped = True
        for process in self.processes:
            with suppress(ProcessLookupError):
                if process.poll() is None:
                    process.terminate()


def _wait(process: subprocess.Popen) -> float:
    """Wait for a process; returns its processor seconds, those of its children included."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def _failure(job: Job, tail: Sequence[str]) -> str:
    why = tail[-1].removeprefix("Error: ") if tail else "it wrote nothing about why"
    return f"{job.line()}: {why}"


@contextmanager
def shown() -> Iterator[Show]:
    """Yield what shows a line of a job: as a bar on a terminal, else as it is, with the name before it."""
    if not sys.stderr.isatty():
        yield lambda name, line: click.echo(f"  {name}: {line}", err=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    text = TextColumn("  {task.description}")
    columns = (text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bars: dict[str, int] = {}

        def show(name: str, line: str) -> None:
            """Move the bar of a job, or print the line above the bars."""
            found = _PROGRESS.match(line)
            if not found:
                progress.console.print(f"  {name}: {line}", markup=False, highlight=False)
                return
            if name not in bars:
                ended = {task.id for task in progress.tasks if task.finished and len(bars) >= _MOST_BARS}
                for one in [one for one, bar in bars.items() if bar in ended]:
                    progress.remove_task(bars.pop(one))
                bars[name] = progress.add_task(name, total=None)
            title, step, total = found["title"], int(found["step"]), int(found["total"])
            progress.update(bars[name], description=f"{name}: {title}", completed=step, total=total)

        yield show
