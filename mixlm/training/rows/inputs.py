"""The rows that a training run reads: an encoded dataset, or a raw file for a method without codes."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np

from mixlm.data.chat.rendering import clock_note
from mixlm.data.mapped import Mapped
from mixlm.data.tables import PARTS, ROWS_AT_ONCE, Row, flat_lists, lists_of
from mixlm.data.template import Template
from mixlm.encoding.dataset import load_encoded
from mixlm.encoding.manifest import holds_codes, told_changes
from mixlm.encoding.options import EncodingOptions
from mixlm.encoding.survival import bare_samples, check_survival
from mixlm.errors import InputError
from mixlm.methods.base import Method
from mixlm.model.loading import is_scratch
from mixlm.model.tokenizers import open_tokenizer, tokenizer_fingerprint
from mixlm.training.options import TrainingOptions
from mixlm.training.rows.data import TrainingData
from mixlm.training.rows.raw_file import read_raw_file


if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset


def open_data(
    source: str, model: str, method: Method, options: TrainingOptions, say: Callable[[str], None] = lambda line: None
) -> TrainingData:
    """Open ``source`` for training ``model`` with ``method``.

    Args:
        source: An encoded dataset, or any file of traces for a method without codes.
        model: Names the tokenizer; a model from scratch takes the encoded dataset's, or builds one from the file.
        method: Tells whether codes are needed.
        options: Bring template and validation rows for a raw file, and tell whether rows are measured on.
        say: Told the date of all prompts, where the chat template reads the clock, and of rows that do not survive the
            tokenizer.

    Raises:
        InputError: If codes or validation rows are needed and there are none, an encoded dataset is to be measured on
            other rows than its own or to have another template, the tokenizer is not the one that encoded, or no
            answer survives it.
    """
    encoded, valid = holds_codes(source), options.valid
    if encoded and valid:
        raise InputError(
            f"--valid {valid}: {source} is encoded, and so are its validation rows; give it to mixlm-encode"
        )
    if encoded and options.answer_pattern:
        raise InputError(f"--answer-pattern: {source} is encoded, and its answers are found; give it to mixlm-encode")
    data = _open_encoded(source, model, say) if encoded else _open_file(source, model, method, options, say)
    if encoded:
        _check_template(data.template, options.template, source)
    if options.eval_every and data.valid is None:
        raise InputError("--eval-every needs validation rows; give --valid FILE, or encode with --valid-fraction")
    if note := clock_note(data.template):
        say(note)
    return data


def _check_template(own: Template, told: Template, source: str) -> None:
    """Raise an ``InputError`` if encoded rows are to be rendered otherwise than they are; dates are not told."""
    own = replace(own, date=None)
    if told not in (Template(), own):
        raise InputError(
            f"{source}: encoded with another {told_changes(asdict(own), asdict(told))}; leave the options of the "
            "template out, or give them to mixlm-encode"
        )


def _open_file(
    source: str, model: str, method: Method, options: TrainingOptions, say: Callable[[str], None]
) -> TrainingData:
    if method.needs_codes:
        raise InputError(
            f"{source}: method '{method.name}' needs codes, and this is no encoded dataset; "
            f"encode it first: mixlm-encode {source} --model {model} --out ENCODED"
        )
    reading = EncodingOptions(
        options.template, valid=options.valid, valid_fraction=0.0, answer_pattern=options.answer_pattern
    )
    return read_raw_file(source, model, reading, say)


def _open_encoded(source: str, model: str, say: Callable[[str], None]) -> TrainingData:
    data = load_encoded(source)
    tokenizer = open_tokenizer(str(data.tokenizer_path) if is_scratch(model) else model)
    if tokenizer_fingerprint(tokenizer) != data.fingerprint:
        raise InputError(
            f"{data.path}: encoded with another tokenizer ({data.manifest['model']}) "
            f"than that of {model}; encode again with --model {model}"
        )
    if not is_scratch(model) and (other := data.told_otherwise(tokenizer)):  # else it is the dataset's own
        raise InputError(
            f"{data.path}: encoded with another {other} than {model} has; encode again with --model {model}"
        )
    check_survival(tokenizer, data.template, bare_samples(data.train), say, "encode again with")
    return TrainingData(data.train, data.valid, tokenizer, data.template, data, data.answer_pattern, data.check)


def leave_out_long(
    rows: "Dataset", longest: int, method: Method, kind: str = "sample", context: int | None = None
) -> "Dataset":
    """Leave out the rows of which a method may make a sequence of more than ``longest`` tokens.

    Args:
        rows: Tokenized rows.
        longest: Tokens of the longest sequence.
        method: The method, bound; it may add tokens to prompt, trace and solution.
        kind: What errors call a row.
        context: Tokens that the model can see at once; None: no limit.

    Raises:
        InputError: If none is short enough.
    """
    lengths, extra = _sizes(rows, method)
    kept = np.flatnonzero(lengths + extra <= longest)
    if len(kept):
        return rows if len(kept) == len(rows) else rows.select(kept)
    length = lengths.min()
    extra = extra[lengths == length].min()
    if length > longest:
        remedy = "the model's context holds no more" if longest == context else "raise --max-length"
        raise InputError(f"every {kind} is longer than {longest} tokens (the shortest: {length}); {remedy}")
    raise InputError(
        f"no {kind} has room for the {extra} tokens that the method adds: the shortest has {length} of at most "
        f"{longest}; ask for fewer pauses or thoughts (mixlm methods shows the options)"
    )


def _sizes(rows: "Dataset", method: Method) -> tuple[np.ndarray, np.ndarray]:
    """Return of each row how many tokens it has, and how many the method may add: two arrays (rows,)."""
    names = [name for name in (*PARTS, "step_lengths", "code_ends") if name in rows.column_names]
    mapped, extra = Mapped(rows.data.table), array("q")
    for table in rows.select_columns(names).with_format("arrow").iter(ROWS_AT_ONCE):
        extra.extend(method.extra_tokens(row) for row in _rows_of(table, names))
        mapped.give_back()
    return token_counts(rows), np.frombuffer(extra, np.int64)


def token_counts(rows: "Dataset") -> np.ndarray:
    """Return how many tokens prompt, trace and solution of each row have together, (rows,)."""
    mapped, counts = Mapped(rows.data.table), []
    for table in rows.select_columns([*PARTS]).with_format("arrow").iter(ROWS_AT_ONCE):
        counts.append(sum(lists_of(table, part)[1] for part in PARTS))
        mapped.give_back()
    return np.concatenate(counts)


def _rows_of(table: "pyarrow.Table", names: Sequence[str]) -> Iterator[Row]:
    """Yield rows of a table, whose lists are arrays."""
    lists = {name: flat_lists(table, name) for name in names}
    for row in range(table.num_rows):
        yield {name: values[ends[row] : ends[row + 1]] for name, (values, ends) in lists.items()}
