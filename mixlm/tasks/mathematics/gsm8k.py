"""GSM8K (Cobbe et al. 2021): grade-school word problems with the official solutions.

A row of the official training file, and the two rows made of it::

    {"question": "Natalia sold clips to 48 of her friends in April, and .. How many clips did Natalia sell ..?",
     "answer": "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\\n .. 48+24 = <<48+24=72>>72 clips ..\\n#### 72"}

    text:       {"question": .., "steps": ["Natalia sold 48/2 = 24 clips in May.", ".. 48+24 = .."], "answer": "72"}
    equations:  {"question": .., "steps": ["<<48/2=24>>", "<<48+24=72>>"], "answer": "72"}

Equations are the form of iCoT and Coconut; 89 rows of the training file have none, hence an empty trace.

The official training file (7,473 rows, MIT licence; ``openai/gsm8k`` on the Hub, configuration ``main``) is cut in
three. "test" is the 500 questions that iCoT and Coconut took out of it as their validation set, "valid" is 500 of the
others, those whose hashes are the smallest, and "train" the remaining 6,473. "official-test" is the official test file
of 1,319 rows.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from mixlm.data.reading import RawRow
from mixlm.errors import InputError
from mixlm.tasks.sources import Source, text_of
from mixlm.tasks.splits import drawn, require_split


SPLITS = ("train", "valid", "test", "official-test")
CHECK = "number"
VALID_ROWS = 500
_TASK = "gsm8k"
_TRAIN = Source(_TASK, "gsm8k/train.jsonl", (("openai/gsm8k:main", "train"),))
_TEST = Source(_TASK, "gsm8k/test.jsonl", (("openai/gsm8k:main", "test"),))
_HELD_OUT = Source(_TASK, "gsm8k_icot/gsm_valid.json", (("whynlp/gsm8k-aug", "validation"),), "--held-out")
_MARK = re.compile(r"<<.*?>>")


def load(
    split: str = "train",
    *,
    trace: Literal["text", "equations"] = "text",
    source: str | Path | None = None,
    held_out: str | Path | None = None,
) -> Iterator[RawRow]:
    """Yield the rows of a split in the order of the official file.

    Args:
        split: One of ``SPLITS``.
        trace: The sentences of the official solution, or its equations alone.
        source: The official train.jsonl, for official-test test.jsonl. By default found by MIXLM_DATA, else on the
            Hub.
        held_out: The questions of the split test. By default found by MIXLM_DATA, else on the Hub.

    Raises:
        InputError: If there is no such split, a file is not given or not there, a row has no question or no
            ``#### N``, or a question of ``held_out`` is not in ``source``: by another spelling it could stand in two
            splits.
    """
    require_split(split, SPLITS)
    rows = {
        text_of(row, ("question",), where, _TASK): (where, text_of(row, ("answer",), where, _TASK))
        for where, row in (_TEST if split == "official-test" else _TRAIN).rows(source)
    }
    chosen = rows.keys() if split == "official-test" else _questions(split, rows.keys(), held_out, source)
    for question, (where, solution) in rows.items():
        if question in chosen:
            answer = official_answer(solution)
            if answer is None:
                raise InputError(f"{where}: 'answer' has no '#### N'; give GSM8K's official train.jsonl")
            yield {"question": question, "steps": steps_of(solution, trace), "answer": answer}


def steps_of(solution: str, trace: str = "text") -> list[str]:
    """Return the trace of an official solution.

    Args:
        solution: The official ``answer`` column.
        trace: "text" or "equations".
    """
    body = solution.rpartition("####")[0] or solution
    if trace == "equations":
        return [mark.replace(" ", "") for mark in _MARK.findall(body)]
    return [line.strip() for line in _MARK.sub("", body).split("\n") if line.strip()]


def official_answer(solution: str) -> str | None:
    """Return the number after the last ``####`` without its commas; None if there is none.

    >>> official_answer("It costs 2 * 540 = $<<2*540=1080>>1080.\\n#### 1,080")
    '1080'
    """
    _, mark, answer = solution.rpartition("####")
    return answer.strip().replace(",", "") if mark and answer.strip() else None


def _questions(split: str, questions: set[str], held_out: str | Path | None, source: str | Path | None) -> set[str]:
    """Return the questions of a split of the training file."""
    test = {text_of(row, ("question",), where, _TASK) for where, row in _HELD_OUT.rows(held_out)}
    if missing := test - questions:
        raise InputError(
            f"{held_out or _HELD_OUT.file}: {len(missing)} of its questions are not in {source or _TRAIN.file}; "
            "give the official files"
        )
    valid = drawn(questions - test, VALID_ROWS, source or _TRAIN.file)
    return {"train": questions - test - valid, "valid": valid, "test": test}[split]
