"""Codes that mean the same become one.

Nothing in the predictive loss forbids a codebook to give one state several codes, and noise of the encoder does give
them. A language model then has to guess among synonyms. Whether two codes are synonyms is told by behaviour, not by
the distance of their vectors: each is put in the place of a code in a few held-out contexts, and what the reader then
predicts is compared. The reader is the one that codes were trained for. One that codes tell nothing cannot judge them,
and nothing is merged.
"""

from collections.abc import Callable, Iterator, Sequence
from math import isfinite

import numpy as np
import torch

from vqvae.advance import Advance
from vqvae.errors import InputError
from vqvae.model.chunks import TokenRow, at_once, first_rows, row_batches
from vqvae.model.config import FEWEST_CODES, ChunkVQVAEConfig
from vqvae.model.layers import evaluating
from vqvae.model.predictive import PredictiveVQVAE
from vqvae.model.reader import Reader


MOST_ROWS = 500  # held-out samples on which the loss of fewer codes is measured, or more, until there are
USES = 2  # of each code, on average: one that none of the samples has could be merged with any other at no cost
CONTEXTS = 12  # in which codes are compared
FIRST_TOKENS = 8  # of each text in them
AT_A_TIME = 64  # codes in them at most
LEAST_SAVED = 0.1  # nats a code: with less, what the reader predicts does not tell codes apart
RISE = 0.01  # by which the held-out loss may grow: this share of what codes save, less than another seed changes


def merge_codes(
    model: PredictiveVQVAE,
    rows: Sequence[TokenRow],
    seed: int = 0,
    reader: Reader | None = None,
    advance: Advance | None = None,
) -> dict[str, float | None]:
    """Merge codes that the reader does not tell apart, as far as the loss on ``rows`` does not rise.

    Codes that behave most alike are joined first (average linkage of the total variation between predictions). A
    merged code's vector is the mean of its codes', weighted by use.

    Args:
        model: A trained model; its quantiser and its configuration change.
        rows: Held-out rows; the first ``MOST_ROWS`` with a chunk are taken, or so many that each code has ``USES``.
        seed: Of the contexts.
        reader: That the codes were trained for, if it was not the model's own.
        advance: Called with (contexts in which codes were compared, all of them); None: nothing is called.

    Returns:
        ``codes_trained`` and ``codes_merged``, how many there are before and after; ``loss_trained``, ``loss_merged``
        and ``loss_without`` codes, in nats a code on ``rows``. A model trained with ``code_dropout=0`` has no measure
        of the last: it is None, and nothing is merged.

    Raises:
        InputError: If codes were merged before, no row has a chunk, or the loss on them is no number.
    """
    if model.config.trained_codes:
        raise InputError("its codes were merged already; merge those of the model as it was trained")
    chosen = _enough_rows(rows, model.config)
    if not chosen:
        raise InputError("no held-out trace has a chunk to merge codes by; hold out more samples")
    with evaluating(model):
        held_out = _HeldOut(model, chosen, reader)
        size = model.config.codebook_size
        before = held_out.loss(np.arange(size))
        without = held_out.loss_without() if model.config.code_dropout else None
        figures = {"codes_trained": size, "loss_trained": before, "loss_without": without}
        if without is None or without - before < LEAST_SAVED:
            return figures | {"codes_merged": size, "loss_merged": before}
        joins = _average_linkage(held_out.distances(np.random.default_rng(seed), advance))
        labels = held_out.fewest(joins, before + RISE * (without - before))
        enough = int(labels.max()) + 1
        after = held_out.loss(labels)
        model.quantizer.merge(torch.from_numpy(labels), held_out.counts)
    model.config.trained_codes, model.config.codebook_size = size, enough
    return figures | {"codes_merged": enough, "loss_merged": after}


def _enough_rows(rows: Sequence[TokenRow], config: ChunkVQVAEConfig) -> list[TokenRow]:
    """Return the first rows with a chunk that codes are merged by."""
    return first_rows((rows[index] for index in range(len(rows))), config, MOST_ROWS, USES * config.codebook_size)


class _HeldOut:
    """Rows, their codes, and the loss that follows if some codes stand for others."""

    def __init__(
        self, model: PredictiveVQVAE, rows: Sequence[TokenRow], reader: Reader | None, batch_size: int = 64
    ) -> None:
        self.model, self.rows, self.reader = model, rows, reader
        self.batches = [self._with_codes(batch) for batch in row_batches(rows, model.config, batch_size)]
        codes = torch.cat([codes for _, codes in self.batches])
        self.counts = torch.bincount(codes, minlength=model.config.codebook_size).cpu()

    def _with_codes(self, rows: Sequence[TokenRow]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        model = self.model
        batch = {name: value.to(model.device) for name, value in model.collate(rows, model.config).items()}
        vectors = model.chunks(batch["input_ids"], batch["places"]).vectors[:, 0]
        return batch, model.quantizer.nearest(vectors)

    def loss(self, labels: np.ndarray) -> float:
        """Return the mean loss in nats a code if code k is read as ``labels[k]`` (K,)."""
        groups = torch.from_numpy(labels).to(self.model.device)
        centers = self.model.quantizer.centers_of(groups, self.counts.to(groups))
        return self._mean(lambda codes: centers[groups[codes]])

    def loss_without(self) -> float:
        """Return the mean loss in nats a code from the prompt alone, as far as training taught the reader to do so."""
        return self._mean(lambda codes: self.model.no_code.expand(len(codes), -1))

    def fewest(self, joins: Sequence[tuple[int, int]], most: float) -> np.ndarray:
        """Return the labels (K,) of as few groups as have a loss of at most ``most``."""
        size = self.model.config.codebook_size
        fewest, enough = FEWEST_CODES, size
        while fewest < enough:  # the loss rises as codes become fewer, so the least that suffices is found by halving
            middle = (fewest + enough) // 2
            fits = self.loss(_labels(joins, size, middle)) <= most
            fewest, enough = (fewest, middle) if fits else (middle + 1, enough)
        return _labels(joins, size, enough)

    def distances(self, rng: np.random.Generator, advance: Advance | None = None) -> np.ndarray:
        """Return how differently the reader goes on after each two codes (K, K): total variation, over tokens."""
        size = self.model.config.codebook_size
        total = torch.zeros(size, size, dtype=torch.float64)
        chosen = rng.choice(len(self.rows), CONTEXTS, replace=len(self.rows) < CONTEXTS)
        for done, index in enumerate(chosen, 1):
            batch, codes = self._with_codes([self.rows[int(index)]])
            place = int(rng.integers(max(len(codes) - 1, 1)))  # one that has a next step, if any has
            for predicted in self._predictions(batch, codes[:place]):
                total += torch.cdist(predicted, predicted, p=1).cpu().double() / 2
            if advance:
                advance(done, CONTEXTS)
        return total.numpy()

    def _predictions(self, batch: dict[str, torch.Tensor], before: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield what is predicted of each token (K, V), with any code after those ``before``."""
        every = torch.arange(self.model.config.codebook_size, device=before.device)
        vectors = self.model.quantizer.look_up(torch.cat([before.expand(len(every), -1), every[:, None]], 1))
        reader = self.model if self.reader is None else self.reader
        most = min(AT_A_TIME, at_once((batch["prompt_ids"].shape[1] + vectors.shape[1]) ** 2))  # who sees whom
        parts = [  # each read to its end, and its context given back, before the next one begins
            [logits.float().softmax(-1) for logits in reader.following(batch, some, FIRST_TOKENS)]
            for some in vectors.split(most)
        ]
        for text in zip(*parts, strict=True):
            yield from (torch.cat(token) for token in zip(*(part.unbind(1) for part in text), strict=True))

    def _mean(self, vectors_of: Callable[[torch.Tensor], torch.Tensor]) -> float:
        sums = [(self.model.nats(vectors_of(codes), batch, self.reader), len(codes)) for batch, codes in self.batches]
        mean = sum(nats * count for nats, count in sums) / sum(count for _, count in sums)
        if not isfinite(mean):
            raise InputError(
                f"the loss on held-out rows is {mean}, so codes cannot be compared; train them anew, in another "
                "--out, with a lower --learning-rate"
            )
        return mean


def _average_linkage(distances: np.ndarray) -> list[tuple[int, int]]:
    """Return the joins of groups, nearest first, each named by its least member; the first of a pair stays.

    Args:
        distances: (K, K), symmetric; changed.
    """
    size = np.ones(len(distances))
    np.fill_diagonal(distances, np.inf)
    joins = []
    for _ in range(len(distances) - 1):
        one, other = sorted(divmod(int(distances.argmin()), len(distances)))
        merged = (size[one] * distances[one] + size[other] * distances[other]) / (size[one] + size[other])
        distances[one], distances[:, one] = merged, merged
        distances[one, one], distances[other], distances[:, other] = np.inf, np.inf, np.inf
        size[one] += size[other]
        joins.append((one, other))
    return joins


def _labels(joins: Sequence[tuple[int, int]], codes: int, groups: int) -> np.ndarray:
    """Return which of ``groups`` groups each code (K,) belongs to after the first joins, numbered by first member."""
    labels = np.arange(codes)
    for one, other in joins[: codes - groups]:
        labels[labels == other] = one
    return np.unique(labels, return_inverse=True)[1]
