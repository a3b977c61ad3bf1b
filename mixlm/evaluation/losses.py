"""Teacher-forced losses of a run on given traces: as text, and with every code in place of its text."""

from collections.abc import Mapping, Sequence

import torch
from torch.nn import functional as F
from transformers import PreTrainedModel

from mixlm.data.tables import Row, tokens_of
from mixlm.methods.base import Method, Progress, Trainable
from mixlm.methods.mixing import row_generator
from mixlm.model.collator import pad
from mixlm.model.forward import scored_batch, scored_labels, scored_places
from mixlm.model.special_tokens import IGNORED
from vqvae.advance import Advance
from vqvae.model.layers import evaluating


START = Progress(0, 1)


def reference_sequences(
    method: Method, rows: Sequence[Row], context: int | None = None, progress: Progress = START
) -> dict[str, list[Trainable]]:
    """Return the reference answers to ``rows`` in the forms whose losses are measured.

    Args:
        method: The run's method.
        rows: Tokenized rows, with codes if they are known.
        context: Rows longer than this as text are left out; None: none are.
        progress: Place in the method's schedule that training reached.

    Returns:
        "m=0": the whole trace as text; "m=all": every code in place of its text, only if the rows have codes. A method
        without codes has one form, "own".
    """
    rows = [row for row in rows if context is None or _most_tokens(method, row) <= context]
    if not method.needs_codes:
        return {"own": [method.sequence(row, progress, row_generator(0, 0, place)) for place, row in enumerate(rows)]}
    known = all("codes" in row for row in rows)
    sequences = {"m=0": [method.sequence_with(row if known else {**row, "codes": []}, 0) for row in rows]}
    if known:
        sequences["m=all"] = [method.sequence_with(row, len(row["codes"])) for row in rows]
    return sequences


def _most_tokens(method: Method, row: Row) -> int:
    return tokens_of(row) + method.extra_tokens(row)


def teacher_forced_losses(
    model: PreTrainedModel,
    sequences: Mapping[str, Sequence[Trainable]],
    batch_size: int = 8,
    advance: Advance | None = None,
) -> dict[str, dict[str, float]]:
    """Measure the loss of a causal LM on reference answers.

    Args:
        model: The model.
        sequences: Lists of sequences by name.
        batch_size: Sequences of one forward pass; it holds the logits of every label.
        advance: Called with (done, total) sequences after every batch, all lists together.

    Returns:
        For each name ``loss``, in nats per label, over trace and solution; ``tokens``, the number of labels; ``nats``,
        the loss of an answer as a whole, which unlike the loss per label compares across forms; ``rows``, the number
        of answers.
    """
    losses, done, every = {}, 0, sum(map(len, sequences.values()))
    for name, listed in sequences.items():
        total, labels, count = 0.0, 0, len(listed)
        order = sorted(listed, key=lambda sequence: len(sequence.ids))
        for start in range(0, count, batch_size):
            batch = order[start : start + batch_size]
            total += summed_loss(model, batch)
            labels += sum(label != IGNORED for sequence in batch for label in sequence.labels)
            done += len(batch)
            if advance:
                advance(done, every)
        losses[name] = {"loss": total / max(labels, 1), "tokens": labels, "nats": total / max(count, 1), "rows": count}
    return losses


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
