"""Count the steps of chain arithmetic's answers, and those that are right, by how they are told.

python docs/results/wordings.py ANSWERS.jsonl ..      (answers/LABEL-SEED.jsonl of a comparison; its free answers)

A step is right if it takes the total before it and the question's operation to the right total.
"""

import json
import re
import sys
from collections import Counter

from mixlm.tasks.chain_arithmetic import WORDINGS


MODULUS = 10
_PARTS = {"before": r"(?P<before>\d)", "event": r"(?P<sign>[+-]) (?P<number>\d)", "after": r"(?P<after>\d)"}
PATTERNS = {wording: re.compile(wording.removesuffix(" .").format(**_PARTS)) for wording in WORDINGS}


def steps(question: str, text: str) -> list[tuple[str, bool]]:
    """Return the wording of each step up to the first that is none, and whether it is right."""
    told, total = [], int(question.split()[1])
    events = re.findall(r"([+-]) (\d)", question)
    for step, (sign, number) in zip(text.split("###")[0].split(" ."), events, strict=False):
        found = [(wording, match) for wording, pattern in PATTERNS.items() if (match := pattern.search(step))]
        if not found:
            break
        wording, match = found[0]
        after = (total + int(sign + number)) % MODULUS
        right = match.group("before", "sign", "number", "after") == (str(total), sign, number, str(after))
        told.append((wording, right))
        total = int(match["after"])
    return told


if __name__ == "__main__":
    for file in sys.argv[1:]:
        counts, rights = Counter(), Counter()
        with open(file, encoding="utf-8") as lines:
            answers = [answer for answer in map(json.loads, lines) if answer["latents"] == "free"]
        for answer in answers:
            for wording, right in steps(answer["question"], answer["text"]):
                counts[wording] += 1
                rights[wording] += right
        print(f"{file}: {len(answers)} answers")
        for wording, count in counts.most_common():
            print(f"  {count:6,} {rights[wording] / count:7.2%}  {wording}")
