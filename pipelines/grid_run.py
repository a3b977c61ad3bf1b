"""Running the cells of a grid: each part once, some at a time, and a line of results for each cell that is done."""

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import click
import yaml

from mixlm.comparison.results import Result, append_result, checksum, make_result, read_results
from mixlm.errors import InputError
from pipelines.check_command import check_command
from pipelines.demo_plan import Job
from pipelines.grid_plan import MODEL, SPLITS, Cell, Part, Plan
from pipelines.side_by_side import Runner, shown


RESULTS, PARTS = "results.jsonl", "parts.jsonl"


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
    done = finished_results(plan)
    waiting = [cell for cell in cells if (cell.entry.label, cell.seed) not in done]
    for part in {part.job.name: part for cell in waiting for part in cell.parts}.values():
        check_command(part.job, plan.grid.path)
    _prepare(plan)
    click.echo(f"{plan.grid.path}: {len(cells)} cells, {len(cells) - len(waiting)} done; results in {plan.out}")
    work = _Work(plan)
    with shown() as work.runner.show, ThreadPoolExecutor(at_once) as pool:
        try:
            failed = list(pool.map(work.run, waiting))
        except BaseException:
            work.runner.stop()
            raise
    return [cell for cell in failed if cell]


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
                f"{path}: '{label}' with seed {seed} was run with other settings than {plan.grid.path} has now; "
                f"choose another --out, or give the changed method another name"
            )
    return results


def _prepare(plan: Plan) -> None:
    """Make the folder, with the model from scratch if the grid describes one."""
    for folder in ("data", "encoded", "runs", "answers"):
        (plan.out / folder).mkdir(parents=True, exist_ok=True)
    if not isinstance(plan.grid.model, str):
        (plan.out / MODEL).write_text(yaml.safe_dump(dict(plan.grid.model), sort_keys=False), encoding="utf-8")


class _Work:
    """What the threads share: the running commands, a lock for each part, and the two files of lines."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.runner = Runner(stop_on_failure=False)
        self.locks: dict[str, Lock] = defaultdict(Lock)
        self.writing = Lock()
        self.failures: set[str] = set()

    def run(self, cell: Cell) -> Cell | None:
        """Run what a cell still lacks and write its result; returns the cell if it failed."""
        try:
            for part in cell.parts:
                self._run_part(part)
            if not self.runner.stopped:
                self._write(cell)
        except InputError as error:
            click.echo(f"Error: {cell.name}: {error}", err=True)
            return cell
        return None

    def _run_part(self, part: Part) -> None:
        with self._lock(part.job.name):
            if self.runner.stopped or part.done():
                return
            if part.job.name in self.failures:  # for another cell; trying again would fail again
                raise InputError(f"needs '{part.job.name}', which failed")
            with self._noted(part.job) as record:
                try:
                    finished = self.runner.run(part.job)
                except InputError:
                    self.failures.add(part.job.name)
                    raise
                record["cpu_seconds"] = finished.cpu_seconds

    def _lock(self, name: str) -> Lock:
        with self.writing:
            return self.locks[name]

    @contextmanager
    def _noted(self, job: Job) -> Iterable[dict[str, Any]]:
        """Note how long a command took, also one that was interrupted: a resumed part is the sum of its attempts."""
        started, record = time.monotonic(), {"part": job.name, "command": job.line(), "cpu_seconds": 0.0}
        try:
            yield record
        finally:
            record["seconds"] = time.monotonic() - started
            with self.writing:
                append_result(self.plan.out / PARTS, record)

    def _write(self, cell: Cell) -> None:
        plan, label = self.plan, cell.entry.label
        encoding = next((part for part in cell.parts if part.kind == "encode"), None)
        data = {split: {"file": plan.files[split], "sha256": checksum(plan.files[split])} for split in SPLITS}
        about = {
            "label": label,
            "method": cell.entry.method,
            "seed": cell.seed,
            "identity": plan.grid.identity(label),
            "command": f"mixlm compare {plan.grid.path} --out {plan.out} --only {label} --seed {cell.seed}",
            "commands": [part.job.line() for part in cell.parts],
            "settings": plan.grid.settings(label),
            "data": data,
        }
        manifest = encoding.finished if encoding else None
        result = make_result(about, cell.parts[-1].finished, manifest, seconds_of(plan.out / PARTS, cell.parts))
        with self.writing:
            append_result(plan.out / RESULTS, result)
        first = next(iter(result["modes"].items()))
        click.echo(
            f"{cell.name}: {first[1]['accuracy']:.1%} right, {first[1]['tokens']['total']:.1f} tokens ({first[0]})"
        )


def seconds_of(path: Path, parts: Sequence[Part]) -> dict[str, dict[str, float]]:
    """Return the wall-clock and processor seconds of each kind of part, summed over parts and their attempts.

    Args:
        path: The file of attempts.
        parts: The parts of a cell; what they share with other cells counts in full, for each would need it.
    """
    kinds = {part.job.name: part.kind for part in parts if part.kind != "data"}
    seconds: dict[str, dict[str, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        record = json.loads(line)
        if record["part"] in kinds:
            kind = seconds.setdefault(kinds[record["part"]], {"wall": 0.0, "cpu": 0.0})
            kind["wall"] += record["seconds"]
            kind["cpu"] += record["cpu_seconds"]
    return seconds
