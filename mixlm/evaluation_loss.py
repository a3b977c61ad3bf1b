"""Teacher-forced losses of a run on given traces: as text, and with every code in place of its text."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from mixlm.collator import pad
from mixlm.generation import context_length
from mixlm.methods.base import Method, Progress, Row, Trainable
from mixlm.mixing import row_generator
from mixlm.run import Run


def teacher_forced_losses(
    model: Any, run: Run, rows: Sequence[Row], batch_size: int = 32, progress: Callable[[int], None] | None = None
) -> dict[str, dict[str, float]]:
    """Measure the loss on the reference answers to ``rows``; rows longer than the model's context are left out.

    Args:
        model: The run's causal LM.
        run: The run; its method builds the sequences.
        rows: Tokenized rows, with codes if they are known.
        batch_size: Sequences of one forward pass.
        progress: Called after every batch with the number of its sequences.

    Returns:
        For "m=0" (the whole trace as text) and "m=all" (every code in place of its text; only if the rows have codes):
        ``loss``, in nats per label over trace and solution, ``tokens``, the number of labels, ``nats``, the loss of an
        answer as a whole, which unlike the loss per label compares across different sequences, and ``rows``, the
        number of answers. A method without codes has one sequence, "own".
    """
    training = model.training
    model.eval()
    losses = {}
    for name, sequences in reference_sequences(run.method, _fitting(rows, context_length(model))).items():
        total, labels = 0.0, 0
        order = sorted(sequences, key=lambda sequence: len(sequence.ids))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            total += summed_loss(model, batch)
            labels += sum(label != -100 for sequence in batch for label in sequence.labels)
            if progress:
                progress(len(batch))
        count = len(order)
        losses[name] = {"loss": total / max(labels, 1), "tokens": labels, "nats": total / max(count, 1), "rows": count}
    model.train(training)
    return losses


def reference_sequences(method: Method, rows: Sequence[Row]) -> dict[str, list[Trainable]]:
    """Return the sequences whose losses are measured, by name."""
    if not method.needs_codes:
        start = Progress(0, 1)
        return {"own": [method.sequence(row, start, row_generator(0, 0, place)) for place, row in enumerate(rows)]}
    known = all("codes" in row for row in rows)
    sequences = {"m=0": [method.sequence_with(row if known else {**row, "codes": []}, 0) for row in rows]}
    if known:
        sequences["m=all"] = [method.sequence_with(row, len(row["codes"])) for row in rows]
    return sequences


def _fitting(rows: Sequence[Row], context: int | None) -> list[Row]:
    parts = ("prompt_ids", "trace_ids", "solution_ids")
    return [row for row in rows if context is None or sum(len(row[part]) for part in parts) <= context]


@torch.no_grad()
def summed_loss(model: Any, sequences: Sequence[Trainable]) -> float:
    """Return the cross-entropy summed over all labels of ``sequences``, in nats."""
    features = [{"input_ids": sequence.ids, "labels": sequence.labels} for sequence in sequences]
    batch = {name: values.to(model.device) for name, values in pad(features).items()}
    targets = batch.pop("labels")[:, 1:]
    learned = targets != -100
    logits = model(**batch, use_cache=False).logits[:, :-1][learned].float()
    return F.cross_entropy(logits, targets[learned], reduction="sum").item()
