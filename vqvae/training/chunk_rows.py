"""The rows that a stage-1 model can learn from."""

from collections.abc import Sequence

import numpy as np
from torch.utils.data import Dataset

from vqvae.errors import InputError
from vqvae.model.chunks import TokenRow, chunks_of
from vqvae.model.config import ChunkVQVAEConfig


ALL_EMPTY = "all traces are empty, so there is nothing to encode"


def longest_step(rows: Sequence[TokenRow]) -> int:
    """Return the tokens of the longest step."""
    return int(max((max(row["step_lengths"], default=0) for row in rows), default=0))


def longest_prompt(rows: Sequence[TokenRow]) -> int:
    """Return the tokens of the longest prompt."""
    return max((len(row["prompt_ids"]) for row in rows), default=0)


def check_codebook(data: "ChunkRows", config: ChunkVQVAEConfig) -> None:
    """Check that the corpus can fill the codebook.

    Raises:
        InputError: If no trace has a whole chunk, or there are more codes than chunks of traces.
    """
    length = config.chunk_length
    if not data.trace_chunks and config.align == "step":
        raise InputError(ALL_EMPTY)
    if not data.trace_chunks:
        raise InputError(f"no trace has a whole chunk of {length} tokens; lower --chunk-length and --compression-rate")
    if config.codebook_size > data.trace_chunks * config.codes_per_chunk:
        raise InputError(
            f"codebook size {config.codebook_size} is larger than the {data.trace_chunks} chunks of {length} tokens "
            "in the training traces; lower --codebook-size or add traces"
        )


class ChunkRows(Dataset):
    """The rows whose trace has a whole chunk.

    Others are left out: a batch without a trace would leave nothing to move the codebook by, and the processes of one
    training move it together.

    Attributes:
        rows: All rows; they stay where they are, in memory or in a file.
        chosen: Numbers of those that have one.
        trace_chunks: Number of chunks of their traces.
    """

    def __init__(self, rows: Sequence[TokenRow], config: ChunkVQVAEConfig) -> None:
        counts = np.fromiter((chunks_of(row, config) for row in rows), dtype=np.int64)
        self.rows, self.chosen, self.trace_chunks = rows, np.flatnonzero(counts), int(counts.sum())

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.chosen)

    def __getitem__(self, index: int) -> TokenRow:
        """Return one row."""
        return self.rows[int(self.chosen[index])]
