"""Every change of files as the last: a command is ended there, given again, and must end as if nothing had been."""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.faults.cases import CASES, Case
from tests.faults.changes import POWER, lose_power, points, read_changes
from tests.faults.forks import BEFORE, End
from tests.faults.outcome import contents
from tests.faults.trials import Trial, count, run_processes


WRONG = ("different", "lost", "strays", "tracebacks", "hangs", "refused wrongly", "silent", "not durable")
MINUTES = 35.0


def crash(trial: Trial, case: Case, number: int, how: str) -> dict[str, object]:
    """End a command at a change, give it again, and tell what is wrong then."""
    trial.lay_out(case)
    ended = trial.run(case, End(number, BEFORE if how == POWER else how))
    changes = read_changes(trial.log)
    if how == POWER:
        lose_power(changes)
    left = sorted(contents(trial.folder).keys() - trial.wanted[case.name].keys())
    wrong = trial.finish(case)
    if ended.traceback or ended.hung:
        wrong["tracebacks"] = ended.output[-3000:]
    at = changes[-1].told(trial.folder) if changes else ""
    return {"at": at, "status": ended.status, "left": left} | ({"wrong": wrong} if wrong else {})


def work(trial: Trial, share: int, shares: int) -> None:
    """Try a share of the points, in an order that mixes commands and kinds: what is tried first is a sample."""
    todo = []
    for case in CASES.values():
        trial.import_for(case)
        wrong = trial.undisturbed(case)
        found = points(trial.changes[case.name])
        whole = {"case": case.name, "changes": len(trial.changes[case.name]), "points": len(found)}
        trial.note(whole | ({"wrong": wrong} if wrong else {}))
        todo += [(case, number, how) for number, how in found[share::shares]]
    random.Random(0).shuffle(todo)
    for case, number, how in _not_tried(trial, todo):
        about = {"try": f"{case.name} {number} {how}", "case": case.name, "number": number, "how": how}
        trial.note(about | crash(trial, case, number, how))


def _not_tried(trial: Trial, todo: list[tuple[Case, int, str]]) -> Iterator[tuple[Case, int, str]]:
    for case, number, how in todo:
        if trial.over():
            return
        if f"{case.name} {number} {how}" not in trial.tried:
            yield case, number, how


def run(budget: float | None) -> dict[str, int]:
    """Try crash points for at most ``budget`` minutes; all of them are some hours."""
    records = run_processes("crash_points", budget or MINUTES)
    whole = {one["case"]: one for one in records if "points" in one}
    tried = {one["try"] for one in records if "try" in one}
    about = {"points": len(tried), "of all points": sum(one["points"] for one in whole.values())}
    about |= {"changes of files": sum(one["changes"] for one in whole.values()), "commands": len(whole)}
    return about | count(records, WRONG)


def try_some(trial: Trial) -> None:
    """Try three points of three commands each: those of a sixth, a half and nine tenths of them."""
    for name in ("encode fixed", "train cot", "generate"):
        wrong, found = trial.undisturbed(CASES[name]), points(trial.changes[name])
        trial.note({"case": name, "wrong": wrong})
        for place in (len(found) // 6, len(found) // 2, 9 * len(found) // 10):
            trial.note({"point": found[place]} | crash(trial, CASES[name], *found[place]))


if __name__ == "__main__":
    try_some(Trial(Path(sys.argv[1]), Path(sys.argv[2]), float("inf")))
