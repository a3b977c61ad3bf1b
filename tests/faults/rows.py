"""``python -m tests.faults rows``: rows of which some are malformed, through the commands that read rows.

Counted is what no command may do: end in a traceback, hang, tell a mistake in other than one line that names row and
column, use a malformed row, leave out a good one with ``--skip-bad-rows``, or leave something behind when it refuses.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.faults.calls import Ending, call, fork, load_libraries
from tests.faults.row_kinds import Row, rows
from tests.tiny_data import write_scratch
from tests.tiny_runs import saved_run


ROWS = 10_000
WRONG = ("tracebacks", "hangs", "crashes", "not one line", "not named", "malformed used", "lost or made up")
WRONG += ("refused wrongly", "strays")
AT_ONCE = 100  # rows of a file
SHOWN = 3  # of each fault
Report = Callable[[str, str], None]  # the name of a fault, and what was given with what came of it


def try_rows(drawn: Sequence[Row], folder: Path, report: Report, budget: float | None = None) -> Counter:
    """Run rows through the commands for at most ``budget`` minutes; returns how many rows and calls there were."""
    made: Counter = Counter()
    ends = time.monotonic() + 60 * (budget or 1e9)
    run = saved_run(folder / "run")
    write_scratch(folder)
    for start in range(0, len(drawn), AT_ONCE):
        part = drawn[start : start + AT_ONCE]
        made["rows"] += len(part)
        _alone(part, folder, report)
        _skip(part, folder, report)
        for command in _commands(start, run.path):
            made["calls"] += 1
            _first_bad(part, command, folder, report)
        if time.monotonic() > ends:
            break
    made["rows encoded"] = _encode(drawn[: min(1000, made["rows"])], folder, report)
    return made


def _write(path: Path, lines: Sequence[bytes]) -> None:
    path.write_bytes(b"\n".join(lines) + b"\n")


def _skip(part: Sequence[Row], folder: Path, report: Report) -> None:
    """Convert a file, malformed rows left out: what is written must be what the rows give that convert alone."""
    _write(folder / "rows.jsonl", [row.line for row in part])
    out = folder / "plain.jsonl"
    out.unlink(missing_ok=True)
    ending = call("data", "convert", "rows.jsonl", "--skip-bad-rows", "--out", "plain.jsonl", folder=folder)
    if ending.fault or ending.code:
        return report(ending.fault or "refused wrongly", f"{len(part)} rows: {ending}")
    alone = [folder / f"one-{number}.out" for number in range(len(part))]
    if out.read_bytes() != b"".join(path.read_bytes() for path in alone if path.exists()):
        report("lost or made up", f"convert --skip-bad-rows: {ending}")


def _alone(part: Sequence[Row], folder: Path, report: Report) -> None:
    """Convert each row by itself, in one fork that tells of each what came of it."""

    def convert() -> None:
        from click.testing import CliRunner

        from pipelines.cli import main

        for number, row in enumerate(part):
            _write(folder / "one.jsonl", [row.line])
            result = CliRunner().invoke(main, ["data", "convert", "one.jsonl", "--out", f"one-{number}.out"])
            bug = result.exception and not isinstance(result.exception, SystemExit)
            trouble = f"{type(result.exception).__name__}: {result.exception}"[:300] if bug else ""
            print(json.dumps([result.exit_code, result.stdout, result.stderr, trouble]), flush=True)

    for path in folder.glob("one-*.out"):
        path.unlink()
    ending = fork(convert, folder, 120)
    said = [json.loads(line) for line in ending.out.splitlines()]
    for number, (row, (code, out, err, bug)) in enumerate(zip(part, said, strict=False)):
        what = f"{row.kind}: {row.line[:200]!r}{'..' * (len(row.line) > 200)}\n   {(bug or err)[:400]!r}"
        _judge(row, Ending(code, out, err), bug, report, what)
        wrote = folder / f"one-{number}.out"
        if code and wrote.exists():
            report("strays", what)
        elif not code and row.plain and _said(wrote) != [row.plain]:
            report("lost or made up", f"{what} {_said(wrote)}")
    if ending.fault or len(said) < len(part):
        report(ending.fault or "crashes", f"{part[len(said)] if len(said) < len(part) else ending}")


def _said(path: Path) -> list[tuple[str, list[str], str]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    return [(row["question"], row["steps"], row["answer"]) for row in rows]


def _judge(row: Row, ending: Ending, bug: str, report: Report, what: str) -> None:
    if bug:
        report("tracebacks", what)
    elif ending.fault:
        report(ending.fault, what)
    elif row.told and bool(ending.code) != (row.plain is None):
        report("malformed used" if row.plain is None else "refused wrongly", what)
    elif ending.code and not ending.error.startswith("one.jsonl:1"):
        report("not named", what)
    elif ending.code and row.told and row.field not in ending.error:
        report("not named", f"{row.field}: {what}")


def _commands(start: int, run: Path) -> Iterator[tuple[str, ...]]:
    """Yield the further commands that a part of the rows goes through."""
    yield "generate", str(run), "--input", "rows.jsonl", "--print-prompt"
    if start % 1000 == 0:
        yield "evaluate", str(run), "rows.jsonl", "--max-new-tokens", "1"
        yield "train", "rows.jsonl", "--method", "cot", "--model", "model.yaml", "--out", "trained", "--steps", "1"
        yield "encode", "rows.jsonl", "--model", "model.yaml", "--out", "encoded", "--steps", "1"
        yield "data", "split", "rows.jsonl", "--train", "kept.jsonl", "--valid", "drawn.jsonl"


def _first_bad(part: Sequence[Row], command: tuple[str, ...], folder: Path, report: Report) -> None:
    """Give a command rows whose first one alone of several good ones is malformed: it must name that row."""
    told = [row for row in part if row.told and row.kind != "no question"]
    bad = next(row for row in told if row.plain is None and row.kind in _ANYWHERE or row.kind.startswith("line: "))
    good = [row.line for row in told if row.plain][:7]
    _write(folder / "rows.jsonl", [*good, b"", bad.line])
    ending = call(*command, folder=folder)
    what = f"{command[0]}, {bad.kind}: {bad.line[:200]!r}\n   {ending.err[-600:]!r}"
    if ending.fault:
        report(ending.fault, what)
    elif not ending.code:
        report("malformed used", what)
    elif not ending.error.startswith(f"rows.jsonl:{len(good) + 2}") or bad.field not in ending.error:
        report("not named", what)
    for left in ("trained", "encoded", "kept.jsonl", "drawn.jsonl"):
        if (folder / left).exists():
            report("strays", f"{left}: {what}")


_ANYWHERE = ("half of a character", "digits", "brackets", "a name twice", "name: NUL", "name: half of a character")


def _encode(part: Sequence[Row], folder: Path, report: Report) -> int:
    """Encode rows, malformed ones left out: those that are kept must be the others. Returns how many were given."""
    from pyarrow import parquet

    chosen = [row for row in part if row.told and b"messages" not in row.line]
    _write(folder / "rows.jsonl", [row.line for row in chosen])
    options = ("--skip-bad-rows", "--steps", "2", "--codebook-size", "4", "--hidden-size", "16", "--num-heads", "2")
    given = ("encode", "rows.jsonl", "--model", "model.yaml", "--out", "encoded", "--valid-fraction", "0")
    ending = call(*given, *options, folder=folder, seconds=300)
    if ending.fault or ending.code:
        report(ending.fault or "refused wrongly", f"encode: {ending}")
        return len(chosen)
    tables = [parquet.read_table(path) for path in sorted((folder / "encoded").glob("train-*.parquet"))]
    found = [question for table in tables for question in table["question"].to_pylist()]
    wanted = [row.plain[0] for row in chosen if row.plain]
    if found != wanted:
        report("lost or made up", f"encode: {len(found)} rows in place of {len(wanted)}")
    return len(chosen)


def run(budget: float | None, count: int = ROWS, seed: int = 0) -> dict[str, int]:
    """Try ``count`` rows for at most ``budget`` minutes; returns the counts of calls and of faults."""
    faults, report = reporting()
    load_libraries()
    with tempfile.TemporaryDirectory() as folder:
        made = try_rows([*rows(count, seed)], Path(folder), report, budget)
    return {**made, **faults}


def reporting() -> tuple[Counter, Report]:
    """Return a counter of faults, and what counts one and shows the first few of each."""
    faults: Counter = Counter()

    def report(fault: str, what: str) -> None:
        """Count a fault."""
        faults[fault] += 1
        if faults[fault] <= SHOWN:
            print(f"{fault}: {what}", flush=True)

    return faults, report


def main(tried: Callable[[float | None, int, int], dict[str, int]], most: int) -> None:
    """Take options from the command line, try so many, print the counts; exit status 1 if there is any fault."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=most)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    counts = tried(None, given.count, given.seed)
    print(", ".join(f"{count} {name}" for name, count in counts.items()))
    sys.exit(any(counts.get(name) for name in WRONG))


if __name__ == "__main__":
    main(run, ROWS)
