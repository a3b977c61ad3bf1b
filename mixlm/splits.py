"""The training and validation rows of an encoded dataset, tokenized but not yet encoded."""

from typing import Any

import numpy as np

from mixlm.encoding_options import EncodingOptions
from mixlm.errors import InputError
from mixlm.models import is_scratch, open_tokenizer
from mixlm.samples import Sample, read_samples
from mixlm.tokenization import tokenize_samples
from vqvae import ChunkVQVAEConfig


Row = dict[str, Any]
MOST_VALID = 1000


def read_splits(traces: str, model: str, options: EncodingOptions) -> tuple[dict[str, list[Row]], Any, dict[str, Any]]:
    """Read, split and tokenise the samples.

    Args:
        traces: Anything that ``mixlm.files.read_rows`` reads.
        model: Names the tokenizer; that of a model from scratch is built from the training samples.
        options: Tell the template and what is held out.

    Returns:
        Tokenized rows of "train" and "valid"; the tokenizer; counts of samples and of rows left out.

    Raises:
        InputError: If a row is malformed, or there is none.
    """
    train, skipped = _read(traces, options)
    if not train:
        raise InputError(f"{traces}: holds no samples")
    if options.valid:
        valid, skipped_valid = _read(options.valid, options)
    else:
        train, valid = _hold_out(train, options)
        skipped_valid = 0
    texts = ("".join(options.template.render(sample)) for sample in train) if is_scratch(model) else ()
    tokenizer = open_tokenizer(model, texts)
    splits = {
        "train": tokenize_samples(tokenizer, options.template, train),
        "valid": tokenize_samples(tokenizer, options.template, valid),
    }
    counts = {
        "train": {"samples": len(train), "skipped_rows": skipped},
        "valid": {"samples": len(valid), "skipped_rows": skipped_valid},
    }
    return splits, tokenizer, counts


def _read(source: str, options: EncodingOptions) -> tuple[list[Sample], int]:
    found = list(read_samples(source, skip_bad_rows=options.skip_bad_rows))
    samples = [sample for sample in found if isinstance(sample, Sample)]
    return samples, len(found) - len(samples)


def _hold_out(samples: list[Sample], options: EncodingOptions) -> tuple[list[Sample], list[Sample]]:
    held = min(round(len(samples) * options.valid_fraction), MOST_VALID)
    chosen = set(np.random.default_rng(options.training.seed).permutation(len(samples))[:held].tolist())
    train = [sample for index, sample in enumerate(samples) if index not in chosen]
    return train, [samples[index] for index in sorted(chosen)]


def count_rows(rows: list[Row], config: ChunkVQVAEConfig) -> dict[str, int]:
    """Count one split.

    Args:
        rows: Its tokenized rows.
        config: Tells the length of a chunk.

    Returns:
        ``trace_tokens``, ``chunks`` and ``codes`` of all traces; ``empty_traces``; ``short_traces``, those of some
        tokens but no whole chunk; ``longest``, the tokens of prompt, trace and solution of the longest sample.
    """
    traces = [len(row["trace_ids"]) for row in rows]
    chunks = sum(length // config.chunk_length for length in traces)
    whole = (sum(len(row[part]) for part in ("prompt_ids", "trace_ids", "solution_ids")) for row in rows)
    return {
        "trace_tokens": sum(traces),
        "chunks": chunks,
        "codes": chunks * config.codes_per_chunk,
        "empty_traces": traces.count(0),
        "short_traces": sum(0 < length < config.chunk_length for length in traces),
        "longest": max(whole, default=0),
    }
