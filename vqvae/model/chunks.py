"""Cutting token ids into chunks and windows, and gathering windows into batches."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from vqvae import PARTS
from vqvae.errors import InputError
from vqvae.model.config import SOLUTION_TOKENS, ChunkVQVAEConfig


CHUNKS = 512  # most texts at once without gradients, about as many as a training step of 32 samples has
NUMBERS = 2**27  # likewise: that are computed for all of them in one place, half a gigabyte
TokenRow = Mapping[str, Sequence[int] | np.ndarray]  # the ids of each part of a sample, and the lengths of its steps


class Windows(NamedTuple):
    """Where the windows and chunks of sequences lie that are laid end to end.

    Attributes:
        starts: (w,) first token of each window.
        sizes: (w,) its tokens.
        places: (n, 3) of each chunk, in order: its window, its first token counted from the window's, its tokens.
    """

    starts: np.ndarray
    sizes: np.ndarray
    places: np.ndarray

    def split(self, most: int) -> Iterator["Windows"]:
        """Yield the windows and their chunks, at most ``most`` windows at a time."""
        for first in range(0, len(self.starts), most):
            begin, end = np.searchsorted(self.places[:, 0], [first, first + most])
            places = self.places[begin:end] - [first, 0, 0]
            yield Windows(self.starts[first : first + most], self.sizes[first : first + most], places)


def cut_windows(lengths: np.ndarray, stretches: np.ndarray, config: ChunkVQVAEConfig) -> Windows:
    """Cut sequences into runs of whole chunks that the encoder sees at once.

    With ``context="chunk"`` every window is one chunk. Otherwise a window holds the chunks that begin within one
    ``config.window`` of a sequence.

    Args:
        lengths: (n,) tokens of each sequence.
        stretches: (s,) tokens of each stretch of the sequences, in order; see ``Cutting``.
        config: Tells the length of chunks and windows.

    Raises:
        InputError: If a sequence does not end with a stretch: all that follow would be cut at wrong places.

    >>> config = ChunkVQVAEConfig(objective="reconstruction", align="fixed", chunk_length=2)
    >>> cut = cut_windows(np.array([5, 1, 2]), np.array([5, 1, 2]), config)
    >>> cut.starts.tolist(), cut.sizes.tolist(), cut.places.tolist()
    ([0, 2, 6], [2, 2, 2], [[0, 0, 2], [1, 0, 2], [2, 0, 2]])
    """
    ends = np.cumsum(stretches)
    if (stretches < 0).any() or ends[-1:].sum() != lengths.sum() or not np.isin(np.cumsum(lengths), [0, *ends]).all():
        raise InputError("lengths of steps: those of a trace do not sum up to its tokens; give those of this trace")
    starts, sizes = config.cutting.chunks(stretches)
    number = np.arange(len(starts))
    if config.context == "chunk":
        return Windows(starts, sizes, np.stack([number, 0 * number, sizes], 1))
    owner = np.searchsorted(np.cumsum(lengths), starts, side="right")
    inside = (starts - (np.cumsum(lengths) - lengths)[owner]) // config.window
    new = np.append(True, (np.diff(owner) > 0) | (np.diff(inside) > 0))[: len(starts)]
    window, firsts = np.cumsum(new) - 1, number[new]
    lasts = np.append(firsts[1:], len(starts))[: len(firsts)] - 1
    places = np.stack([window, starts - starts[firsts][window], sizes], 1)
    return Windows(starts[firsts], starts[lasts] + sizes[lasts] - starts[firsts], places)


def has_chunk(row: TokenRow, config: ChunkVQVAEConfig) -> bool:
    """Tell whether a row's trace has a chunk."""
    return chunks_of(row, config) > 0


def chunks_of(row: TokenRow, config: ChunkVQVAEConfig) -> int:
    """Return how many chunks a row's trace has."""
    return int(np.sum(config.cutting.count_chunks(config.cutting.stretches(row))))


def first_rows(rows: Iterable[TokenRow], config: ChunkVQVAEConfig, most: int, chunks: int = 0) -> list[TokenRow]:
    """Return the first rows with a whole chunk.

    Args:
        rows: To look through, no further than need be.
        config: Tells the chunks.
        most: Rows; more if these have not so many ``chunks``.
        chunks: Of all of them, at least.
    """
    found, held = [], 0
    for row in rows:
        if count := chunks_of(row, config):
            found.append(row)
            held += count
        if len(found) >= most and held >= chunks:
            break
    return found


def row_batches(rows: Sequence[TokenRow], config: ChunkVQVAEConfig, most: int) -> Iterator[list[TokenRow]]:
    """Yield the rows that have a chunk, ``most`` at a time at most, and fewer where they have many chunks.

    What is predicted for every chunk of a batch at once is then no more than a step of training holds; a single row is
    never cut here, so its texts are written some at a time.
    """
    longest = SOLUTION_TOKENS if config.objective != "reconstruction" else 0
    room = at_once(max(config.chunk_length, longest) * config.table_rows)
    batch, held = [], 0
    for row in (rows[index] for index in range(len(rows))):
        count = chunks_of(row, config)
        if batch and count and (len(batch) == most or held + count > room):
            yield batch
            batch, held = [], 0
        if count:
            batch, held = [*batch, row], held + count
    if batch:
        yield batch


def at_once(numbers: int) -> int:
    """Return how many texts fit at once where nothing is learned, if ``numbers`` are computed for each of them."""
    return min(CHUNKS, max(NUMBERS // numbers, 1))


def pad_right(sequences: Sequence[Sequence[int]], width: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack sequences: ids (n, longest or ``width``), padded by 0 on the right, and their lengths (n,)."""
    lengths = [*map(len, sequences)]
    ids = np.zeros((len(sequences), max([width, *lengths])), dtype=np.int64)
    for row, sequence, length in zip(ids, sequences, lengths, strict=True):
        row[:length] = sequence
    return torch.from_numpy(ids), torch.tensor(lengths)


def last_tokens(
    ids: torch.Tensor, lengths: torch.Tensor, most: int | torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut rows of ids (n, T), padded on the right, to their last tokens, and ``lengths`` (n,) with them.

    Args:
        ids: The rows.
        lengths: Their lengths.
        most: Tokens that are left of each row at most, or (n,) of every one of its own.
    """
    start = (lengths - most).clamp(min=0)
    if not start.any():
        return ids, lengths
    places = start[:, None] + torch.arange(int((lengths - start).max()), device=ids.device)
    return ids.gather(1, places.clamp(max=ids.shape[1] - 1)), lengths - start


def collate(
    rows: Sequence[TokenRow], config: ChunkVQVAEConfig, parts: Sequence[str] = PARTS
) -> dict[str, torch.Tensor]:
    """Gather all chunks of some samples into the inputs of a stage-1 model.

    Each part is cut from its own first token. A prompt longer than ``config.prompt_length`` keeps its end.

    Args:
        rows: Tokenized rows, at least one with a chunk.
        config: Of the model.
        parts: Columns that are cut into chunks.

    Returns:
        ``input_ids`` (w, T) of windows, padded on the right; ``places`` (n, 3) of the chunks in them, see ``Windows``;
        ``sample`` (n,), which sample each chunk belongs to, and ``trace`` (n,), whether it is of a trace;
        ``prompt_ids`` (b, P), padded on the right, and ``prompt_lengths`` (b,).
    """
    sequences = [np.asarray(row[part], dtype=np.int64) for row in rows for part in parts]
    sizes = np.array([len(sequence) for sequence in sequences])
    cutting = config.cutting
    stretches = [cutting.stretches(row) if part == "trace_ids" else [len(row[part])] for row in rows for part in parts]
    cut = cut_windows(sizes, np.concatenate(stretches).astype(np.int64), config)
    tokens = cut.starts[:, None] + np.arange(cut.sizes.max())
    inside = tokens < (cut.starts + cut.sizes)[:, None]
    owner, part = np.divmod(np.searchsorted(np.cumsum(sizes), cut.starts, side="right"), len(parts))
    window = cut.places[:, 0]
    prompts = [row["prompt_ids"][-config.prompt_length :] for row in rows]
    prompt_ids, prompt_lengths = pad_right(prompts, width=1)
    return {
        "input_ids": torch.from_numpy(np.concatenate(sequences)[np.where(inside, tokens, 0)] * inside),
        "places": torch.from_numpy(cut.places),
        "sample": torch.from_numpy(owner[window]),
        "trace": torch.from_numpy((part == [*parts].index("trace_ids"))[window]),
        "prompt_ids": prompt_ids,
        "prompt_lengths": prompt_lengths,
    }


class Chunks(NamedTuple):
    """The ``n`` chunks of some windows, in order.

    Attributes:
        targets: (n, L) rows of the token table; that of the end once after a shorter chunk, then ``IGNORED``.
        vectors: (n, L / r, d) what f_enc makes of them, unquantised.
    """

    targets: torch.Tensor
    vectors: torch.Tensor
