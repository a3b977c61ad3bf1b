"""What is broken on purpose, as one table: ``make test-faults``.

    python -m tests.faults [--budget MINUTES] [MODULE ..]

Each module of ``MODULES`` has a function ``run(budget) -> counts``: it tries what it is about for at most ``budget``
minutes (None: as many as it finds right) and returns how many tries there were and what came of them, by name. Its
``WRONG`` names those counts that must be nothing; this ends with 1 if one of them is something.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module

from tests.faults import calls  # noqa: F401  it sets what libraries read when the first of the modules imports them


MODULES = (
    "crash_points",
    "kills",
    "races",
    "damages",
    "environments",
    "rows",
    "files",
)  # in the order in which they run


def table(found: Mapping[str, Mapping[str, int]], wrong: Mapping[str, Sequence[str]]) -> str:
    """The counts of all modules, a line each, in Markdown.

    Args:
        found: Of each module its counts.
        wrong: Of each module the names of what must be nothing; of them there is a column each.
    """
    names = list(dict.fromkeys(name for module in found for name in wrong[module]))
    lines = [["what", "tried", *names], ["---"] * (2 + len(names))]
    for module, counts in found.items():
        tried = ", ".join(f"{count:,} {name}" for name, count in counts.items() if name not in wrong[module])
        columns = (str(counts.get(name, 0)) if name in wrong[module] else "" for name in names)
        lines.append([module.replace("_", " "), tried, *columns])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def failures(found: Mapping[str, Mapping[str, int]], wrong: Mapping[str, Sequence[str]]) -> int:
    """How much came out that must be nothing."""
    return sum(found[module].get(name, 0) for module in found for name in wrong[module])


def main(arguments: list[str] | None = None) -> int:
    """Run the modules that are named, or all, and print the table; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(MODULES)}; all if none is named")
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="at most so long for each module")
    options = parser.parse_args(arguments)
    found, wrong = {}, {}
    for name in options.modules or MODULES:
        started = time.monotonic()
        module = import_module(f"tests.faults.{name}")
        found[name], wrong[name] = module.run(options.budget), module.WRONG
        print(f"{name}: {(time.monotonic() - started) / 60:.1f} minutes: {found[name]}", flush=True)
    print(table(found, wrong))
    return int(failures(found, wrong) > 0)


if __name__ == "__main__":
    sys.exit(main())
