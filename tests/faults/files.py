"""``python -m tests.faults files``: files of every kind that commands read, malformed or odd, through the commands.

Counted is what no command may do: end in a traceback, hang, crash, tell a mistake in other than one line that names
the file, use what is malformed, refuse what is right, or change or leave files when it refuses.
"""

import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from tests.faults.calls import call, load_libraries
from tests.faults.data_kinds import damaged_data, data_tries
from tests.faults.json_kinds import json_tries
from tests.faults.rows import WRONG, Report, main, reporting
from tests.faults.tries import Try
from tests.faults.yaml_kinds import damaged_yaml, yaml_tries


__all__ = ["WRONG", "run"]  # as every module of ``tests.faults`` has them
FILES = 1500


def prepare(folder: Path) -> None:
    """Write what calls read beside the file that is tried: rows, a model, a run, encoded rows."""
    from tests.tiny_data import write_raw, write_scratch
    from tests.tiny_runs import saved_run

    write_raw(folder, 12)
    write_scratch(folder)
    saved_run(folder / "run")
    options = ("--steps", "2", "--codebook-size", "4", "--hidden-size", "16", "--num-heads", "2", "--code-dim", "4")
    ending = call("encode", "raw.jsonl", "--model", "model.yaml", "--out", "encoded", *options, folder=folder)
    assert ending.code == 0, ending
    shutil.copy(folder / "encoded" / "vqvae" / "usage.json", folder / "run" / "vqvae")


def all_tries(count: int, seed: int, folder: Path) -> Iterator[Try]:
    """Return ``count`` calls: those of every known kind in a random order, then random damage and edits."""
    draw = random.Random(seed)
    known = [*chain(data_tries(), yaml_tries())]
    draw.shuffle(known)
    known = known[: max(count * 2 // 3, 1)]
    yield from known
    left = count - len(known)
    yield from (draw.choice((damaged_data, damaged_yaml))(draw) for _ in range(left // 2))
    yield from json_tries(folder, draw, left - left // 2)


def run_try(given: Try, base: Path, folder: Path, report: Report) -> None:
    """Make one call in a copy of ``base`` with the files that are tried."""
    shutil.copytree(base, folder)
    for name, content in given.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    told = call(*given.first, folder=folder).fault if given.first else None
    before = _contents(folder)
    ending = call(*given.command, folder=folder)
    what = f"{given.kind}: {' '.join(given.command)}\n   {ending.code} {(ending.err or ending.out)[-700:]!r}"
    named = given.named or next(iter(given.files))
    if told or ending.fault:
        report(told or ending.fault, what)
    elif ending.code and given.wanted == "fine":
        report("refused wrongly", what)
    elif not ending.code and given.wanted == "refused":
        report("malformed used", what)
    elif ending.code and Path(named).name not in ending.error and Path(named).parts[0] not in ending.error:
        report("not named", what)
    elif given.rows and not ending.code and (folder / "rows.out").read_bytes().count(b"\n") != given.rows:
        report("lost or made up", what)
    elif ending.code and _contents(folder) != before:
        report("strays", f"{what} {_contents(folder).keys() ^ before.keys()}")
    shutil.rmtree(folder)


def _contents(folder: Path) -> dict[str, int]:
    """Return all files with the time of their last change; caches apart, which may be left."""
    files = [path for path in folder.rglob("*") if ".cache" not in path.parts and path.is_file()]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}


def try_files(given: Iterable[Try], folder: Path, report: Report, budget: float | None = None) -> Counter:
    """Run files through the commands for at most ``budget`` minutes; returns how many calls were made of each."""
    made, ends = Counter(), time.monotonic() + 60 * (budget or 1e9)
    for one in given:
        made["files"] += 1
        run_try(one, folder / "base", folder / "try", report)
        if time.monotonic() > ends:
            break
    return made


def run(budget: float | None, count: int = FILES, seed: int = 0) -> dict[str, int]:
    """Try ``count`` files for at most ``budget`` minutes; returns the counts of files and of faults."""
    faults, report = reporting()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HF_HOME"] = f"{folder}/hub"
        load_libraries()
        base = Path(folder, "base")
        base.mkdir()
        prepare(base)
        made = try_files(all_tries(count, seed, base), Path(folder), report, budget)
    return {**made, **faults}


if __name__ == "__main__":
    main(run, FILES)
