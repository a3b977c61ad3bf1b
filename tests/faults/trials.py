"""The folders of a process that tries commands, and what it does with them; and the processes that try them together.

    python -m tests.faults.trials MODULE HOME SHARE SHARES RESULTS SECONDS

is one of these processes. Results are JSON lines in a file that all of them append to. They are kept, so that a call
that was interrupted goes on, and belong to the code as it is: other code begins anew.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path

from tests.faults.cases import Case, lay_out, make_stock
from tests.faults.changes import Change, not_durable, read_changes
from tests.faults.forks import End, Ended, build_shim, command, environment, import_libraries, start, wait
from tests.faults.outcome import PASSED_OVER, contents, faults


ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "faults"


class Trial:
    """One process's folders.

    Attributes:
        folder: Where commands run.
        wanted: What each case leaves if nothing disturbs it.
        seconds: How long it then takes.
        changes: The changes of files that it then makes.

    Args:
        home: The folder of the process.
        results: File of results.
        until: When to stop, as ``time.time`` counts.
    """

    def __init__(self, home: Path, results: Path, until: float) -> None:
        self.folder, self.stock, self.results, self.until = home / "work", home / "stock", results, until
        self.output, self.log, self.modules = home / "output.txt", home / "changes.txt", home / "modules.json"
        self.wanted: dict[str, dict[str, str]] = {}
        self.seconds: dict[str, float] = {}
        self.changes: dict[str, list[Change]] = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        import_libraries()
        make_stock(self.stock, self.output)
        known = read_results(results)
        self.tried = {one["try"] for one in known if "try" in one}

    def begin(self, case: Case, output: Path | None = None, end: End | None = None) -> int:
        """Begin a command where it lies; returns its process."""
        return start(command(case.arguments), self.folder, output or self.output, end, self.log)

    def run(self, case: Case, end: End | None = None) -> Ended:
        """Run a command where it lies."""
        return wait(self.begin(case, end=end), self.output)

    def lay_out(self, case: Case) -> None:
        """Lay out what a command is given, and nothing else."""
        lay_out(case, self.stock, self.folder)

    def import_for(self, case: Case) -> None:
        """Run a command and import what it imported, so that it takes no time later."""
        self.lay_out(case)
        wait(start(command(case.arguments, self.modules), self.folder, self.output), self.output)
        import_libraries(json.loads(self.modules.read_text()))

    def undisturbed(self, case: Case) -> dict[str, object]:
        """Run a command to its end and once more; remember what it leaves, return what is wrong with that."""
        self.lay_out(case)
        ended = self.run(case, End())
        assert ended.status == 0, f"{case.name}: {ended.output}"
        changes, wanted = read_changes(self.log), contents(self.folder)
        self.changes[case.name], self.wanted[case.name], self.seconds[case.name] = changes, wanted, ended.seconds
        again = self.run(case)
        wrong = faults(again, wanted, contents(self.folder))
        wrong["not durable"] = not_durable(changes, self.folder, PASSED_OVER)
        wrong["silent"] = "" if case.done in again.output else again.output[-300:] or "says nothing"
        return {name: what for name, what in wrong.items() if what}

    def finish(self, case: Case) -> dict[str, object]:
        """Give an interrupted command again and return what is wrong in the end."""
        return faults(self.run(case), self.wanted[case.name], contents(self.folder))

    def note(self, record: dict[str, object]) -> None:
        """Append one result."""
        with self.results.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def over(self) -> bool:
        """Whether the time is up."""
        return time.time() > self.until


def read_results(results: Path) -> list[dict]:
    """Read a file of results; none if there is none yet."""
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def count(records: Iterable[dict], names: Sequence[str]) -> dict[str, int]:
    """How many of the records have something wrong, by the names of what it is; a try counts once."""
    last = {one.get("try", f"case {one['case']}"): one for one in records}
    found = Counter({name: 0 for name in names})
    found.update(name for one in last.values() for name in one.get("wrong", ()))
    return dict(found)


def results_of(module: str) -> Path:
    """Return the file of a module's results for the code as it is."""
    digest = hashlib.sha256()
    for package in ("vqvae", "mixlm", "pipelines", "tests/faults"):
        for path in sorted((ROOT / package).rglob("*")):
            if path.suffix in (".py", ".c"):
                digest.update(path.read_bytes())
    return KEPT / f"{module}-{digest.hexdigest()[:12]}.jsonl"


def run_processes(module: str, minutes: float) -> list[dict]:
    """Let a process a core try what ``MODULE.work`` tries, for a time, and return the results."""
    KEPT.mkdir(parents=True, exist_ok=True)
    shim, results = build_shim(KEPT), results_of(module)
    count, running = len(os.sched_getaffinity(0)), []
    for share in range(count):
        home = KEPT / f"process-{share}"
        arguments = [str(home), str(share), str(count), str(results), str(60 * minutes)]
        whole = [sys.executable, "-m", "tests.faults.trials", module, *arguments]
        running.append(subprocess.Popen(whole, cwd=ROOT, env=environment(shim, home / "work")))
    ended = [process.wait() for process in running]
    assert not any(ended), f"{module}: its processes ended with {ended}"
    return read_results(results)


def main(module: str, home: str, share: str, shares: str, results: str, seconds: str) -> None:
    """Be one of the processes."""
    trial = Trial(Path(home), Path(results), time.time() + float(seconds))
    import_module(f"tests.faults.{module}").work(trial, int(share), int(shares))


if __name__ == "__main__":
    main(*sys.argv[1:])
