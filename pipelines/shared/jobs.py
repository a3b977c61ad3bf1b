"""Commands of this project run as processes of their own, some at a time, with a bar for each."""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TextIO

from mixlm.errors import InputError
from pipelines.shared.progress import AS_JSON, Bars, PlainProgress, Reached, read_reached
from pipelines.shared.terminal import echo, manner


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


_LINES_OF_A_BUG = 30
_PAUSE = 20.0  # seconds between lines that tell how far a command is, where there are no bars
Show = Callable[[str, Reached | str], None]  # the name of a job, and how far it is or a line that it wrote to stderr


@dataclass
class Completed:
    """What a command left.

    Attributes:
        output: Its stdout.
        seconds: How long it took, the start of its process included.
        cpu_seconds: How long it kept processors busy; what else runs on the machine changes that little.
    """

    output: str
    seconds: float
    cpu_seconds: float = 0.0


class JobError(InputError):
    """A command failed.

    Attributes:
        cpu_seconds: How long it had kept processors busy.
    """

    def __init__(self, why: str, cpu_seconds: float) -> None:
        super().__init__(why)
        self.cpu_seconds = cpu_seconds


def run_jobs(jobs: Sequence[Job], inherited: Sequence[int] = ()) -> dict[str, Completed]:
    """Run commands, two at the same time, each with one thread; they keep the ``inherited`` descriptors open.

    Raises:
        InputError: If one fails; the others are stopped.
    """
    runner = Runner(inherited=inherited)
    with shown() as runner.show:
        pool = ThreadPoolExecutor(2)
        try:
            results = pool.map(runner.run, jobs)
            return {job.name: finished for job, finished in zip(jobs, results, strict=True)}
        finally:
            runner.stop()
            pool.shutdown(cancel_futures=True)


@contextmanager
def beside(job: Job, inherited: Sequence[int] = ()) -> Iterator[Callable[[], dict[str, Completed]]]:
    """Run a command while the block runs others; it is stopped if the block fails. See ``run_jobs``.

    Yields:
        Waits for the end of the command, and raises an ``InputError`` if it has failed.
    """
    runner = Runner(inherited=inherited)
    with shown() as runner.show, ThreadPoolExecutor(1) as pool:
        running = pool.submit(runner.run, job)
        try:
            yield lambda: {job.name: running.result()}
        except BaseException:
            runner.stop()
            raise


def environment() -> dict[str, str]:
    """Return the environment of a command: one thread, so that two commands do not fight over two cores."""
    return {"OMP_NUM_THREADS": "1", **os.environ}


def command_of(job: Job) -> list[str]:
    """Return what starts ``job`` as a process."""
    return [sys.executable, "-m", "pipelines", *job.arguments]


def passed_on() -> list[str]:
    """Return the options by which a command prints as much as the running one."""
    return ["--quiet"] * manner().quiet + ["--verbose"] * manner().verbose


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

    show: Show = lambda name, news: None
    processes: list[subprocess.Popen] = field(default_factory=list)
    stopped: bool = False
    stop_on_failure: bool = True
    inherited: Sequence[int] = ()

    def run(self, job: Job) -> Completed:
        """Run one command to its end, showing what it writes to stderr; a ``JobError`` if it fails."""
        started = time.monotonic()
        if self.stopped:
            return Completed("", 0.0)
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            how = {"process_group": 0, "pass_fds": self.inherited}  # Ctrl-C is for us
            how["env"] = {**environment(), AS_JSON: "1", "PYTHONIOENCODING": "utf-8"}
            how |= {"encoding": "utf-8", "errors": "replace"}
            command = [*command_of(job), *passed_on()]
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, **how)
            self.processes.append(process)
            if self.stopped:  # another command failed while this one was being started
                process.terminate()
            tail = self._follow(job, process.stderr)
            cpu_seconds = _wait(process)
            if process.returncode and not self.stopped:
                if self.stop_on_failure:
                    self.stop()
                raise JobError(_failure(job, tail), cpu_seconds)
            output.seek(0)
            return Completed(output.read(), time.monotonic() - started, cpu_seconds)

    def _follow(self, job: Job, lines: TextIO) -> list[str]:
        """Show the lines as they come; return the last that are no progress."""
        tail: list[str] = []
        for line in map(str.rstrip, lines):
            reached = read_reached(line)
            if not self.stopped:  # the last words of commands that were ended are of no interest
                self.show(job.name, reached or line)
            if not reached:
                tail = [*tail, line][-_LINES_OF_A_BUG:]
        return tail

    def stop(self) -> None:
        """End whatever still runs."""
        self.stopped = True
        for process in self.processes:
            if process.returncode is None:  # to ask it would take its end from the thread that waits for that
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGTERM)


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
    """Yield what shows news of a job: bars and the lines above them on a terminal, else lines with the name before."""
    if manner().quiet or not sys.stderr.isatty():
        yield _lines()
        return
    with Bars.shown() as bars:

        def show(name: str, news: Reached | str) -> None:
            """Move the bar of a job, or print a line above the bars."""
            if isinstance(news, str):
                echo(f"  {name}: {news}", err=True)
            else:
                bars.move(name, news)

        yield show


def _lines() -> Show:
    told: dict[str, PlainProgress] = {}

    def show(name: str, news: Reached | str) -> None:
        """Print a line, or now and then how far the job is."""
        if isinstance(news, str):
            echo(f"  {name}: {news}", err=True)
        elif not manner().quiet:
            title = f"  {name}: {news.title}"
            told.setdefault(title, PlainProgress(title, pause=_PAUSE)).advance(*news[1:])

    return show
