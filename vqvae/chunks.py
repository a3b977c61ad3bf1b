"""Cutting token ids into chunks and windows, and gathering windows into batches."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from vqvae.config import ChunkVQVAEConfig


PARTS = ("prompt_ids", "trace_ids", "solution_ids")


def windows(ids: Sequence[int], config: ChunkVQVAEConfig) -> list[list[int]]:
    """Cut ids into runs of whole chunks that the encoder sees at once; the tail shorter than a chunk is dropped.

    With ``context="chunk"`` every window is one chunk.

    >>> windows([1, 2, 3, 4, 5], ChunkVQVAEConfig(chunk_length=2, compression_rate=1))
    [[1, 2], [3, 4]]
    """
    end = len(ids) // config.chunk_length * config.chunk_length
    return [list(ids[start : min(start + config.window, end)]) for start in range(0, end, config.window)]


def count_chunks(ids: Sequence[int], config: ChunkVQVAEConfig) -> int:
    """Return how many whole chunks ``ids`` has."""
    return len(ids) // config.chunk_length


def pad_right(sequences: Sequence[Sequence[int]], width: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack sequences: ids (n, longest or ``width``), padded by 0 on the right, and their lengths (n,)."""
    width = max([width, *map(len, sequences)])
    ids = torch.tensor([[*sequence, *[0] * (width - len(sequence))] for sequence in sequences], dtype=torch.long)
    return ids.reshape(len(sequences), width), torch.tensor([len(sequence) for sequence in sequences])


def last_tokens(ids: torch.Tensor, lengths: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut rows of ids (n, T), padded on the right, to their last ``most`` tokens, and ``lengths`` (n,) with them."""
    if ids.shape[1] <= most:
        return ids, lengths
    start = (lengths - most).clamp(min=0)
    places = start[:, None] + torch.arange(most, device=ids.device)
    return ids.gather(1, places), lengths - start


def collate(
    rows: Sequence[Mapping[str, Any]], config: ChunkVQVAEConfig, parts: Sequence[str] = PARTS
) -> dict[str, torch.Tensor]:
    """Gather all chunks of some samples into the inputs of ``ChunkVQVAE.forward``.

    Each part is cut from its own first token. A prompt longer than ``config.max_prompt_length`` keeps its end.

    Args:
        rows: Tokenized rows, at least one with a whole chunk.
        config: Of the model.
        parts: Columns that are cut into chunks.
    """
    cut = [
        (owner, part, window)
        for owner, row in enumerate(rows)
        for part in parts
        for window in windows(row[part], config)
    ]
    input_ids, lengths = pad_right([window for *_, window in cut])
    prompts = [row["prompt_ids"][-config.max_prompt_length :] for row in rows]
    prompt_ids, prompt_lengths = pad_right(prompts, width=1)
    return {
        "input_ids": input_ids,
        "lengths": lengths,
        "prompt_ids": prompt_ids,
        "prompt_lengths": prompt_lengths,
        "sample": torch.tensor([owner for owner, *_ in cut]),
        "trace": torch.tensor([part == "trace_ids" for _, part, _ in cut]),
    }
