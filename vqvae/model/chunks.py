"""Cutting token ids into chunks and windows, and gathering windows into batches."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from vqvae import PARTS
from vqvae.model.config import ChunkVQVAEConfig


TokenRow = Mapping[str, Sequence[int] | np.ndarray]  # the ids of each part of a sample


def windows(ids: Sequence[int], config: ChunkVQVAEConfig) -> list[list[int]]:
    """Cut ids into runs of whole chunks that the encoder sees at once; the tail shorter than a chunk is dropped.

    With ``context="chunk"`` every window is one chunk.

    >>> windows([1, 2, 3, 4, 5], ChunkVQVAEConfig(chunk_length=2, compression_rate=1))
    [[1, 2], [3, 4]]
    """
    starts, sizes = cut_windows(np.array([len(ids)]), config)
    return [list(ids[start : start + size]) for start, size in zip(starts.tolist(), sizes.tolist(), strict=True)]


def cut_windows(lengths: np.ndarray, config: ChunkVQVAEConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return where the windows of sequences begin that are laid end to end.

    Args:
        lengths: (n,) tokens of each sequence.
        config: Tells the length of chunks and windows.

    Returns:
        First token (w,) and number of tokens (w,) of each window of each sequence, in order.

    >>> cut_windows(np.array([5, 1, 2]), ChunkVQVAEConfig(chunk_length=2, compression_rate=1))
    (array([0, 2, 6]), array([2, 2, 2]))
    """
    whole = lengths // config.chunk_length * config.chunk_length
    count = -(-whole // config.window)
    owner = np.repeat(np.arange(len(lengths)), count)
    inside = (np.arange(len(owner)) - (np.cumsum(count) - count)[owner]) * config.window
    return (np.cumsum(lengths) - lengths)[owner] + inside, np.minimum(config.window, whole[owner] - inside)


def pad_right(sequences: Sequence[Sequence[int]], width: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack sequences: ids (n, longest or ``width``), padded by 0 on the right, and their lengths (n,)."""
    lengths = [*map(len, sequences)]
    ids = np.zeros((len(sequences), max([width, *lengths])), dtype=np.int64)
    for row, sequence, length in zip(ids, sequences, lengths, strict=True):
        row[:length] = sequence
    return torch.from_numpy(ids), torch.tensor(lengths)


def last_tokens(ids: torch.Tensor, lengths: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut rows of ids (n, T), padded on the right, to their last ``most`` tokens, and ``lengths`` (n,) with them."""
    if ids.shape[1] <= most:
        return ids, lengths
    start = (lengths - most).clamp(min=0)
    places = start[:, None] + torch.arange(most, device=ids.device)
    return ids.gather(1, places), lengths - start


def collate(
    rows: Sequence[TokenRow], config: ChunkVQVAEConfig, parts: Sequence[str] = PARTS
) -> dict[str, torch.Tensor]:
    """Gather all chunks of some samples into the inputs of ``ChunkVQVAE.forward``.

    Each part is cut from its own first token. A prompt longer than ``config.max_prompt_length`` keeps its end.

    Args:
        rows: Tokenized rows, at least one with a whole chunk.
        config: Of the model.
        parts: Columns that are cut into chunks.
    """
    sequences = [np.asarray(row[part], dtype=np.int64) for row in rows for part in parts]
    sizes = np.array([len(sequence) for sequence in sequences])
    starts, lengths = cut_windows(sizes, config)
    places = starts[:, None] + np.arange(lengths.max())
    inside = places < (starts + lengths)[:, None]
    owner, part = np.divmod(np.searchsorted(np.cumsum(sizes), starts, side="right"), len(parts))
    prompts = [row["prompt_ids"][-config.max_prompt_length :] for row in rows]
    prompt_ids, prompt_lengths = pad_right(prompts, width=1)
    return {
        "input_ids": torch.from_numpy(np.concatenate(sequences)[np.where(inside, places, 0)] * inside),
        "lengths": torch.from_numpy(lengths),
        "prompt_ids": prompt_ids,
        "prompt_lengths": prompt_lengths,
        "sample": torch.from_numpy(owner),
        "trace": torch.from_numpy(part == [*parts].index("trace_ids")),
    }


class Chunks(NamedTuple):
    """The ``n`` chunks of some windows, in order.

    Attributes:
        targets: (n, L) rows of the compact vocabulary.
        vectors: (n, L / r, d) what f_enc makes of them, unquantised.
        window: (n,) which window each is of.
    """

    targets: torch.Tensor
    vectors: torch.Tensor
    window: torch.Tensor
