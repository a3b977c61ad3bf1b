r"""DART-Math (Tong et al. 2024): training questions of GSM8K and MATH with many sampled solutions that came out right.

A row as it is published, and the row made of it::

    {"query": "What is $1 + 1$?", "response": "Adding one to one gives two.\nThe sum is $\\boxed{2}$."}

    {"question": "What is $1 + 1$?", "steps": ["Adding one to one gives two.", "The sum is $\\boxed{2}$."],
     "answer": "2"}

On the Hub (MIT licence): ``hkust-nlp/dart-math-uniform``, 590,705 rows, as many for each question, and
``hkust-nlp/dart-math-hard``, 585,392 rows, the more the harder the question. "valid" is the rows of one question in a
hundred.

The questions are training questions of GSM8K and MATH, among them all that this project tests GSM8K on. Leave those
out: write them with ``mixlm data gsm8k --split test`` and name the file as ``--exclude``.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from mixlm.data.reading import RawRow
from mixlm.tasks.mathematics.answer_marks import marked_answer
from mixlm.tasks.mathematics.solved import SPLITS, Solved, rows_of
from mixlm.tasks.sources import Source, text_of


__all__ = ["CHECK", "SPLITS", "load"]

CHECK = "math"
_TASK = "dart-math"


def load(
    split: str = "train",
    *,
    variant: Literal["uniform", "hard"] = "uniform",
    source: str | Path | None = None,
    exclude: str | Path | None = None,
) -> Iterator[RawRow]:
    """Yield the rows of a split in the order of the published file.

    Args:
        split: One of ``SPLITS``.
        variant: As many solutions for each question, or the more the harder it is.
        source: The published file, of either variant. By default found by MIXLM_DATA, else on the Hub.
        exclude: File of questions, for example a test set; their rows are left out.

    Raises:
        InputError: If there is nothing to read, a row has no query or response, or no response marks its answer.
    """
    name = f"dart-math-{variant}"
    place = Source(_TASK, f"dart_math/{name}.jsonl", ((f"hkust-nlp/{name}", "train"),))
    yield from rows_of((_solved(row, where) for where, row in place.rows(source)), split, exclude, _TASK)


def _solved(row: RawRow, where: str) -> Solved:
    question = text_of(row, ("query",), where, "DART-Math")
    response = text_of(row, ("response",), where, "DART-Math")
    steps = [line.strip() for line in response.split("\n") if line.strip()]
    return Solved(question, steps, marked_answer(response), question, {})
