"""From many traces to their codes."""

from collections.abc import Callable, Sequence

import torch

from vqvae.chunks import pad_right, windows
from vqvae.model import ChunkVQVAE


@torch.no_grad()
def encode_traces(
    model: ChunkVQVAE,
    traces: Sequence[Sequence[int]],
    batch_size: int = 1024,
    progress: Callable[[int], None] | None = None,
) -> list[list[int]]:
    """Return the codes of each trace.

    Windows of all traces are laid end to end in blocks, so that short traces cost no padding. In fp32 the codes do not
    depend on ``batch_size`` or on which traces stand together.

    Args:
        model: A trained model; put into evaluation mode meanwhile.
        traces: Full token ids of each trace.
        batch_size: Windows of one block: chunks with ``context="chunk"``.
        progress: Called after each block with the number of windows done.

    Returns:
        For each trace ``len(trace) // L * (L / r)`` codes.
    """
    cut = [(owner, window) for owner, trace in enumerate(traces) for window in windows(trace, model.config)]
    codes: list[list[int]] = [[] for _ in traces]
    training = model.training
    model.eval()
    for start in range(0, len(cut), batch_size):
        block = cut[start : start + batch_size]
        ids, lengths = pad_right([window for _, window in block])
        vectors = model.encode_windows(ids.to(model.device), lengths.to(model.device))
        found = iter(model.quantizer.nearest(vectors.flatten(0, 1)).tolist())
        for owner, window in block:
            count = len(window) // model.config.compression_rate
            codes[owner].extend(next(found) for _ in range(count))
        if progress:
            progress(len(block))
    model.train(training)
    return codes
