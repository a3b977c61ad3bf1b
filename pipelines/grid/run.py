"""Running the cells of a grid: each part once, some at a time, and a line of results for each cell that is done."""

import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import yaml

from mixlm.comparison.alerts import last_latents_right
from mixlm.comparison.results import Result, append_line, checksums, make_result, read_results
from mixlm.data.samples import read_samples
from mixlm.data.texts.responses import compile_pattern
from mixlm.encoding.manifest import holds_codes
from mixlm.errors import InputError
from mixlm.generation.options import parse_latent_modes
from mixlm.methods import METHODS
from mixlm.model.loading import described_config
from pipelines.grid.attempts import Attempts
from pipelines.grid.commands import check_command
from pipelines.grid.folder import ATTEMPTS, MODEL, RESULTS, claimed
from pipelines.grid.plan import Cell, Part, Plan
from pipelines.shared.jobs import JobError, Runner, shown
from pipelines.shared.progress import time_of
from pipelines.shared.terminal import echo, notice
from vqvae.stopping import Stopped, ended_at_once


_ABSENT = "nothing"


def run_cells(plan: Plan, cells: Sequence[Cell], at_once: int) -> list[Cell]:
    """Run the cells that have no result yet.

    Args:
        plan: The plan they belong to.
        cells: The cells.
        at_once: Commands that run at the same time.

    Returns:
        The cells that failed; each was reported in one line, and the others went on.

    Raises:
        InputError: If a command of any cell is wrong, or a result in the folder is of other settings.
    """
    _check(plan, _waiting(plan, cells))
    with claimed(plan.out) as lock:
        waiting = _waiting(plan, cells)  # another process may have worked in the folder until now
        work = _Work(plan)
        work.runner.inherited = (lock,)
        work.check(waiting)
        work.waiting = len(waiting)
        _write_model(plan)
        notice(f"{plan.grid.path}: {len(cells)} cells, {len(cells) - len(waiting)} done; results in {plan.out}")
        failed = work.run_all(waiting, at_once)
    return [cell for cell in failed if cell]


def _waiting(plan: Plan, cells: Sequence[Cell]) -> list[Cell]:
    done = finished_results(plan)
    return [cell for cell in cells if (cell.entry.label, cell.seed) not in done]


def _check(plan: Plan, cells: Sequence[Cell]) -> None:
    """Find what is wrong with the commands of cells, or with the files that they read, before anything is written."""
    for part in {part.job.name: part for cell in cells for part in cell.parts}.values():
        check_command(part.job, plan.grid.path)
    if cells and not isinstance(plan.grid.model, str):
        described_config(plan.grid.model, f"{plan.grid.path}: model")
    if cells and "task" not in plan.grid.data:
        checksums(plan.files)
        _require_traces(plan, cells)


def _require_traces(plan: Plan, cells: Sequence[Cell]) -> None:
    """Raise an ``InputError`` if the test rows have no trace to take shares of, as modes of decoding ask for."""
    modes = {mode for cell in cells for mode in parse_latent_modes(cell.entry.evaluate["latents"])}
    shares, test = sorted(str(mode) for mode in modes if mode.share), plan.files["test"]
    if not shares or holds_codes(test):
        return
    pattern = compile_pattern(cells[0].entry.answer_pattern)  # of all entries the same
    if not any(sample.steps for sample in read_samples(test, pattern=pattern)):
        raise InputError(
            f"{test}: its rows have no trace, of which {', '.join(shares)} take a share; give 'latents' under "
            f"'evaluate' of {plan.grid.path}, such as free"
        )


def finished_results(plan: Plan) -> dict[tuple[str, int], Result]:
    """Return the results in the plan's folder by label and seed.

    Raises:
        InputError: If one of them was obtained with settings that the grid no longer has.
    """
    path = plan.out / RESULTS
    results = {(result["label"], result["seed"]): result for result in read_results(path)}
    for (label, seed), result in results.items():
        if label in plan.grid.entries and result["identity"] != plan.grid.identity(label):
            raise InputError(
                f"{path}: '{label}' with seed {seed} was run with other settings than {plan.grid.path} has now "
                f"({_changed(result['settings'], plan.grid.settings(label))}); choose another --out, or give the "
                "changed method another name"
            )
    return results


def _changed(before: Any, now: Any, name: str = "") -> str:
    """Name the first setting that differs, with both values."""
    if isinstance(before, dict) and isinstance(now, dict):
        key = next((key for key in [*before, *now] if before.get(key, _ABSENT) != now.get(key, _ABSENT)), None)
        if key is None:  # 1 and 1.0 are equal here, and not as they were noted
            return "a number is written in another way"
        return _changed(before.get(key, _ABSENT), now.get(key, _ABSENT), f"{name} {key}".strip())
    return f"{name}: {before} then, {now} now"


def _write_model(plan: Plan) -> None:
    """Write the model from scratch, if the grid describes one."""
    if not isinstance(plan.grid.model, str):
        (plan.out / MODEL).write_text(yaml.safe_dump(dict(plan.grid.model), sort_keys=False), encoding="utf-8")


class _Work:
    """What the threads share: the running commands, a lock for each part, and the two files of lines.

    Args:
        plan: The plan.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.runner = Runner(stop_on_failure=False)
        self.attempts = Attempts(plan.out / ATTEMPTS)
        self.locks: dict[str, Lock] = defaultdict(Lock)
        self.writing = Lock()
        self.failures: set[str] = set()
        self.failed: set[str] = set()  # cells
        self.started, self.waiting, self.written = time.monotonic(), 0, 0
        self.data = next((result["data"] for result in finished_results(plan).values()), {})

    def check(self, cells: Sequence[Cell]) -> None:
        """Raise an ``InputError`` if what is there is of other settings or data than the cells are to be."""
        done = [
            (part, cell.parts[: place + 1]) for cell in cells for place, part in enumerate(cell.parts) if part.done()
        ]
        for part, _ in done:
            if self.attempts.identity(part.job.name) not in (part.identity, None):
                raise InputError(
                    f"{part.finished}: is of other settings than {self.plan.grid.path} has now; choose another --out, "
                    "or give the changed method another name"
                )
        if cells:
            checksums({split: file for split, file in self.plan.files.items() if Path(file).is_file()}, self.data)
        for part, parts in done:
            before = self.attempts.inputs(part.job.name)
            for name, content in self.plan.inputs(parts).items():
                if before.get(name, content) != content:
                    raise InputError(
                        f"{part.finished}: was made of another {name} than is there now; choose another --out, or put "
                        "back what was there"
                    )

    def run_all(self, cells: Sequence[Cell], at_once: int) -> list[Cell | None]:
        """Run what cells lack, so many at once; returns those that failed, and None for others.

        Raises:
            Stopped: If an end was asked for; it says what is kept.
        """
        try:
            with shown() as self.runner.show, ThreadPoolExecutor(at_once) as pool, ended_at_once():
                try:
                    return list(pool.map(self.run, cells))
                except BaseException:
                    self.runner.stop()
                    raise
        except Stopped as ended:
            raise Stopped(f"{ended}; {self._kept()}; the same command goes on", ended.status - 128) from None

    def run(self, cell: Cell) -> Cell | None:
        """Run what a cell still lacks and write its result; returns the cell if it failed."""
        try:
            for place, part in enumerate(cell.parts):
                self._run_part(part, cell.parts[: place + 1])
            if not self.runner.stopped:
                self._write(cell)
        except InputError as error:
            self.failed.add(cell.name)
            echo(f"Error: {cell.name}: {error}", err=True)
            return cell
        return None

    def _run_part(self, part: Part, parts: Sequence[Part]) -> None:
        """Run a part that is not done, which goes on with the work of those before it among ``parts``."""
        with self._lock(part.job.name):
            if self.runner.stopped or part.done():
                return
            if part.job.name in self.failures:  # for another cell; trying again would fail again
                raise InputError(f"needs '{part.job.name}', which failed")
            inputs = self.plan.inputs(parts)
            with self.attempts.noted(part.job.name, part.identity, part.job.line(), inputs) as record:
                try:
                    record["cpu_seconds"] = self.runner.run(part.job).cpu_seconds
                except JobError as error:
                    record["cpu_seconds"] = error.cpu_seconds
                    self.failures.add(part.job.name)
                    raise

    def _lock(self, name: str) -> Lock:
        with self.writing:
            return self.locks[name]

    def _write(self, cell: Cell) -> None:
        plan, label = self.plan, cell.entry.label
        encodings = (part.finished for part in cell.parts if part.kind == "encode")
        encoding = (
            next(encodings, None) if cell.entry.needs_codes else None
        )  # else it is that of the run it starts from
        about = {
            "label": label,
            "method": cell.entry.method,
            "seed": cell.seed,
            "identity": plan.grid.identity(label),
            "command": plan.command(cell),
            "commands": [part.job.line() for part in cell.parts],
            "settings": plan.grid.settings(label),
            "data": checksums(plan.files, self.data),
        }
        seconds, right = (
            self.attempts.seconds(part for part in cell.parts if part.kind != "data"),
            self._latents_right(cell),
        )
        result = make_result(about, cell.parts[-1].finished, encoding, seconds, right, cell.run)
        with self.writing:
            self.data = self.data or about["data"]
            append_line(plan.out / RESULTS, result)
            self.written += 1
        mode, figures = next(iter(result["modes"].items()))
        found = f"{figures['accuracy']:.1%} right, {figures['tokens']['total']:.1f} tokens ({mode})"
        notice(f"{cell.name}: {found}{self._left()}")
        for alert in result["alerts"]:
            notice(f"{cell.name}: alert: {alert}")

    def _kept(self) -> str:
        """Return in words what an end leaves: results of cells, and of others what their commands have kept."""
        done = len(finished_results(self.plan))
        return f"{done} cell{'s' * (done != 1)} done, what others have made so far is kept in {self.plan.out}"

    def _left(self) -> str:
        """Return how many cells are left, and about how long they take if they are like those that were run now."""
        left = self.waiting - self.written - len(self.failed)
        each = (time.monotonic() - self.started) / self.written
        return f"; {left} more cell{'s' * (left > 1)}, about {time_of(left * each)}" if left > 0 else ""

    def _latents_right(self, cell: Cell) -> float | None:
        """Return the last share of right latents of a training whose latents are the codes of stage 1."""
        if cell.entry.untrained or not METHODS[cell.entry.method].codes_mean_chunks:
            return None
        from vqvae.training.curve import CURVE, read_curve

        return last_latents_right(read_curve(cell.run / CURVE))
