"""What is broken on purpose, as one table: ``make test-faults``.

    python -m tests.faults [--budget MINUTES] [MODULE ..]

Each module of ``MODULES`` has a function ``run(budget) -> counts``: it tries what it is about for at most ``budget``
minutes (None: all of it) and returns how many tries there were and what came of them, by name. Ends with 1 if a count
that must be nothing (``BAD``) is something.
"""

import argparse
import sys
import time
from collections.abc import Mapping
from importlib import import_module


MODULES = ("crash_points", "kills", "races", "damages")  # in the order in which they run
BAD = ("different", "lost", "tracebacks", "hangs", "strays", "not durable", "refused wrongly", "silent")
BAD += ("both worked", "neither worked")


def table(found: Mapping[str, Mapping[str, int]]) -> str:
    """The counts of all modules, a line each, in Markdown; of what must be nothing there is a column each."""
    names = [name for name in BAD if any(name in counts for counts in found.values())]
    lines = [["what", "tried", *names], ["---"] * (2 + len(names))]
    for module, counts in found.items():
        tried = ", ".join(f"{count:,} {name}" for name, count in counts.items() if name not in BAD)
        lines.append([module.replace("_", " "), tried, *(str(counts.get(name, "")) for name in names)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def failures(found: Mapping[str, Mapping[str, int]]) -> int:
    """How much came out that must be nothing."""
    return sum(counts.get(name, 0) for counts in found.values() for name in BAD)


def main(arguments: list[str] | None = None) -> int:
    """Run the modules that are named, or all, and print the table; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(MODULES)}; all if none is named")
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="at most so long for each module")
    options = parser.parse_args(arguments)
    found = {}
    for name in options.modules or MODULES:
        started = time.monotonic()
        found[name] = import_module(f"tests.faults.{name}").run(options.budget)
        print(f"{name}: {(time.monotonic() - started) / 60:.1f} minutes: {found[name]}", flush=True)
    print(table(found))
    return int(failures(found) > 0)


if __name__ == "__main__":
    sys.exit(main())
