"""Kills and requests to end (Ctrl-C, SIGTERM, SIGHUP) at random times; the command is given again and must end as
if nothing had been.
"""

import os
import random
import signal
import time

from tests.faults.cases import CASES, Case
from tests.faults.forks import wait
from tests.faults.outcome import contents
from tests.faults.trials import Trial, count, run_processes


KILLS = 100
MINUTES = 15.0
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
CHOSEN = [case for case in CASES.values() if case.name != "evaluate"]
WRONG = ("different", "lost", "strays", "tracebacks", "hangs", "refused wrongly")


def kill(trial: Trial, case: Case, how: signal.Signals, after: float) -> dict[str, object] | None:
    """Begin a command and send it a signal after some seconds; None if it had ended by then, or ended well."""
    child = trial.begin(case)
    time.sleep(after)
    if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        wait(child, trial.output)
        return None
    (os.killpg if how == signal.SIGKILL else os.kill)(child, how)
    ended = wait(child, trial.output)
    wrong = {"tracebacks": ended.output[-3000:] if ended.traceback else "", "hangs": ended.hung}
    said = ended.output.strip().splitlines()[-1:]
    return {"status": ended.status, "said": said, "wrong": {name: what for name, what in wrong.items() if what}}


def work(trial: Trial, share: int, shares: int) -> None:
    """Make a share of the kills."""
    for case in CHOSEN:
        trial.import_for(case)
        trial.undisturbed(case)
    for number in range(share, KILLS, shares):
        if trial.over():
            return
        if f"kill {number}" not in trial.tried:
            trial.note({"try": f"kill {number}"} | _interrupt(trial, random.Random(number), number))


def _interrupt(trial: Trial, draw: random.Random, number: int) -> dict[str, object]:
    """Interrupt one command, sometimes twice, and give it again."""
    case, killed = CHOSEN[number % len(CHOSEN)], None
    while killed is None:
        trial.lay_out(case)
        how, after = draw.choice(SIGNALS), draw.uniform(0, trial.seconds[case.name])
        killed = kill(trial, case, how, after)
    if draw.random() < 0.3:
        again = kill(trial, case, draw.choice(SIGNALS), draw.uniform(0, trial.seconds[case.name]))
        killed["wrong"] |= again["wrong"] if again else {}
    left = sorted(contents(trial.folder).keys() - trial.wanted[case.name].keys())
    wrong = trial.finish(case) | killed.pop("wrong")
    about = {"case": case.name, "how": how.name, "after": round(after, 3), **killed, "left": left}
    return about | ({"wrong": wrong} if wrong else {})


def run(budget: float | None) -> dict[str, int]:
    """Make 100 kills, or as many as ``budget`` minutes allow."""
    records = run_processes("kills", budget or MINUTES)
    return {"kills": len({one["try"] for one in records})} | count(records, WRONG)
