"""GSM8K (Cobbe et al. 2021): grade-school word problems with the official solutions.

A row of the official training file, and the two rows made of it::

    {"question": "Natalia sold clips to 48 of her friends in April, and .. How many clips did Natalia sell ..?",
     "answer": "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\\n .. 48+24 = <<48+24=72>>72 clips ..\\n#### 72"}

    text:       {"question": .., "steps": ["Natalia sold 48/2 = 24 clips in May.", ".. 48+24 = .."], "answer": "72"}
    equations:  {"question": .., "steps": ["<<48/2=24>>", "<<48+24=72>>"], "answer": "72"}

Equations are the form of iCoT and Coconut. Their 500 validation questions were taken out of the official training
file, so the split "train" is the other 6,973 rows of it; 89 of those have no equation, hence an empty trace.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from mixlm.answers import check_answer
from mixlm.errors import InputError
from mixlm.files import read_rows


SPLITS = ("train", "valid")
TRACES = ("text", "equations")
FOLDER_VARIABLE = "MIXLM_DATA"
_MARK = re.compile(r"<<.*?>>")


def load(
    split: str = "train", trace: str = "text", source: str | Path | None = None, held_out: str | Path | None = None
) -> Iterator[dict[str, str | list[str]]]:
    """Yield the rows of a split in the order of the official file.

    Args:
        split: "train", the questions of ``source`` that are not in ``held_out``, or "valid", those that are.
        trace: "text", the sentences of the official solution, or "equations", its marks alone.
        source: The official ``train.jsonl``; by default ``gsm8k/train.jsonl`` in the folder named by ``MIXLM_DATA``.
        held_out: The validation questions; by default ``gsm8k_icot/gsm_valid.json`` in the same folder.

    Yields:
        Rows with ``question``, ``steps`` and ``answer``.

    Raises:
        InputError: If a file is not given or not there, a row has no question or no ``#### N``, or a question of
            ``held_out`` is not in ``source``: by another spelling it could stand in both splits.
    """
    source = source or _in_data_folder("gsm8k/train.jsonl", "--source")
    held_out = held_out or _in_data_folder("gsm8k_icot/gsm_valid.json", "--held-out")
    questions = {_column(row, "question", where) for where, row in read_rows(held_out)}
    rows = {
        _column(row, "question", where): (where, _column(row, "answer", where)) for where, row in read_rows(source)
    }
    if missing := questions - rows.keys():
        raise InputError(f"{held_out}: {len(missing)} of its questions are not in {source}; give the official files")
    for question, (where, solution) in rows.items():
        if (question in questions) == (split == "valid"):
            answer = extract_answer(solution)
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


def extract_answer(text: str) -> str | None:
    """Return the number after the last ``####`` without its commas; None if there is none.

    >>> extract_answer("It costs 2 * 540 = $<<2*540=1080>>1080.\\n#### 1,080")
    '1080'
    """
    _, mark, answer = text.rpartition("####")
    return answer.strip().replace(",", "") if mark and answer.strip() else None


def check(gold: str, answer: str | None) -> bool:
    """Tell whether ``answer`` is the number ``gold``."""
    return check_answer(gold, answer, "number")


def _in_data_folder(name: str, option: str) -> Path:
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        raise InputError(
            f"gsm8k: where is {name}? Set {FOLDER_VARIABLE} to the folder that holds it, or give the file as {option}"
        )
    return Path(folder) / name


def _column(row: dict, name: str, where: str) -> str:
    if not isinstance(row.get(name), str):
        raise InputError(f"{where}: no text in column '{name}'; give GSM8K's own files")
    return row[name]
