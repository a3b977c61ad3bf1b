"""MetaMathQA (Yu et al. 2023): questions of GSM8K and MATH, rephrased and asked backwards, solved by GPT-3.5.

A row as it is published, and the row made of it::

    {"type": "GSM_Rephrased", "query": "What is the total cost of ..?",
     "original_question": "The coach buys equipment for ..",
     "response": "Each player requires ..\\nThe total is 16 * $47 = $752.\\n#### 752\\nThe answer is: 752"}

    {"question": "What is the total cost of ..?",
     "steps": ["Each player requires ..", "The total is 16 * $47 = $752."], "answer": "752",
     "type": "GSM_Rephrased", "original_question": "The coach buys equipment for .."}

``meta-math/MetaMathQA`` on the Hub (MIT licence), 395,000 rows for training. "valid" is the rows made from one
original question in a hundred, so that no question of "train" is another wording of one of "valid".

The original questions are training questions of GSM8K and MATH, among them all that this project tests GSM8K on. Leave
those out: write them with ``mixlm data gsm8k --split test`` and name the file as ``--exclude``. The paper of the
assorted method had the answers rewritten by a larger model and did not publish them.
"""

from collections.abc import Iterator
from pathlib import Path

from mixlm.data.reading import RawRow
from mixlm.tasks.mathematics.answer_marks import marked_answer
from mixlm.tasks.mathematics.solved import SPLITS, Solved, rows_of
from mixlm.tasks.sources import Source, text_of


__all__ = ["CHECK", "SPLITS", "load"]

CHECK = "math"
_TASK = "metamath"
_SOURCE = Source(_TASK, "metamath/MetaMathQA-395K.json", (("meta-math/MetaMathQA", "train"),))


def load(
    split: str = "train", *, source: str | Path | None = None, exclude: str | Path | None = None
) -> Iterator[RawRow]:
    """Yield the rows of a split in the order of the published file.

    Args:
        split: One of ``SPLITS``.
        source: The published file. By default found by MIXLM_DATA, else on the Hub.
        exclude: File of questions, for example a test set; rows made from them are left out.

    Yields:
        Rows with ``question``, ``steps``, ``answer``, ``type`` and ``original_question``.

    Raises:
        InputError: If there is nothing to read, a row has no query or response, or no response marks its answer.
    """
    yield from rows_of((_solved(row, where) for where, row in _SOURCE.rows(source)), split, exclude, _TASK)


def _solved(row: RawRow, where: str) -> Solved:
    question = text_of(row, ("query",), where, "MetaMathQA")
    response = text_of(row, ("response",), where, "MetaMathQA")
    origin = text_of(row, ("original_question", "query"), where, "MetaMathQA")
    steps = [line.strip() for line in (response.rpartition("The answer is")[0] or response).split("\n")]
    columns = {"type": str(row.get("type") or ""), "original_question": origin}
    steps = [step for step in steps if step and not step.startswith("####")]
    return Solved(question, steps, marked_answer(response), origin, columns)
