"""Tell what the codes of word problems stand for: the total that a step ends with, and whether it came by multiplying.

python docs/results/code_totals.py ENCODED TRACES.jsonl [ANSWERS.jsonl TEST.jsonl]

Of an encoded folder and the training rows it is of. Entropies are in nats, of counts as they are; "right" is how many
codes are those that their total, or their total and sign, has most often, and the other way round. With answers of a
run to test rows (answers/LABEL-SEED.jsonl of a comparison) also how many of its latents stand for the right total, and
how many answers without any text before them are the total of their last latent.
"""

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from pyarrow import parquet


_TOTAL = re.compile(r"([-+*/]) \d+ = (\d+)")  # each step of word problems has one


def read(path: str | Path) -> list[dict]:
    """Return the rows of a JSONL file."""
    with Path(path).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def pairs(folder: Path, traces: Path) -> list[tuple[int, int, bool]]:
    """Return for each code of whole rows the code, its step's total, and whether that was multiplied."""
    rows, found = read(traces), []
    for shard in sorted(folder.glob("train-*.parquet")):
        for row in parquet.read_table(shard, columns=["row", "codes"]).to_pylist():
            for code, step in zip(row["codes"], rows[row["row"]]["steps"], strict=True):
                sign, total = _TOTAL.search(step).groups()
                found.append((code, int(total), sign == "*"))
    return found


def entropy(values: Iterable) -> float:
    """Return the entropy of values, nats."""
    counts = Counter(values)
    return -sum(count / counts.total() * math.log(count / counts.total()) for count in counts.values())


def most_frequent(given: Iterable, wanted: Iterable) -> dict:
    """Return the value that is most frequent with each of those that are given."""
    joint = Counter(zip(given, wanted, strict=True))
    return {one: value for (one, value), _ in reversed(joint.most_common())}


def tell_codes(codes: tuple[int, ...], totals: tuple[int, ...], multiplied: tuple[bool, ...]) -> None:
    """Print how codes and totals hang together."""
    print(f"{len(codes):,} codes, {len(set(codes))} of them different: {entropy(codes):.2f} nats")
    for name, values in (("total", totals), ("total and sign", tuple(zip(totals, multiplied, strict=True)))):
        shared = entropy(codes) + entropy(values) - entropy(zip(codes, values, strict=True))
        of_code, of_value = most_frequent(codes, values), most_frequent(values, codes)
        right = sum(of_code[code] == value for code, value in zip(codes, values, strict=True)) / len(codes)
        back = sum(of_value[value] == code for code, value in zip(codes, values, strict=True)) / len(codes)
        nats = f"{entropy(values):.2f} nats, {shared:.2f} shared"
        print(f"{name}: {nats}; right of code {right:.1%}, code of it {back:.1%}")


def tell_answers(meaning: Mapping[int, int], answers: list[dict], tests: list[dict]) -> None:
    """Print what latents that a run has written stand for, and what became of them."""
    for mode in dict.fromkeys(answer["latents"] for answer in answers):
        places, last = {}, []
        for answer in answers:
            if answer["latents"] != mode or not answer["codes"]:
                continue
            steps = [int(_TOTAL.search(step)[2]) for step in tests[answer["row"]]["steps"]]
            for place, (code, total) in enumerate(zip(answer["codes"], steps, strict=False), 1):
                places.setdefault(place, []).append(meaning.get(code) == total)
            if not _TOTAL.search(answer["text"]):
                last.append(str(meaning.get(answer["codes"][-1])) == answer["answer"])
        if places:
            shares = ", ".join(f"{sum(found) / len(found):.1%} of {len(found)}" for found in places.values())
            print(f"{mode}: first latents that stand for the right total, second ones ..: {shares}")
            print(f"{mode}: {sum(last)} of {len(last)} answers after latents alone are the total of the last")


if __name__ == "__main__":
    found = tuple(zip(*pairs(Path(sys.argv[1]), Path(sys.argv[2])), strict=True))
    tell_codes(*found)
    if len(sys.argv) > 3:
        tell_answers(most_frequent(*found[:2]), read(sys.argv[3]), read(sys.argv[4]))
