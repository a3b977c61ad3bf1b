"""What a code is to predict: the next step of its trace, and the solution."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from vqvae.model.chunks import TokenRow, chunks_of, collate, pad_right
from vqvae.model.config import SOLUTION_TOKENS, ChunkVQVAEConfig
from vqvae.model.context import Texts, place_in_sample
from vqvae.model.cutting import Cutting
from vqvae.model.sampled_softmax import IGNORED
from vqvae.model.vocabulary import CompactVocabulary


NEXT, SOLUTION = 0, 1  # the kinds of text


def next_places(row: TokenRow, cutting: Cutting) -> tuple[np.ndarray, np.ndarray]:
    """Return where in a row's trace the text begins and ends that each chunk is to predict, (n,) and at most L tokens.

    It is the next step that has any token, or with fixed chunks what follows; empty after the last.
    """
    stretches, length = cutting.stretches(row), len(row["trace_ids"])
    starts, _ = cutting.chunks(stretches)
    if cutting.align == "fixed":
        begins = starts + cutting.chunk_length
        return begins, np.minimum(begins + cutting.chunk_length, length)
    ends = np.append(np.cumsum(stretches), length)
    begins = ends[np.searchsorted(ends, starts, side="right")]
    following = ends[np.minimum(np.searchsorted(ends, begins, side="right"), len(stretches))]
    return begins, np.minimum(begins + cutting.chunk_length, following)


def longest_context(rows: Sequence[TokenRow], config: ChunkVQVAEConfig) -> tuple[int, int, int]:
    """Return the most codes that a trace of some rows has, the most tokens that one is to predict, and of a prompt."""
    sizes = [(chunks_of(row, config), len(row["prompt_ids"])) for row in rows]
    codes, prompt = (max(column, default=0) for column in zip(*sizes, strict=True)) if sizes else (0, 0)
    return codes, max(config.chunk_length, SOLUTION_TOKENS), min(prompt, config.prompt_length)


def collate_traces(rows: Sequence[TokenRow], config: ChunkVQVAEConfig) -> dict[str, torch.Tensor]:
    """Gather the traces of samples, and what their codes are to predict.

    Returns:
        What ``vqvae.model.chunks.collate`` returns for traces; ``next_ids`` (n, T) and ``next_lengths`` (n,) for each
        chunk, ``solution_ids`` (b, S) and ``solution_lengths`` (b,) for each sample, padded on the right.
    """
    texts = []
    for row in rows:
        trace = np.asarray(row["trace_ids"])
        texts += [trace[begin:end] for begin, end in zip(*next_places(row, config.cutting), strict=True)]
    next_ids, next_lengths = pad_right(texts, width=1)
    solution_ids, solution_lengths = pad_right([row["solution_ids"][:SOLUTION_TOKENS] for row in rows], width=1)
    return {
        **collate(rows, config, parts=("trace_ids",)),
        "next_ids": next_ids,
        "next_lengths": next_lengths,
        "solution_ids": solution_ids,
        "solution_lengths": solution_lengths,
    }


def continuations(
    batch: Mapping[str, torch.Tensor], vocabulary: CompactVocabulary, config: ChunkVQVAEConfig
) -> tuple[Texts, Texts]:
    """Return the next steps and the solutions, n of each, that the chunks of a batch are to predict.

    Args:
        batch: See ``collate_traces``.
        vocabulary: Gives the rows of ids.
        config: Tells how many codes a chunk has, and which row stands for the end of a step.
    """
    sample = batch["sample"]
    counts = torch.bincount(sample, minlength=len(batch["prompt_ids"]))
    visible = (place_in_sample(sample, counts) + 1) * config.codes_per_chunk
    ids, lengths = vocabulary.compact(batch["next_ids"]), batch["next_lengths"]
    if ids.shape[1] < config.chunk_length:
        ids = F.pad(ids, (0, 1))
    following = with_ends(ids, lengths, config.end_row)
    following = following.masked_fill((lengths == 0)[:, None], IGNORED)  # after the last step there is none
    solutions = with_ends(vocabulary.compact(batch["solution_ids"]), batch["solution_lengths"], None)
    return Texts(sample, visible, following), Texts(sample, visible, solutions[sample])


def with_ends(rows: torch.Tensor, lengths: torch.Tensor, end: int | None) -> torch.Tensor:
    """Return ``rows`` (m, T), of which ``lengths`` (m,) count, as targets: the ``end`` once, where there is one."""
    offset = torch.arange(rows.shape[1], device=rows.device)
    beyond = IGNORED if end is None else torch.where(offset == lengths[:, None], end, IGNORED)
    return torch.where(offset < lengths[:, None], rows, beyond)
