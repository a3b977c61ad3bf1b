"""Codes that mean the same become one.

Nothing in the predictive loss forbids a codebook to give one state several codes, and noise of the encoder does give
them. A language model then has to guess among synonyms. Whether two codes are synonyms is told by behaviour, not by
the distance of their vectors: each is put in the place of a code in a few held-out contexts, and what the reader then
predicts is compared.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from vqvae.errors import InputError
from vqvae.model.chunks import TokenRow, has_chunk
from vqvae.model.config import FEWEST_CODES
from vqvae.model.context import Texts
from vqvae.model.continuations import NEXT, SOLUTION, continuations
from vqvae.model.layers import evaluating
from vqvae.model.predictive import PredictiveVQVAE
from vqvae.model.sampled_softmax import IGNORED


MOST_ROWS = 500  # held-out samples on which the loss of fewer codes is measured
CONTEXTS = 12  # in which codes are compared
FIRST_TOKENS = 8  # of each text in them
RISE = 0.01  # by which the held-out loss may grow: this share of what codes save, less than another seed changes


def merge_codes(model: PredictiveVQVAE, rows: Sequence[TokenRow], seed: int = 0) -> dict[str, float]:
    """Merge codes that the reader does not tell apart, as far as the loss on ``rows`` does not rise.

    Codes that behave most alike are joined first (average linkage of the total variation between predictions). A
    merged code's vector is the mean of its codes', weighted by use.

    Args:
        model: A trained model; its quantiser and its configuration change.
        rows: Held-out rows; the first ``MOST_ROWS`` with a chunk are taken.
        seed: Of the contexts.

    Returns:
        ``codes_trained`` and ``codes_merged``, how many there are before and after; ``loss_trained`` and
        ``loss_merged``, in nats a code on ``rows``.

    Raises:
        InputError: If no row has a chunk.
    """
    chosen = [row for row in (rows[index] for index in range(len(rows))) if has_chunk(row, model.config)][:MOST_ROWS]
    if not chosen:
        raise InputError("no held-out trace has a chunk to merge codes by; hold out more samples")
    with evaluating(model):
        held_out = _HeldOut(model, chosen)
        joins = _average_linkage(_distances(model, chosen, np.random.default_rng(seed)))
        size, before = model.config.codebook_size, held_out.loss(np.arange(model.config.codebook_size))
        most = before + RISE * max(held_out.loss_without() - before, 0.0)
        fewest, enough = FEWEST_CODES, size
        while fewest < enough:  # the loss rises as codes become fewer, so the least that suffices is found by halving
            middle = (fewest + enough) // 2
            fits = held_out.loss(_labels(joins, size, middle)) <= most
            fewest, enough = (fewest, middle) if fits else (middle + 1, enough)
        labels = _labels(joins, size, enough)
        after = held_out.loss(labels)
        model.quantizer.merge(torch.from_numpy(labels), held_out.counts)
    model.config.trained_codes, model.config.codebook_size = size, enough
    return {"codes_trained": size, "codes_merged": enough, "loss_trained": before, "loss_merged": after}


class _HeldOut:
    """Rows, their codes, and the loss that follows if some codes stand for others."""

    def __init__(self, model: PredictiveVQVAE, rows: Sequence[TokenRow], batch_size: int = 64) -> None:
        self.model, self.batches, size = model, [], model.config.codebook_size
        for start in range(0, len(rows), batch_size):
            batch = model.collate(rows[start : start + batch_size], model.config)
            batch = {name: value.to(model.device) for name, value in batch.items()}
            vectors = model.chunks(batch["input_ids"], batch["places"]).vectors[:, 0]
            self.batches.append((batch, model.quantizer.nearest(vectors)))
        self.counts = torch.bincount(torch.cat([codes for _, codes in self.batches]), minlength=size).cpu()

    def loss(self, labels: np.ndarray) -> float:
        """Return the mean loss in nats a code if code k is read as ``labels[k]`` (K,)."""
        groups = torch.from_numpy(labels).to(self.model.device)
        centers = self.model.quantizer.centers_of(groups, self.counts.to(groups))
        return self._mean(lambda codes: centers[groups[codes]])

    def loss_without(self) -> float:
        """Return the mean loss in nats a code from the prompt alone, as far as training taught the reader to do so."""
        return self._mean(lambda codes: self.model.no_code.expand(len(codes), -1))

    def _mean(self, vectors_of: Callable[[torch.Tensor], torch.Tensor]) -> float:
        sums = [(self.model.nats(vectors_of(codes), batch), len(codes)) for batch, codes in self.batches]
        return sum(nats * count for nats, count in sums) / sum(count for _, count in sums)


def _distances(model: PredictiveVQVAE, rows: Sequence[TokenRow], rng: np.random.Generator) -> np.ndarray:
    """Return how differently the reader goes on after each two codes (K, K): total variation, summed over tokens."""
    size = model.config.codebook_size
    total = torch.zeros(size, size, dtype=torch.float64)
    for index in rng.choice(len(rows), CONTEXTS, replace=len(rows) < CONTEXTS):
        batch = model.collate([rows[int(index)]], model.config)
        batch = {name: value.to(model.device) for name, value in batch.items()}
        codes = model.quantizer.nearest(model.chunks(batch["input_ids"], batch["places"]).vectors[:, 0])
        place = int(rng.integers(max(len(codes) - 1, 1)))  # one that has a next step, if any has
        for predicted in _predictions(model, batch, codes[: place + 1]):
            total += torch.cdist(predicted, predicted, p=1).double().cpu() / 2
    return total.numpy()


def _predictions(
    model: PredictiveVQVAE, batch: dict[str, torch.Tensor], codes: torch.Tensor
) -> Iterator[torch.Tensor]:
    """Yield what is predicted of each token (K, rows), with any code in place of a sample's last."""
    size, count = model.config.codebook_size, len(codes)
    every = torch.arange(size, device=codes.device)
    vectors = model.quantizer.look_up(torch.cat([codes[:-1].expand(size, -1), every[:, None]], 1))
    many = {name: batch[name].expand(size, *batch[name].shape[1:]) for name in ("prompt_ids", "prompt_lengths")}
    context = model.read(many, vectors, codes.new_full((size,), count))
    for texts, kind in zip(continuations(batch, model.vocabulary, model.config), (NEXT, SOLUTION), strict=True):
        targets = texts.targets[count - 1, :FIRST_TOKENS]
        targets = targets[targets != IGNORED].expand(size, -1)
        if targets.shape[1]:
            asked = Texts(every, torch.full_like(every, count), targets)
            yield from model.next_logits(context, asked, kind).float().softmax(-1).unbind(1)


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
