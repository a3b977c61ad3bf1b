"""Teacher-forced losses of a run on given traces: as text, and with every code in place of its text."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from typing import NamedTuple

import torch
from torch.nn import functional as F
from transformers import PreTrainedModel

from mixlm.data.tables import Row, tokens_of
from mixlm.generation.server.endpoint import Endpoint
from mixlm.methods.base import Method, Progress, Trainable
from mixlm.methods.mixing import row_generator
from mixlm.model.abilities import fixed_positions
from mixlm.model.collator import pad
from mixlm.model.forward import scored_batch, scored_labels, scored_places
from mixlm.model.special_tokens import IGNORED
from vqvae.model.layers import evaluating


START = Progress(0, 1)


def reference_sequences(
    method: Method, rows: Sequence[Row], context: int | None = None, progress: Progress = START, before: int = 0
) -> dict[str, list[Trainable]]:
    """Return the reference answers to ``rows`` in the forms whose losses are measured.

    Args:
        method: The run's method.
        rows: Tokenized rows, with codes if they are known.
        context: Rows longer than this as text are left out; None: none are.
        progress: Place in the method's schedule that training reached.
        before: How many rows stand before these.

    Returns:
        "m=0": the whole trace as text; "m=all": every code in place of its text, only if the rows have codes. A method
        without codes has one form, "own".
    """
    rows = [row for row in rows if context is None or most_tokens(method, row) <= context]
    if not method.needs_codes:
        places = enumerate(rows, before)
        return {"own": [method.sequence(row, progress, row_generator(0, 0, place)) for place, row in places]}
    known = all("codes" in row for row in rows)
    sequences = {"m=0": [method.sequence_with(row if known else {**row, "codes": []}, 0) for row in rows]}
    if known:
        sequences["m=all"] = [method.sequence_with(row, len(row["codes"])) for row in rows]
    return sequences


def most_tokens(method: Method, row: Row) -> int:
    """Return how many tokens a method may make of a row, in any form."""
    return tokens_of(row) + method.extra_tokens(row)


class LossSum(NamedTuple):
    """The loss of some reference answers.

    Attributes:
        name: The form of the answers.
        nats: Summed over all labels; None if a server does not tell.
        labels: How many there are.
        rows: How many answers.
    """

    name: str
    nats: float | None
    labels: int
    rows: int


def batches_of(sequences: Sequence[Trainable], batch_size: int = 8) -> Iterator[Sequence[Trainable]]:
    """Yield sequences of like length together, one empty batch of none; a batch holds the logits of every label."""
    order = sorted(sequences, key=lambda sequence: len(sequence.ids))
    return (order[start : start + batch_size] for start in range(0, max(len(order), 1), batch_size))


def loss_of(model: PreTrainedModel, name: str, batch: Sequence[Trainable]) -> LossSum:
    """Measure the loss of a causal LM on reference answers of one form.

    They go through it together, but for where a longer one changes the others.
    """
    labels = sum(label != IGNORED for sequence in batch for label in sequence.labels)
    alike = all(len(sequence.ids) <= fixed_positions(model.config.get_text_config()) for sequence in batch)
    parts = [batch] if alike else [[sequence] for sequence in batch]
    return LossSum(name, sum(summed_loss(model, part) for part in parts if part), labels, len(batch))


def served_loss(endpoint: Endpoint, name: str, batch: Sequence[Trainable]) -> LossSum:
    """Let a server measure the loss on reference answers of one form, which hold no thoughts."""
    labels = [[label != IGNORED for label in sequence.labels[1:]] for sequence in batch]
    found = endpoint.scored([sequence.ids for sequence in batch])
    nats = None
    if None not in found:
        nats = -sum(sum(compress(logprobs, learned)) for logprobs, learned in zip(found, labels, strict=True))
    return LossSum(name, nats, sum(map(sum, labels)), len(batch))


def added_losses(sums: Iterable[LossSum]) -> dict[str, dict[str, float]]:
    """Return the losses of each form.

    Returns:
        For each name ``loss``, in nats per label, over trace and solution; ``tokens``, the number of labels; ``nats``,
        the loss of an answer as a whole, which unlike the loss per label compares across forms; ``rows``, the number
        of answers. Nothing where a part of them is not known.
    """
    sums = [*sums]
    if any(one.nats is None for one in sums):
        return {}
    totals: dict[str, list[float]] = {}
    for name, *more in sums:
        totals[name] = [before + one for before, one in zip(totals.get(name, (0.0, 0, 0)), more, strict=True)]
    return {
        name: {"loss": nats / max(labels, 1), "tokens": labels, "nats": nats / max(rows, 1), "rows": rows}
        for name, (nats, labels, rows) in totals.items()
    }


def summed_loss(model: PreTrainedModel, sequences: Sequence[Trainable]) -> float:
    """Return the cross-entropy summed over all labels of ``sequences``, in nats."""
    return F.cross_entropy(*predictions(model, sequences), reduction="sum").item()


def predictions(model: PreTrainedModel, sequences: Sequence[Trainable]) -> tuple[torch.Tensor, torch.Tensor]:
    """Predict every label of ``sequences`` from all that stands before it, without dropout and gradients.

    Args:
        model: The causal LM.
        sequences: Of one forward pass.

    Returns:
        Logits in float32, (labels, vocabulary), and the labels, (labels,), sequence after sequence.
    """
    names = ("input_ids", "labels", "thoughts")
    features = [dict(zip(names, sequence, strict=True)) for sequence in sequences]
    batch = {name: values.to(model.device) for name, values in pad(features).items()}
    labels = batch.pop("labels")
    with evaluating(model):
        return scored_batch(model, scored_places(labels), **batch)["logits"].float(), scored_labels(labels)
