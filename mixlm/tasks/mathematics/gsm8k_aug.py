"""GSM8k-Aug (Deng et al. 2023): GSM8K's training questions and hundreds of thousands like them, with equations.

A row in the two layouts it is published in, the text files of iCoT and the JSON files of Coconut, and the row made of
it::

    John cuts his grass to 2 inches. .. How much does he pay?||<<4-2=2>> <<2/.5=4>> <<12/4=3>> <<100*3=300>> #### 300

    {"question": "John cuts his grass to 2 inches. ..", "steps": ["<<4-2=2>>", ..], "answer": "300"}

Both come from the files of github.com/da03/Internalize_CoT_Step_by_Step (MIT licence): ``train.txt`` of 385,620 rows,
``valid.txt`` of 500 and ``test.txt`` of 1,319. Copies on the Hub are ``whynlp/gsm8k-aug``, in Coconut's layout, and
``zen-E/GSM8k-Aug``, whose column ``cot`` holds the equations.

The splits are those of the task gsm8k: "test" is the 500 rows of ``valid.txt``, which are GSM8K training questions,
"valid" the rows of 500 questions of ``train.txt``, those whose hashes are the smallest, "train" its other rows, and
"official-test" GSM8K's test questions.
"""

from collections.abc import Iterator
from pathlib import Path

from mixlm.data.reading import RawRow
from mixlm.errors import InputError
from mixlm.tasks.sources import Source, text_of
from mixlm.tasks.splits import drawn, require_split


SPLITS = ("train", "valid", "test", "official-test")
CHECK = "number"
VALID_QUESTIONS = 500
_TASK = "gsm8k-aug"
_HUB = "whynlp/gsm8k-aug"
_TRAIN = Source(_TASK, "gsm8k_aug/train.txt", ((_HUB, "train"),))
_OFFICIAL_TEST = Source(_TASK, "gsm8k_aug/test.txt", ((_HUB, "test"),))
_HELD_OUT = Source(_TASK, "gsm8k_icot/valid.txt", ((_HUB, "validation"),), "--held-out")


def load(
    split: str = "train", *, source: str | Path | None = None, held_out: str | Path | None = None
) -> Iterator[RawRow]:
    """Yield the rows of a split in the order of the official file.

    Args:
        split: One of ``SPLITS``.
        source: The official train.txt, for official-test test.txt, or the same rows as JSON. By default found by
            MIXLM_DATA, else on the Hub.
        held_out: The rows of the split test, valid.txt or the same as JSON. By default found by MIXLM_DATA, else on
            the Hub.

    Raises:
        InputError: If there is no such split, a file is not given or not there, or a row is not in one of the two
            layouts.
    """
    require_split(split, SPLITS)
    if split == "official-test":
        yield from _rows(_OFFICIAL_TEST, source)
        return
    test = list(_rows(_HELD_OUT, held_out))
    if split == "test":
        yield from test
        return
    held = {row["question"] for row in test}
    valid = drawn(
        (row["question"] for row in _rows(_TRAIN, source) if row["question"] not in held),
        VALID_QUESTIONS,
        source or _TRAIN.file,
    )
    for row in _rows(_TRAIN, source):
        if row["question"] not in held and (row["question"] in valid) == (split == "valid"):
            yield row


def _rows(source: Source, given: str | Path | None) -> Iterator[RawRow]:
    place = source.locate(given)
    is_text = not isinstance(place, InputError) and Path(place).suffix == ".txt" and Path(place).is_file()
    for where, row in _read_text(Path(place)) if is_text else source.rows(given):
        if isinstance(row.get("steps"), list):
            steps = [str(step) for step in row["steps"]]
        else:
            steps = text_of(row, ("cot",), where, _TASK).split()
        answer = text_of(row, ("answer",), where, _TASK)
        question = text_of(row, ("question",), where, _TASK)
        yield {"question": question, "steps": steps, "answer": answer.replace(",", "")}


def _read_text(path: Path) -> Iterator[tuple[str, RawRow]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            question, bars, response = line.partition("||")
            equations, mark, answer = response.rpartition("####")
            if line.strip() and not (bars and mark):
                raise InputError(f"{path}:{number}: is no 'question||<<..>> #### answer'; give iCoT's own files")
            if line.strip():
                yield f"{path}:{number}", {"question": question, "cot": equations, "answer": answer}
