"""What a command leaves, and how it differs from what it should leave."""

import hashlib
import json
from pathlib import Path

from tests.faults.forks import Ended


PASSED_OVER = ("cache", "tmp")  # of these nothing is promised but that they do no harm
TIMES = ("runtime", "seconds", "per_second")  # in names of figures that no two runs have in common
TIMED_FILES = ("README.md", "curve.jsonl", "digest")  # in JSON: the checksums of what tells times


def contents(folder: Path) -> dict[str, str]:
    """Every file below ``folder``, with what its content is known by; an empty folder has an empty one."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name.split("/")[0] in PASSED_OVER:
            continue
        if path.is_file():
            found[name] = digest(path)
        elif not any(path.iterdir()):
            found[f"{name}/"] = ""
    return found


def digest(path: Path) -> str:
    """The SHA-256 of a file; of JSON and of a model card without times, and without checksums of what has them."""
    data = path.read_bytes()
    if path.name == "README.md":
        data = b"".join(line for line in data.splitlines(True) if not any(time.encode() in line for time in TIMES))
    if path.suffix in (".json", ".jsonl"):
        try:
            lines = data.decode().splitlines() if path.suffix == ".jsonl" else [data.decode()]
            data = json.dumps([without_times(json.loads(line)) for line in lines]).encode()
        except ValueError:
            pass
    return hashlib.sha256(data).hexdigest()


def without_times(value: object) -> object:
    """JSON values without those whose name tells of a time."""
    if isinstance(value, dict):
        timeless = {name: one for name, one in value.items() if not any(time in name for time in TIMES)}
        return {name: without_times(one) for name, one in timeless.items() if name not in TIMED_FILES}
    return [without_times(one) for one in value] if isinstance(value, list) else value


def faults(ended: Ended, wanted: dict[str, str], found: dict[str, str]) -> dict[str, object]:
    """What is wrong with how a command ended and what it left; nothing if nothing is.

    Args:
        ended: How it ended.
        wanted: What an undisturbed one left.
        found: What it left.
    """
    both = wanted.keys() & found.keys()
    wrong = {
        "different": [name for name in sorted(both) if wanted[name] != found[name]],
        "lost": sorted(wanted.keys() - found.keys()),
        "strays": sorted(found.keys() - wanted.keys()),
        "tracebacks": ended.output[-3000:] if ended.traceback else "",
        "hangs": ended.hung,
        "refused wrongly": ended.output[-600:] if ended.status and not ended.traceback and not ended.hung else "",
    }
    return {name: what for name, what in wrong.items() if what}
