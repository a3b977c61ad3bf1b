"""Running totals, each told in a wording that is drawn at random: what a code has to keep, and what it should not.

The prompt tells the start alone, and each step what it adds: so nothing but a step's own code tells which total it
reached, and a reader cannot do without any of them.
"""

from typing import NamedTuple

import numpy as np

from vqvae.model.coder import ChunkCoder


TOTALS, ADDENDS, STEPS = 8, 4, 3
TOTAL, ADDEND = -1, -2  # in a wording: the total after the step, and what was added
WORD = TOTALS  # ids from here on are words; those below are numbers
WORDINGS = (
    (WORD, WORD + 1, ADDEND, WORD + 2, TOTAL, WORD + 3),
    (WORD + 4, ADDEND, WORD + 5, WORD + 6, WORD + 7, TOTAL, WORD + 3),
    (WORD + 8, TOTAL, WORD + 9, WORD + 10, ADDEND, WORD + 3),
    (TOTAL, WORD + 11, WORD + 12, ADDEND, WORD + 13),
)
SOLUTION = WORD + 14
IDS = SOLUTION + 1


class Told(NamedTuple):
    """Rows of running totals, with what each step holds.

    Attributes:
        rows: Tokenized rows.
        totals: (rows * STEPS,) the total that each step reaches.
        wordings: (rows * STEPS,) which wording tells it.
    """

    rows: list[dict[str, list[int]]]
    totals: np.ndarray
    wordings: np.ndarray


def told_totals(count: int, seed: int) -> Told:
    """Draw starts, addends and wordings, each by itself and uniformly; totals are modulo ``TOTALS``."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers([TOTALS] + [ADDENDS] * STEPS, size=(count, STEPS + 1))
    wordings = rng.integers(len(WORDINGS), size=(count, STEPS))
    totals = numbers.cumsum(1) % TOTALS
    rows = [_row(*sample) for sample in zip(numbers.tolist(), totals[:, 1:].tolist(), wordings.tolist(), strict=True)]
    return Told(rows, totals[:, 1:].ravel(), wordings.ravel())


def _row(numbers: list[int], totals: list[int], wordings: list[int]) -> dict[str, list[int]]:
    told = zip(wordings, totals, numbers[1:], strict=True)
    steps = [[{TOTAL: total, ADDEND: addend}.get(word, word) for word in WORDINGS[way]] for way, total, addend in told]
    return {
        "prompt_ids": numbers[:1],
        "trace_ids": [token for step in steps for token in step],
        "step_lengths": [len(step) for step in steps],
        "solution_ids": [SOLUTION, totals[-1]],
    }


def codes_of_steps(model: ChunkCoder, told: Told) -> np.ndarray:
    """The code (rows * STEPS,) of each step."""
    steps = [row["step_lengths"] for row in told.rows]
    ids = np.concatenate([row["trace_ids"] for row in told.rows])
    return model.encode_flat(ids, np.array([sum(lengths) for lengths in steps]), np.concatenate(steps))


def shared_nats(codes: np.ndarray, labels: np.ndarray) -> float:
    """Mutual information of codes (n,) and labels (n,), less what as many codes share with shuffled labels."""
    shuffled = labels[np.random.default_rng(0).permutation(len(labels))]
    return _mutual_information(codes, labels) - _mutual_information(codes, shuffled)


def _mutual_information(first: np.ndarray, second: np.ndarray) -> float:
    joint = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(joint, (first, second), 1 / len(first))
    alone = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    some = joint > 0
    return float((joint[some] * np.log(joint[some] / alone[some])).sum())
