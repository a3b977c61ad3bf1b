r"""MATH (Hendrycks et al. 2021): problems of mathematics competitions with full solutions.

A row as it is published, and the row made of it::

    {"problem": "What is $1 + 1$?", "level": "Level 1", "type": "Algebra",
     "solution": "Adding one to one,\n$$1 + 1 = \\boxed{2}.$$"}

    {"question": "What is $1 + 1$?", "steps": ["Adding one to one,", "$$1 + 1 = \\boxed{2}.$$"], "answer": "2",
     "subject": "Algebra", "level": "1"}

A step is a line of the solution, and the answer what its last box holds. The files are those of
github.com/hendrycks/math (MIT licence): folders ``train`` and ``test`` with a folder for each of seven subjects and in
it a JSON file for each problem. On the Hub they are ``EleutherAI/hendrycks_math``, a configuration for each subject.

"test" is the 5,000 official test problems. Of the 7,500 official training problems "valid" is 500, those whose hashes
are the smallest, and "train" the others. The 500 test problems known as MATH-500 are the task math500.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from mixlm.data.reading import RawRow
from mixlm.data.texts.marks import last_box
from mixlm.data.values import read_json
from mixlm.errors import InputError
from mixlm.tasks.sources import Source, text_of
from mixlm.tasks.splits import SPLITS, drawn, require_split


CHECK = "math"
VALID_ROWS = 500
_TASK = "math"
_SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)


def load(split: str = "train", *, source: str | Path | None = None) -> Iterator[RawRow]:
    """Yield the rows of a split in the order in which they are published.

    Args:
        split: One of ``SPLITS``.
        source: The unpacked official folder, or a file of its training problems, for the split test of its test
            problems. By default math/train.jsonl or math/test.jsonl found by MIXLM_DATA, else the Hub.

    Yields:
        Rows with ``question``, ``steps``, ``answer``, ``subject`` and ``level``.

    Raises:
        InputError: If there is no such split, there is nothing to read, or a solution has no box.
    """
    require_split(split, SPLITS)
    published = "test" if split == "test" else "train"
    rows = [_row(row, where) for where, row in _read(published, source)]
    valid = set()
    if published == "train":
        valid = drawn((row["question"] for row in rows), VALID_ROWS, source or "MATH")
    yield from (row for row in rows if (row["question"] in valid) == (split == "valid"))


def _read(split: str, given: str | Path | None) -> Iterator[tuple[str, RawRow]]:
    files = Path(given).glob(f"{split}/*/*.json") if given is not None else ()
    if ordered := sorted(files, key=lambda path: (path.parent.name, len(path.stem), path.stem)):
        return ((str(path), _problem(path)) for path in ordered)
    hub = tuple((f"EleutherAI/hendrycks_math:{subject}", split) for subject in _SUBJECTS)
    return Source(_TASK, f"math/{split}.jsonl", hub).rows(given)


def _problem(path: Path) -> RawRow:
    try:
        row = read_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}); unpack MATH again") from None
    if not isinstance(row, dict):
        raise InputError(f"{path}: is no JSON object; unpack MATH again")
    return row


def _row(row: RawRow, where: str) -> RawRow:
    solution = text_of(row, ("solution",), where, "MATH")
    box = last_box(solution)
    if box is None:
        raise InputError(rf"{where}: 'solution' has no \boxed{{..}}; give a file of MATH as published")
    return {
        "question": text_of(row, ("problem",), where, "MATH"),
        "steps": [line.strip() for line in solution.split("\n") if line.strip()],
        "answer": box.answer,
        "subject": str(row.get("type") or row.get("subject") or ""),
        "level": re.sub(r"^Level ", "", str(row.get("level") or "")),
    }
