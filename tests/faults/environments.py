"""``python -m tests.faults environments``: odd paths and surroundings, through the commands.

A command must work as ever, or end in one line. Counted are commands that end in a traceback or hang, whose result is
another, and those that fail and yet change what was there.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.faults.calls import SECONDS, Ending, fork, own_place, tell
from tests.faults.damages import ENCODE, SHORT, steady
from tests.faults.surroundings import (
    AROUND,
    INS,
    OUTS,
    PLACED,
    PLACES,
    SKIPPED,
    STREAMS,
    VARIABLES,
    drop_rights,
    place,
    reopen,
)
from tests.faults.tries import try_mixed


ROOT = Path(__file__).parents[2]
TRAIN = "--method cot --batch-size 8 --steps 2"
WRITING = {  # commands with a place to write to, and what is compared of it
    f"{ENCODE} --out": "*.parquet",
    f"train raw.jsonl --model model.yaml {TRAIN} --out": "model.safetensors",
    f"generate run --input questions.jsonl {SHORT} --output": "",
    f"evaluate run raw.jsonl --limit 2 {SHORT} --out": "",
    f"analyze run encoded --only codes --limit 2 {SHORT} --out": "*.csv",
    "export lm-eval run raw.jsonl --limit 2 --out": "*.yaml",
    "data convert raw.jsonl --out": "",
    "data multiplication --rows 4 --out": "",
    "compare grid.yaml --dry-run --out": "",
}
READING = (  # commands with a place to read from
    f"encode @ --model model.yaml {ENCODE.partition('model.yaml')[2]} --out out",
    f"encode raw.jsonl --model @ {ENCODE.partition('model.yaml')[2]} --out out",
    "encode raw.jsonl --model encoded/tokenizer --vqvae @ --out out",
    f"{ENCODE} --config @ --out out",
    f"train @ --model model.yaml {TRAIN} --out out",
    f"train raw.jsonl --model @ {TRAIN} --out out",
    f"train raw.jsonl --model model.yaml --valid @ {TRAIN} --out out",
    f"generate @ 1+1? {SHORT}",
    f"generate run --input @ {SHORT}",
    f"evaluate @ raw.jsonl --limit 2 {SHORT}",
    f"evaluate run @ --limit 2 {SHORT}",
    f"analyze run @ --only codes --limit 2 {SHORT} --out out",
    f"analyze @ encoded --only codes --limit 2 {SHORT} --out out",
    "export lm-eval run @ --limit 2 --out out",
    "data convert @ --out out.jsonl",
    "compare @ --dry-run --out out",
    "check @",
)
NAMED = "\N{CJK UNIFIED IDEOGRAPH-4E2D}\N{LATIN SMALL LETTER U WITH DIAERESIS}.jsonl"
AS_EVER = {  # commands in odd surroundings, and the files of their result
    f"{ENCODE} --out disk/out": "disk/out/*.parquet",
    f"train raw.jsonl --model model.yaml {TRAIN} --out disk/out": "disk/out/model.safetensors",
    f"generate run 1+1? {SHORT}": "",
    f"generate run --input {NAMED} {SHORT} --output disk/out.jsonl": "disk/out.jsonl",
    f"evaluate run raw.jsonl --limit 2 {SHORT} --out disk/out.json": "disk/out.jsonl",
    "data convert raw.jsonl --out disk/out.jsonl": "disk/out.jsonl",
    "check run": "",
    "--help": "",
}
MINUTES = 10.0  # of a call without a budget
WRONG = ("different", "changed what was there", "tracebacks", "hangs", "crashes", "not one line")


class Odd(NamedTuple):
    """One call.

    Attributes:
        kind: What is odd.
        line: The command line; "@" stands for the path that ``make`` returns.
        make: Given the folder of the call, makes what is odd there and returns its path.
        around: Called in the process of the command before it runs.
        variables: Of the environment; they take a process of its own.
    """

    kind: str
    line: str
    make: Callable[[Path], str] = lambda folder: ""
    around: Callable[[], object] = lambda: None
    variables: Callable[[Path], dict[str, str | None]] | None = None


def all_calls() -> list[Odd]:
    """Every call of the trial."""
    found = [Odd(f"writes {kind}", f"{line} @", make, drop_rights) for line in WRITING for kind, make in OUTS.items()]
    found += [Odd(f"reads {kind}", line, make, drop_rights) for line in READING for kind, make in INS.items()]
    found += [Odd(kind, line, around=around) for line in AS_EVER for kind, around in AROUND.items()]
    for line in AS_EVER:
        found += [Odd(kind, line, variables=lambda _, v=values: v) for kind, values in VARIABLES.items()]
        found += [Odd(kind, line, around=around, variables=lambda _: {}) for kind, around in STREAMS.items()]
        for name in PLACED:
            for kind in PLACES:
                found.append(Odd(f"{name} is {kind}", line, around=drop_rights, variables=_placed(name, kind)))
    return found


def _placed(name: str, kind: str) -> Callable[[Path], dict[str, str | None]]:
    """Return what puts a variable to a place of some kind; others that would win over it are not set."""
    stronger = {"HOME": ("HF_HOME", "XDG_CACHE_HOME", "HF_DATASETS_CACHE"), "XDG_CACHE_HOME": ("HF_HOME",)}
    return lambda folder: dict.fromkeys(stronger.get(name, ())) | {name: place(kind)(folder)}


class Trial:
    """Commands that are called in copies of what they are given.

    Args:
        folder: A new one.
        report: Told of each call that went wrong: how, and what.
    """

    def __init__(self, folder: Path, report: Callable[[str, str], None]) -> None:
        self.stock, self.place, self.report = folder / "stock", folder / "try", report
        self.stock.mkdir()
        self._make()
        self.whole = {line: self.call(Odd("as ever", line)) for line in AS_EVER}
        for line, (ending, _) in self.whole.items():
            assert ending.code == 0, (line, ending)

    def _make(self) -> None:
        from tests.tiny_data import write_raw, write_scratch

        raw = write_raw(self.stock, 24)
        for name in ("questions.jsonl", NAMED):
            lines = raw.read_text(encoding="utf-8").splitlines()[:3]
            (self.stock / name).write_text("\n".join(lines).replace("?", "\N{GREEK SMALL LETTER ALPHA}?"))
        write_scratch(self.stock)
        (self.stock / "disk").mkdir()
        grid = "model: model.yaml\ndata: {task: multiplication, rows: {train: 8, valid: 4, test: 4}}\nseeds: [0]\n"
        (self.stock / "grid.yaml").write_text(f"{grid}methods: {{cot: {{method: cot}}}}\n")
        train = "train encoded --model model.yaml --method assorted --steps 2 --batch-size 8 --out run"
        for line in (f"{ENCODE} --out encoded", train):
            ending = fork(_command(line.split()), self.stock)
            assert ending.code == 0, (line, ending)

    def run(self, odd: Odd) -> str:
        """Make one call; returns "worked", "told" or "skipped", or what went wrong."""
        ending, result = self.call(odd)
        if ending.code == SKIPPED:
            return "skipped"
        came = ending.fault or self.verdict(odd, ending, result)
        if came == "not one line" and (_is_mute(odd.kind) or _ends_in_one(ending.err)):
            came = self.verdict(odd, ending, result)
        if came not in ("told", "worked"):
            self.report(came, f"{odd.kind}: {odd.line}\n   {ending.code} {(ending.err or ending.out)[-1500:]!r}")
        return came

    def verdict(self, odd: Odd, ending: Ending, result: dict[str, bytes]) -> str:
        """What came of a call that ended in order: "worked", "told", or what is wrong with it."""
        if ending.code:
            return "changed what was there" if self.changed() else "told"
        if odd.line in AS_EVER and result != self.whole[odd.line][1] and not _is_mute(odd.kind) and _seen(odd):
            return "different"
        return "worked"

    def changed(self) -> list[str]:
        """The files of the stock, and of what is mine, that are no more as they were."""
        there = [path for path in self.stock.rglob("*") if path.is_file() and ".cache" not in path.parts]
        names = [path.relative_to(self.stock) for path in there]
        return [
            str(name)
            for name, path in zip(names, there, strict=True)
            if not (self.place / name).is_file() or (self.place / name).read_bytes() != path.read_bytes()
        ]

    def call(self, odd: Odd) -> tuple[Ending, dict[str, bytes]]:
        """Call a command in a copy; returns how it ended and its result."""
        if self.place.exists():
            reopen(self.place)
        shutil.copytree(self.stock, self.place)
        path = odd.make(self.place)
        arguments = [path if word == "@" else word for word in odd.line.split(" ")]
        if odd.variables is None:
            ending = fork(_command(arguments, odd.around), self.place)
        else:
            ending = process(arguments, self.place, odd.variables(self.place), odd.around)
        files = sorted(self.place.glob(AS_EVER[odd.line])) if AS_EVER.get(odd.line) else []
        result = {file.name: steady(file.read_bytes()) for file in files if os.access(file, os.R_OK)}
        printed = ending.out.encode("ascii", "backslashreplace")  # as where an output has no other letters
        return ending, result or {"printed": printed}


def _ends_in_one(text: str) -> bool:
    """Tell whether the last line, and it alone, tells an error: those before it said how far the command was."""
    lines = text.strip().splitlines()
    return [line.startswith("Error: ") for line in lines] == [False] * (len(lines) - 1) + [True]


def _is_mute(kind: str) -> bool:
    """Tell whether nothing can be printed in these surroundings."""
    return kind in ("no standard error", "no streams", "errors to nobody", "output to nobody") or "output" in kind


def _seen(odd: Odd) -> bool:
    """Tell whether the result of a call can be looked at from here, and is to be the same."""
    return "disk of" not in odd.kind and odd.line != "--help" and "rights" not in odd.kind


def _command(arguments: list[str], around: Callable[[], object] = lambda: None) -> Callable[[], None]:
    def work() -> None:
        from pipelines.cli import main

        around()
        main(arguments, prog_name="mixlm")

    return work


def process(
    arguments: list[str], folder: Path, variables: dict[str, str | None], around: Callable[[], object]
) -> Ending:
    """Call a command in a process of its own, whose libraries read the environment when they are imported."""
    changed = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    environment = {name: value for name, value in changed.items() if value is not None}
    given = {"cwd": folder, "env": environment, "preexec_fn": around, "stdin": subprocess.DEVNULL}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pipelines", *arguments], capture_output=True, timeout=3 * SECONDS, **given
        )
    except subprocess.TimeoutExpired:
        return Ending(None, "", "")
    out, err = (stream.decode("utf-8", "backslashreplace") for stream in (done.stdout, done.stderr))
    return Ending(done.returncode, out, re.sub(r"(?m)^.*warning.*\n(  .*\n)?", "", err))


def run(budget: float | None, most: int | None = None, only: str = "") -> dict[str, int]:
    """Make calls for at most ``budget`` minutes, or at most ``most`` of them, in an order that mixes all."""
    todo = [odd for odd in all_calls() if re.search(only, f"{odd.kind}: {odd.line}")]
    with own_place() as folder:
        trial = Trial(folder, tell)
        counts = try_mixed(todo, trial.run, budget or MINUTES, most)
        reopen(trial.place)
    about = {"calls": counts.total(), "of all": len(todo), "worked": counts["worked"], "told": counts["told"]}
    return about | {"skipped": counts["skipped"]} | {name: counts[name] for name in WRONG}
