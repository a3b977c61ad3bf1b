"""The rows that an evaluation reads: a split of an encoded dataset, or a raw file."""

from itertools import islice
from pathlib import Path
from typing import Any

from mixlm.data.responses import compile_pattern
from mixlm.data.samples import read_samples
from mixlm.data.tables import Row
from mixlm.data.tokenization import tokenize_samples
from mixlm.encoding.dataset import EncodedData, load_encoded
from mixlm.encoding.manifest import is_encoded
from mixlm.errors import InputError
from mixlm.generation.plan import Answerer
from mixlm.run import Run


def open_rows(
    source: str | Path,
    answerer: Answerer,
    split: str | None = None,
    limit: int | None = None,
    answer_pattern: str | None = None,
) -> list[Row]:
    """Open ``source`` for evaluating a run.

    Args:
        source: An encoded dataset, whose rows have codes, or anything that ``mixlm.data.reading.open_raw`` opens.
        answerer: Whose template and tokenizer render raw rows.
        split: Which part to read; by default "valid" of an encoded dataset and "train", the only one that a file has,
            of anything else.
        limit: Number of rows to keep, from the first; None: all.
        answer_pattern: Regular expression that finds the answer in a response of a raw row; None: what did so for the
            rows that the run learned from.

    Raises:
        InputError: If there is no such split or no row, a row is malformed, or the data was encoded for another run.
    """
    pattern = answer_pattern or answerer.run.answer_pattern
    if is_encoded(source):
        if answer_pattern:
            raise InputError(f"--answer-pattern: {source} is encoded, and its answers are found; leave it out")
        rows = _encoded_split(load_encoded(source), answerer.run, split or "valid")
        rows = list(rows.select(range(min(limit or len(rows), len(rows)))))
    else:
        if split not in (None, "train") and Path(source).is_file():
            raise InputError(f"--split {split}: the file {source} has no parts; leave --split out")
        samples = islice(read_samples(source, split or "train", compile_pattern(pattern)), limit)
        rows = tokenize_samples(answerer.tokenizer, answerer.run.template, samples)
    if not rows:
        raise InputError(f"{source}: holds no rows to evaluate")
    return rows


def _encoded_split(data: EncodedData, run: Run, split: str) -> Any:
    check_match(data, run)
    if split not in ("train", "valid"):
        raise InputError(f"--split {split}: an encoded dataset has train and valid")
    rows = getattr(data, split)
    if rows is None:
        raise InputError(f"{data.path}: has no {split} rows; give --split train, or a file of other samples")
    return rows


def check_match(data: EncodedData, run: Run) -> None:
    """Raise an ``InputError`` unless the ids and codes of ``data`` mean the same to ``run``."""
    if data.fingerprint != run.fingerprint:
        raise InputError(f"{data.path}: encoded with another tokenizer than {run.path} has; give the raw file instead")
    if data.template != run.template:
        raise InputError(f"{data.path}: rendered by another template than {run.path} has; give the raw file instead")
    shape = ("align", "chunk_length", "compression_rate", "codebook_size")
    for name in shape if run.method.needs_codes else ():
        given, wanted = getattr(data, name), getattr(run, name)
        if given != wanted:
            what = name.replace("_", " ")
            raise InputError(
                f"{data.path}: its {what} is {given}, that of {run.path} {wanted}; give the run's own data"
            )
