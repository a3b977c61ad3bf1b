"""The rows that an evaluation reads: a split of an encoded dataset, or a raw file."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from mixlm.damage import RUN_RECORD, listed_sums
from mixlm.data.samples import CheckName, read_samples, widest_check
from mixlm.data.tables import Row
from mixlm.data.texts.responses import compile_pattern
from mixlm.data.tokenization import tokenize_samples
from mixlm.encoding import MANIFEST, VQVAE
from mixlm.encoding.dataset import EncodedData, load_encoded
from mixlm.encoding.manifest import holds_codes
from mixlm.encoding.survival import bare_samples, check_survival
from mixlm.errors import InputError
from mixlm.evaluation.checks import unread_answers
from mixlm.evaluation.measuring.records import gold_answer
from mixlm.generation.answerer import Answerer
from mixlm.run import Run


@dataclass(frozen=True)
class OpenedRows(Sequence[Row]):
    """Rows for a run to answer, and how its answers to them are compared.

    Attributes:
        rows: Tokenized rows, a list or a ``datasets.Dataset``.
        check: How, if nobody says otherwise: the rows decide; where they mean no more than "exact", the rows do that
            the run learned from.
        why: In words whence that is known.
    """

    rows: Sequence[Row]
    check: CheckName
    why: str

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.rows)

    def __getitem__(self, place: int | slice) -> Any:
        """Return what ``rows`` has there."""
        return self.rows[place]

    def __iter__(self) -> Iterator[Row]:
        """Yield them."""
        return iter(self.rows)


def open_rows(
    source: str | Path,
    answerer: Answerer,
    split: str | None = None,
    limit: int | None = None,
    answer_pattern: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> OpenedRows:
    """Open ``source`` for evaluating a run; rows of an encoded dataset stay where they are until they are looked at.

    Args:
        source: An encoded dataset, whose rows have codes, or anything that ``mixlm.data.reading.open_raw`` opens.
        answerer: Whose template and tokenizer render raw rows.
        split: Which part to read; by default "valid" of an encoded dataset and "train", the only one that a file has,
            of anything else.
        limit: Number of rows to keep, from the first; None: all.
        answer_pattern: Regular expression that finds the answer in a response of a raw row; None: what did so for the
            rows that the run learned from.
        say: Told if rows do not survive the run's tokenizer.

    Raises:
        InputError: If there is no such split or no row, a row is malformed, the data was encoded for another run, or
            no answer survives the tokenizer.
    """
    pattern = answer_pattern or answerer.run.answer_pattern
    if holds_codes(source):
        if answer_pattern:
            raise InputError(f"--answer-pattern: {source} is encoded, and its answers are found; leave it out")
        data = load_encoded(source)
        rows, check = _encoded_split(data, answerer, split or "valid"), data.check
        rows = rows.select(range(min(limit or len(rows), len(rows))))
        samples = bare_samples(rows)
    else:
        if split not in (None, "train") and Path(source).is_file():
            raise InputError(f"--split {split}: the file {source} has no parts; leave --split out")
        samples = [*islice(read_samples(source, split, compile_pattern(pattern)), limit)]
        rows, check = tokenize_samples(answerer.tokenizer, answerer.run.template, samples), widest_check(samples)
    if not rows:
        raise InputError(f"{source}: holds no rows to evaluate")
    remedy = "give" if answerer.run.untrained else "train it again with"
    check_survival(answerer.tokenizer, answerer.run.template, samples, say, remedy)
    run = answerer.run
    if check == "exact" and run.check in ("number", "math"):
        return OpenedRows(rows, run.check, f"as {run.path} learned to answer")
    return OpenedRows(rows, check, f"as {source} means it")


def tell_unread(rows: Sequence[Row], answerer: Answerer, check: CheckName, say: Callable[[str], None]) -> None:
    """Say how many right answers a check cannot read, with the first of them; a model would have to hit their words.

    Args:
        rows: Tokenized rows.
        answerer: Reads their answers.
        check: How answers are compared.
        say: Called with the line, if there is something to say.
    """
    golds = [gold_answer(row, answerer) for row in rows]
    unread = unread_answers(golds, check)
    if unread:
        first, row = golds[unread[0]], rows[unread[0]]["row"]
        say(
            f"warning: --check {check} cannot read {len(unread)} of {len(golds)} right answers, such as "
            f"{textwrap.shorten(first, 60, placeholder=' ..')!r} in row {row}; there only the same words are right"
        )


def _encoded_split(data: EncodedData, answerer: Answerer, split: str) -> Any:
    check_match(data, answerer)
    if split not in ("train", "valid"):
        raise InputError(f"--split {split}: an encoded dataset has train and valid")
    rows = getattr(data, split)
    if rows is None:
        raise InputError(f"{data.path}: has no {split} rows; give --split train, or a file of other samples")
    return rows


def check_match(data: EncodedData, answerer: Answerer) -> None:
    """Raise an ``InputError`` unless the ids and codes of ``data`` mean the same to the run that answers."""
    run = answerer.run
    if data.fingerprint != run.fingerprint:
        raise InputError(f"{data.path}: encoded with another tokenizer than {run.path} has; give the raw file instead")
    if data.template != run.template:
        redated = replace(data.template, date=run.template.date)
        how = "on another date than that of" if redated == run.template else "by another template than"
        raise InputError(f"{data.path}: rendered {how} {run.path}; give the raw file instead")
    if other := data.told_otherwise(answerer.tokenizer):
        raise InputError(f"{data.path}: encoded with another {other} than {run.path} has; give the raw file instead")
    shape = ("align", "chunk_length", "compression_rate", "codebook_size")
    for name in shape if run.method.needs_codes else ():
        given, wanted = getattr(data, name), getattr(run, name)
        if given != wanted:
            what = name.replace("_", " ")
            raise InputError(
                f"{data.path}: its {what} is {given}, that of {run.path} {wanted}; give the run's own data"
            )
    if run.method.needs_codes and not same_codebook(run, data.path):
        raise InputError(
            f"{data.path}: its codes are of another codebook than those of {run.path}; give the run's own data, or "
            "the raw file"
        )


def same_codebook(run: Run, encoded: Path) -> bool:
    """Tell whether a run has the codebook of an encoded dataset, by checksums where both list them."""
    sums, own = listed_sums(encoded / MANIFEST), listed_sums(run.path / RUN_RECORD)
    weights = f"{VQVAE}/model.safetensors"
    if weights in sums and weights in own:
        return sums[weights] == own[weights]
    data = load_encoded(encoded)
    return data.fingerprint == run.fingerprint and data.codebook_size == run.codebook_size
