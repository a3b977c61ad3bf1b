"""Two commands with the same place to write to: one works, the other is refused in one line or finds the work done."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.faults.cases import CASES, Case
from tests.faults.forks import Ended, wait
from tests.faults.outcome import contents, faults
from tests.faults.trials import ROOT, Trial, count, run_processes
from tests.toy_recipe import DATA, ROWS, STAGES


AT_ONCE, LATER, AFTER_A_KILL = 12, 6, 6  # races of each command
MINUTES = 20.0
WRONG = ("both worked", "neither worked", "different", "lost", "strays", "tracebacks", "hangs", "refused wrongly")
PAIRS = [CASES[name] for name in ("encode", "train assorted", "generate", "evaluate")]
GRID = {"data": {"task": "chain-arithmetic", "rows": ROWS, "options": DATA}, **STAGES, "methods": {"cot": None}}


def refused(ended: Ended) -> bool:
    """Whether a command ended with an error of one line, which is its last."""
    lines = ended.output.strip().splitlines()
    return ended.status not in (0, -9) and bool(lines) and lines[-1].startswith("Error: ") and not ended.traceback


def race(trial: Trial, case: Case, apart: float) -> dict[str, object]:
    """Begin a command twice, some seconds apart, and tell what is wrong in the end."""
    trial.lay_out(case)
    outputs = [trial.output.with_name(f"output-{place}.txt") for place in range(2)]
    first = trial.begin(case, outputs[0])
    time.sleep(apart)
    second = trial.begin(case, outputs[1])
    ended = [wait(first, outputs[0]), wait(second, outputs[1])]
    worked = [one for one in ended if one.status == 0 and case.done not in one.output]
    idle = [one for one in ended if one.status == 0 and case.done in one.output]
    wrong: dict[str, object] = {}
    if len(worked) != 1:
        wrong["both worked" if worked else "neither worked"] = [one.output[-300:] for one in ended]
    wrong["tracebacks"] = [one.output[-3000:] for one in ended if one.traceback]
    wrong["hangs"] = sum(one.hung for one in ended)
    wrong["refused wrongly"] = [one.output[-300:] for one in ended if one not in worked + idle and not refused(one)]
    left = faults(ended[0], trial.wanted[case.name], contents(trial.folder))
    wrong |= {name: left[name] for name in ("different", "lost", "strays") if name in left}
    wrong = {name: what for name, what in wrong.items() if what}
    said = [one.output.strip().splitlines()[-1:] for one in ended]
    return {"apart": round(apart, 4), "said": said} | ({"wrong": wrong} if wrong else {})


def after_a_kill(trial: Trial, case: Case, after: float) -> dict[str, object]:
    """Kill a command and give it again as soon as it is dead."""
    trial.lay_out(case)
    first = trial.begin(case)
    time.sleep(after)
    os.killpg(first, signal.SIGKILL)
    wait(first, trial.output)
    wrong = faults(trial.run(case), trial.wanted[case.name], contents(trial.folder))
    return {"after": round(after, 3)} | ({"wrong": wrong} if wrong else {})


def work(trial: Trial, share: int, shares: int) -> None:
    """Run a share of the races."""
    for case in PAIRS[share::shares]:
        trial.import_for(case)
        trial.undisturbed(case)
        draw, whole = random.Random(case.name), trial.seconds[case.name]
        todo = [(race, draw.uniform(0, 0.02)) for _ in range(AT_ONCE)]
        todo += [(race, draw.uniform(0, whole)) for _ in range(LATER)]
        todo += [(after_a_kill, draw.uniform(0.02, whole)) for _ in range(AFTER_A_KILL)]
        for number, (how, seconds) in enumerate(todo):
            name = f"{how.__name__} {case.name} {number}"
            if trial.over():
                return
            if name not in trial.tried:
                trial.note({"try": name, "case": case.name} | how(trial, case, seconds))
    if share == 0:
        launched(trial)
    if share == shares - 1:
        compared(trial)


def launched(trial: Trial) -> None:
    """Two processes of one launch share the lock, a third that is none of them is refused."""
    for case in (CASES["encode"], CASES["train assorted"]):
        name = f"launch {case.name}"
        if name in trial.tried or trial.over():
            continue
        trial.lay_out(case)
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "pipelines"]
        ended, other = _beside(trial, [*launcher, *case.arguments], case.arguments, trial.folder / "out")
        trial.note({"try": name, "case": case.name, "said": other.output[-300:]} | _judged(ended, other))


def compared(trial: Trial) -> None:
    """Two comparisons do not write into one folder."""
    if "compare" in trial.tried or trial.over():
        return
    trial.lay_out(CASES["encode"])
    (trial.folder / "grid.yaml").write_text(json.dumps(GRID))  # which is YAML, too
    arguments = ["compare", "grid.yaml", "--out", "out"]
    ended, other = _beside(trial, ["-m", "pipelines", *arguments], arguments, trial.folder / "out")
    trial.note({"try": "compare", "case": "compare", "said": other.output[-300:]} | _judged(ended, other))


def _beside(trial: Trial, first: list[str], second: list[str], out: Path) -> tuple[Ended, Ended]:
    """Run a python and, once it has begun to write, a command beside it; returns how both ended."""
    output = trial.output.with_name("output-0.txt")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} | {"LD_PRELOAD": ""}
    with output.open("w") as file:
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, *first], cwd=trial.folder, env=environment, stdout=file, stderr=file
        )
        while process.poll() is None and not (out.is_dir() and any(out.iterdir())):
            time.sleep(0.02)
        other = wait(trial.begin(Case("beside", " ".join(second), ())), trial.output)
        status = process.wait(600)
    return Ended(status, output.read_text(), False, time.monotonic() - started), other


def _judged(ended: Ended, other: Ended) -> dict[str, object]:
    wrong = {"tracebacks": [one.output[-3000:] for one in (ended, other) if one.traceback]}
    wrong["refused wrongly"] = ended.output[-600:] if ended.status else ""
    wrong["both worked"] = "" if refused(other) else other.output[-300:] or "says nothing"
    wrong = {name: what for name, what in wrong.items() if what}
    return {"wrong": wrong} if wrong else {}


def run(budget: float | None) -> dict[str, int]:
    """Run all races, or as many as ``budget`` minutes allow."""
    records = run_processes("races", budget or MINUTES)
    return {"races": len({one["try"] for one in records})} | count(records, WRONG)
