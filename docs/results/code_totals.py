"""Tell what the codes of word problems stand for: the total that a step ends with, and whether it came by multiplying.

python docs/results/code_totals.py ENCODED TRACES.jsonl [train|valid]      (an encoded folder, and the rows it is of)

Entropies are in nats, of counts as they are. "right" is how many codes are those that their total, or their total and
sign, has most often, and the other way round.
"""

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pyarrow import parquet


_TOTAL = re.compile(r"([-+*/]) \d+ = (\d+)")  # each step of word problems has one


def pairs(folder: Path, traces: Path, split: str) -> list[tuple[int, int, bool]]:
    """Return for each code of whole rows the code, its step's total, and whether that was multiplied."""
    with traces.open(encoding="utf-8") as lines:
        steps = [json.loads(line)["steps"] for line in lines]
    found = []
    for shard in sorted(folder.glob(f"{split}-*.parquet")):
        for row in parquet.read_table(shard, columns=["row", "codes"]).to_pylist():
            for code, step in zip(row["codes"], steps[row["row"]], strict=True):
                sign, total = _TOTAL.search(step).groups()
                found.append((code, int(total), sign == "*"))
    return found


def entropy(values: Iterable) -> float:
    """Return the entropy of values, nats."""
    counts = Counter(values)
    return -sum(count / counts.total() * math.log(count / counts.total()) for count in counts.values())


def named(given: list, wanted: list) -> float:
    """Return how often the value that is most frequent with what is given is the right one."""
    joint = Counter(zip(given, wanted, strict=True))
    best = {}
    for (one, _), count in joint.items():
        best[one] = max(best.get(one, 0), count)
    return sum(best.values()) / len(given)


if __name__ == "__main__":
    codes, totals, multiplied = zip(
        *pairs(Path(sys.argv[1]), Path(sys.argv[2]), (*sys.argv[3:], "train")[0]), strict=True
    )
    both = list(zip(totals, multiplied, strict=True))
    print(f"{len(codes):,} codes, {len(set(codes))} of them different: {entropy(codes):.2f} nats")
    for name, values in (("total", totals), ("total and sign", both)):
        shared = entropy(codes) + entropy(values) - entropy(zip(codes, values, strict=True))
        print(
            f"{name}: {entropy(values):.2f} nats, {shared:.2f} shared; right of code {named(codes, values):.1%}, "
            f"code of it {named(values, codes):.1%}"
        )
