"""The rows that a training run reads: an encoded dataset, or a raw file for a method without codes."""

from dataclasses import dataclass
from typing import Any

from mixlm.data.reading import read_rows
from mixlm.data.samples import to_sample
from mixlm.data.template import Template
from mixlm.data.tokenization import tokenize_rows
from mixlm.encoding.dataset import EncodedData, is_encoded, load_encoded
from mixlm.errors import InputError
from mixlm.methods.base import Method
from mixlm.model.loading import is_scratch, open_tokenizer, tokenizer_fingerprint


@dataclass
class TrainingData:
    """Tokenized rows and how they came to be.

    Attributes:
        train: Rows to learn from, a ``datasets.Dataset``.
        valid: Rows to measure on; None without.
        tokenizer: The base tokenizer.
        template: How samples were rendered.
        encoded: The encoded dataset they come from; None for a raw file.
    """

    train: Any
    valid: Any
    tokenizer: Any
    template: Template
    encoded: EncodedData | None = None

    @property
    def codebook_size(self) -> int:
        """Number of codes, K; 0 for a raw file."""
        return self.encoded.codebook_size if self.encoded else 0

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the base tokenizer."""
        return tokenizer_fingerprint(self.tokenizer)


def open_data(source: str, model: str, method: Method, template: Template, valid: str | None = None) -> TrainingData:
    """Open ``source`` for training ``model`` with ``method``.

    Args:
        source: An encoded dataset, or any file of traces for a method without codes.
        model: Names the tokenizer; a model from scratch takes the encoded dataset's, or builds one from the file.
        method: Tells whether codes are needed.
        template: Renders a raw file; an encoded dataset brings its own.
        valid: Raw file of validation rows, for a raw ``source``.

    Raises:
        InputError: If codes are needed and there are none, or the tokenizer is not the one that encoded.
    """
    if is_encoded(source):
        return _open_encoded(load_encoded(source), model)
    if method.needs_codes:
        raise InputError(
            f"{source}: method '{method.name}' needs codes, and this is no encoded dataset; "
            f"encode it first: mixlm-encode {source} --model {model} --out ENCODED"
        )
    tokenizer = open_tokenizer(model, texts_of(source, template) if is_scratch(model) else ())
    rows = tokenize_rows(source, tokenizer, template)
    return TrainingData(rows, tokenize_rows(valid, tokenizer, template) if valid else None, tokenizer, template)


def texts_of(source: str, template: Template) -> list[str]:
    """Return the rendered samples of a raw file, from which a tokenizer can be built."""
    samples = (to_sample(row, where) for where, row in read_rows(source))
    return ["".join(template.render(sample)) for sample in samples]


def _open_encoded(data: EncodedData, model: str) -> TrainingData:
    tokenizer = open_tokenizer(str(data.tokenizer_path) if is_scratch(model) else model)
    if tokenizer_fingerprint(tokenizer) != data.fingerprint:
        raise InputError(
            f"{data.path}: encoded with another tokenizer ({data.manifest.get('model', 'unknown')}) "
            f"than that of {model}; encode again with --model {model}"
        )
    return TrainingData(data.train, data.valid, tokenizer, data.template, data)


def leave_out_long(rows: Any, longest: int, extra: int = 0) -> tuple[Any, int]:
    """Leave out the rows that are longer than ``longest`` tokens.

    Args:
        rows: A ``datasets.Dataset`` of tokenized rows.
        longest: Tokens of the longest sequence.
        extra: Tokens that a method may add to prompt, trace and solution.

    Returns:
        The rows kept, and the number left out.

    Raises:
        InputError: If none is short enough.
    """
    parts = ("prompt_ids", "trace_ids", "solution_ids")
    lengths = [sum(map(len, row)) for row in zip(*(rows[part] for part in parts), strict=True)]
    kept = [index for index, length in enumerate(lengths) if length + extra <= longest]
    if not kept and min(lengths) <= longest:
        raise InputError(
            f"no sample has room for the {extra} tokens that the method adds: the shortest has {min(lengths)} of at "
            f"most {longest}; ask for fewer pauses or thoughts (mixlm methods shows the options)"
        )
    if not kept:
        raise InputError(
            f"every sample is longer than {longest} tokens (the shortest: {min(lengths)}); raise --max-length"
        )
    if len(kept) == len(lengths):
        return rows, 0
    return rows.select(kept), len(lengths) - len(kept)
