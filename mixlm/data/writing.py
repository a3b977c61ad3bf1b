"""Writing rows to files: of a task, of another layout, of the two parts of a file."""

import json
import os
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from mixlm.data.layouts.chats import TEMPLATE_ARGUMENTS
from mixlm.data.reading import open_raw, read_rows, require_apart
from mixlm.data.samples import Sample, read_question, try_sample
from mixlm.data.texts.responses import COLUMN, compile_pattern, count_rules
from mixlm.data.texts.sentences import split_sentences
from mixlm.errors import InputError
from vqvae.atomic_files import whole_file


def write_rows(path: str | Path, rows: Iterable[Mapping[str, Any]], limit: int | None = None) -> int:
    """Write rows as JSONL, all or nothing.

    Args:
        path: The file.
        rows: The rows.
        limit: Write the first ``limit`` rows; None: all.

    Returns:
        The number of rows written.

    Raises:
        InputError: If the file cannot be written, or as ``rows`` raises.
    """
    with whole_file(path) as file:
        return _write(file, islice(rows, limit))


_OF_CHATS = ("question", "steps", "answer", "messages", "needs_chat")


class Converted(NamedTuple):
    """What became of the rows of a file.

    Attributes:
        rows: How many were written.
        skipped: How many were malformed and left out.
        rules: How many answers were found by each rule, see ``mixlm.data.texts.responses.count_rules``.
    """

    rows: int
    skipped: int
    rules: Mapping[str, int]


def convert(source: str, out: str | Path, answer_pattern: str | None = None, skip_bad_rows: bool = False) -> Converted:
    """Write the rows of any accepted layout as question, steps and answer; how to compare it, if not exactly.

    A trace of one line, of which the sentences are the steps, is written as ``reasoning``. A chat that only a chat
    template renders stays one: its turns, with the trace as ``reasoning_content`` of the last, tools and what the
    template is told.

    Args:
        source: See ``mixlm.data.reading.open_raw``.
        out: The JSONL file.
        answer_pattern: Regular expression that finds the answer in a response, in place of the marks that are known.
        skip_bad_rows: Leave out malformed rows.

    Raises:
        InputError: If a row fits no layout, a chat would be read as another one, no row is left, or ``out`` is read.
    """
    require_apart(out, source)
    pattern, skipped, rules = compile_pattern(answer_pattern), 0, []

    def plain_rows() -> Iterator[dict[str, Any]]:
        """Yield the rows to write, and count."""
        nonlocal skipped
        for where, row in open_raw(source):
            sample = try_sample(row, where, skip_bad_rows, pattern)
            made = sample if isinstance(sample, InputError) else _chat(sample) if sample.needs_chat else _plain(sample)
            if isinstance(made, InputError):
                if not skip_bad_rows:
                    raise made
                skipped += 1
                continue
            rules.append(sample.rule)
            yield made
        if not rules:
            raise InputError(
                f"{source}: holds no samples" + (f"; all {skipped} rows are malformed" if skipped else "")
            )

    return Converted(write_rows(out, plain_rows()), skipped, count_rules(rules))


def _plain(sample: Sample) -> dict[str, Any]:
    """Return a sample as question, trace and answer."""
    plain = {"question": sample.question, **_trace(sample), "answer": sample.answer}
    meant = replace(sample, columns={}, rule=COLUMN).check  # where the row does not say
    return plain if sample.check == meant == "exact" else {**plain, "check": sample.check}


def _chat(sample: Sample) -> dict[str, Any] | InputError:
    """Return a sample as a chat, or what is wrong if that would be read as another sample."""
    thought = {"reasoning_content": "\n".join(sample.steps)} if sample.from_text and sample.steps else {}
    turns = [*sample.messages, {"role": "assistant", "content": sample.answer, **thought}]
    steps = {} if sample.from_text else {"steps": list(sample.steps)}
    told = {name: sample.columns[name] for name in ("tools", TEMPLATE_ARGUMENTS) if name in sample.columns}
    row = {"messages": turns, **steps, "answer": sample.answer, **told}
    read = try_sample(row, sample.where, skip_bad_rows=True)
    if isinstance(read, InputError) or any(getattr(read, name) != getattr(sample, name) for name in _OF_CHATS):
        return InputError(
            f"{sample.where}: a chat that would be read otherwise as a row of its own; use the file as it is"
        )
    return row if read.check == sample.check else {**row, "check": sample.check}


def _trace(sample: Sample) -> dict[str, Any]:
    """Return the column of a trace: its steps, or its one line, of which the sentences are steps when it is read."""
    one_line = sample.from_text and len(sample.steps) == 1 and len(split_sentences(sample.steps[0])) > 1
    return {"reasoning": sample.steps[0]} if one_line else {"steps": list(sample.steps)}


def split(source: str, train: str | Path, valid: str | Path, share: float = 0.1, seed: int = 0) -> tuple[int, int]:
    """Write the rows of ``source`` to two files, in their order, a seeded draw of them to ``valid``.

    Rows with equal questions are drawn together, so no question comes to stand in both files.

    Args:
        source: See ``mixlm.data.reading.open_raw``.
        train: JSONL file of the rows that are not drawn.
        valid: JSONL file of the rows that are drawn.
        share: Share of the questions to draw; at least one is drawn and at least one is not.
        seed: Of the draw.

    Returns:
        The numbers of rows in ``train`` and ``valid``.

    Raises:
        InputError: If ``source`` has fewer than two questions, a row has no question, or two files are the same.
    """
    if os.path.realpath(train) == os.path.realpath(valid):
        raise InputError(f"{valid}: is also the file of the rows kept; give two files")
    for path in (train, valid):
        require_apart(path, source)
    rows = [(read_question(row, where).question, row) for where, row in read_rows(source)]
    questions = sorted({question for question, _ in rows})
    if len(questions) < 2:
        raise InputError(f"{source}: {len(questions)} different questions; splitting needs two at least")
    drawn = set(random.Random(seed).sample(questions, min(max(round(share * len(questions)), 1), len(questions) - 1)))
    with whole_file(train) as kept_file, whole_file(valid) as drawn_file:
        kept = _write(kept_file, (row for question, row in rows if question not in drawn))
        counts = kept, _write(drawn_file, (row for question, row in rows if question in drawn))
        for file in (kept_file, drawn_file):  # before either has its name: a disk that is full shows here
            file.flush()
            os.fsync(file.fileno())
        return counts


def _write(file: TextIO, rows: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")  # of Parquet: dates, decimals
        count += 1
    return count
