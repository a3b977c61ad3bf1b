"""How many answers came to each question, and what they were worth."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from mixlm.sampling.judging import CUT_OFF, NO_TRACE, RIGHT, UNREADABLE, WRONG
from mixlm.sampling.problems import Problem


KEPT, DUPLICATE, MISSING = "kept", "duplicate", "missing"
FATES = (KEPT, DUPLICATE, NO_TRACE, WRONG, CUT_OFF, UNREADABLE, MISSING)


class Sorting:
    """Tells what becomes of answers, one after the other: of equal traces to one question the first is kept."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()

    def fate(self, line: Mapping[str, Any]) -> str:
        """Return what becomes of an answer, one of ``FATES``.

        Args:
            line: Of ``mixlm.sampling.judging.judged``.
        """
        outcome = line.get("outcome", MISSING)
        if outcome != RIGHT:
            return outcome
        key = _key(line["row"])
        if key in self.seen:
            return DUPLICATE
        self.seen.add(key)
        return KEPT


def _key(row: Mapping[str, Any]) -> bytes:
    """Return what equal traces to equal questions have in common, white space apart."""
    turns = row.get("messages")
    trace = turns[-1]["reasoning_content"] if turns else row["reasoning"]
    asked = [row.get("system"), row.get("question"), turns and turns[:-1]]
    return sha256(json.dumps([asked, trace.split()], default=str).encode()).digest()[:16]


@dataclass
class Counts:
    """What became of all answers.

    Attributes:
        fates: How many were kept, and how many not and why.
        kept: How many questions have how many traces.
        examples: The first answer that was wrong, the first that could not be read and the first that is missing, in
            words.
    """

    fates: Counter[str] = field(default_factory=Counter)
    kept: Counter[int] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, problem: Problem, lines: list[Mapping[str, Any]], fates: list[str]) -> dict[str, Any]:
        """Count the answers to one question, and return its own counts as JSON values.

        Args:
            problem: The question.
            lines: Of ``judged``, of each answer.
            fates: What became of each.
        """
        own = Counter(fates)
        self.fates += own
        self.kept[own[KEPT]] += 1
        for line, fate in zip(lines, fates, strict=True):
            if fate in _EXAMPLES and fate not in self.examples:
                self.examples[fate] = f"{problem.name}: {_EXAMPLES[fate](line, problem)}"
        sampled = len(lines) - own[MISSING]
        right = own[KEPT] + own[DUPLICATE] + own[NO_TRACE]
        told = {"row": problem.row, "question": problem.sample.question, "sampled": sampled, "right": right}
        return told | {fate: own[fate] for fate in FATES}


_EXAMPLES = {
    WRONG: lambda line, problem: f"{line['answer']!r} for {problem.sample.answer[:80]!r}",
    UNREADABLE: lambda line, problem: f".. {line['said']!r}" if line["said"] else "nothing",
    MISSING: lambda line, problem: line["error"],
}
