"""``python -m tests.faults.files``: files of every kind that commands read, malformed or odd, through the commands.

Counted is what no command may do: end in a traceback, hang, crash, tell a mistake in other than one line that names
the file, use what is malformed, refuse what is right, or change or leave files when it refuses.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from tests.faults.calls import call, load_libraries
from tests.faults.data_kinds import damaged_data, data_tries
from tests.faults.json_kinds import json_tries
from tests.faults.rows import SHOWN, Report
from tests.faults.tries import Try
from tests.faults.yaml_kinds import damaged_yaml, yaml_tries


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
        report("refused what is right", what)
    elif not ending.code and given.wanted == "refused":
        report("used what is malformed", what)
    elif ending.code and Path(named).name not in ending.error and Path(named).parts[0] not in ending.error:
        report("file not named", what)
    elif given.rows and not ending.code and (folder / "rows.out").read_bytes().count(b"\n") != given.rows:
        report("rows lost or made up", what)
    elif ending.code and _contents(folder) != before:
        report("something left behind", f"{what} {_contents(folder).keys() ^ before.keys()}")
    shutil.rmtree(folder)


def _contents(folder: Path) -> dict[str, int]:
    """Return all files with the time of their last change; caches apart, which may be left."""
    files = [path for path in folder.rglob("*") if ".cache" not in path.parts and path.is_file()]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}


def try_files(count: int, seed: int, folder: Path, report: Report) -> Counter:
    """Run files through the commands; returns how many calls were made of each."""
    base, made = folder / "base", Counter()
    base.mkdir()
    prepare(base)
    for given in all_tries(count, seed, base):
        made[given.command[0]] += 1
        run_try(given, base, folder / "try", report)
    return made


def main() -> None:
    """Run it and print the counts; the exit status is 1 if there is any fault."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=SHOWN, help="of each fault")
    given = parser.parse_args()
    faults: Counter = Counter()

    def report(fault: str, what: str) -> None:
        faults[fault] += 1
        if faults[fault] <= given.show:
            print(f"{fault}: {what}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        os.environ["HF_HOME"] = f"{folder}/hub"
        load_libraries()
        made = try_files(given.files, given.seed, Path(folder), report)
    print(f"files: {given.files} files, calls: " + ", ".join(f"{count} {name}" for name, count in made.items()))
    print("files: " + (", ".join(f"{count} {name}" for name, count in faults.items()) or "0 faults"))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
