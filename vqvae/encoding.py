"""From many traces to their codes."""

from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
import torch

from vqvae.chunks import cut_windows
from vqvae.model import ChunkVQVAE


CPU_BATCH, GPU_BATCH = 1024, 16384  # windows that keep the device busy; more of them gain nothing


def encode_traces(
    model: ChunkVQVAE,
    traces: Sequence[Sequence[int]],
    batch_size: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[list[int]]:
    """Return the codes of each trace.

    Args:
        model: A trained model.
        traces: Full token ids of each trace.
        batch_size: See ``encode_flat``.
        progress: See ``encode_flat``.

    Returns:
        For each trace ``len(trace) // L * (L / r)`` codes.
    """
    lengths = np.array([len(trace) for trace in traces], dtype=np.int64)
    codes = encode_flat(model, np.fromiter(chain(*traces), np.int64), lengths, batch_size, progress)
    ends = np.cumsum(count_codes(model, lengths))
    return [part.tolist() for part in np.split(codes, ends[:-1])] if len(ends) else []


def count_codes(model: ChunkVQVAE, lengths: np.ndarray) -> np.ndarray:
    """Return how many codes traces of ``lengths`` (n,) have, (n,)."""
    return lengths // model.config.chunk_length * model.config.codes_per_chunk


@torch.no_grad()
def encode_flat(
    model: ChunkVQVAE,
    ids: np.ndarray,
    lengths: np.ndarray,
    batch_size: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Return the codes of traces that are laid end to end, so that nothing is copied on the way from a file.

    Windows of all traces make up blocks of ``batch_size``, so that short traces cost no padding. In fp32 the codes do
    not depend on ``batch_size`` or on which traces stand together.

    Args:
        model: A trained model; put into evaluation mode meanwhile.
        ids: (tokens,) full ids of all traces.
        lengths: (n,) tokens of each trace.
        batch_size: Windows of one block: chunks with ``context="chunk"``; None: what suits the device.
        progress: Called after each block with the number of windows done.

    Returns:
        (codes,) of all traces in order; ``count_codes`` tells how many each has.
    """
    training, device = model.training, model.device
    model.eval()
    starts, sizes = (torch.from_numpy(array).to(device) for array in cut_windows(lengths, model.config))
    flat = torch.tensor(ids, device=device)
    found = []
    size = batch_size or (CPU_BATCH if device.type == "cpu" else GPU_BATCH)
    for first, tokens in zip(starts.split(size), sizes.split(size), strict=True):
        width = model.config.window if model.config.context == "chunk" else int(tokens.max())
        places = first[:, None] + torch.arange(width, device=device)
        block = flat[places.clamp(max=len(flat) - 1)].long()  # beyond its end a window is not looked at
        found.append(model.quantizer.nearest(model.encode_windows(block, tokens).flatten(0, 1)))
        if progress:
            progress(len(first))
    model.train(training)
    return torch.cat(found).cpu().numpy() if found else np.zeros(0, dtype=np.int64)
