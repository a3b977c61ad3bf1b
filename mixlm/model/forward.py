"""One batch of the collator through a causal LM, with logits where there are labels alone."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mixlm.model.abilities import bare
from mixlm.model.special_tokens import IGNORED
from mixlm.model.thoughts.stop import stop_loss
from mixlm.model.thoughts.thinking import think_through


if TYPE_CHECKING:
    from transformers import PreTrainedModel

LIKE = 0.75  # of the longest: rows that long share a block


def scored_places(labels: torch.Tensor) -> torch.Tensor:
    """Return where a prediction is compared with a label: one place before each, (rows, length).

    Args:
        labels: (rows, length), not shifted; ``IGNORED`` is not learned. The first of a row is never compared.
    """
    places = torch.zeros_like(labels, dtype=torch.bool)
    places[:, :-1] = labels[:, 1:] != IGNORED
    return places


def scored_labels(labels: torch.Tensor) -> torch.Tensor:
    """Return the labels that predictions are compared with, (places,), in the order of ``scored_places``."""
    shifted = labels[:, 1:]
    return shifted[shifted != IGNORED]


def is_sharded() -> bool:
    """Tell whether the launcher lets each process hold a part of every weight (FSDP)."""
    return os.environ.get("ACCELERATE_USE_FSDP") == "true"


@contextmanager
def logits_at(model: "PreTrainedModel", places: torch.Tensor) -> Iterator[None]:
    """Let a causal LM compute its logits at ``places``, (rows, length), alone; they are (1, places, vocabulary).

    Prompts and padding have no labels, and their logits are the largest tensor of a step. What a model does to logits
    after its head, such as capping them, is done to these as to all.
    """

    def choose(_: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """Keep of the hidden states, (rows, length, width), those at the places."""
        return (inputs[0][places][None], *inputs[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(choose)
    try:
        yield
    finally:
        handle.remove()


def thoughtful_batch(
    model: "PreTrainedModel",
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    thoughts: torch.Tensor | None = None,
    head: nn.Module | None = None,
) -> dict[str, torch.Tensor]:
    """Run a batch of the collator that may hold thoughts.

    Args:
        model: Causal LM.
        input_ids: (rows, length).
        attention_mask: (rows, length).
        thoughts: True at thoughts, (rows, length); None: there are none.
        head: The classifier that ends thoughts, if one is trained.

    Returns:
        ``logits``, (rows, length, vocabulary), and with a classifier its ``stop_loss``.
    """
    thoughts = torch.zeros_like(input_ids, dtype=torch.bool) if thoughts is None else thoughts
    logits, inputs = think_through(model, input_ids, attention_mask, thoughts)
    if head is None:
        return {"logits": logits}
    return {"logits": logits, "stop_loss": stop_loss(head, thoughts & attention_mask.bool(), inputs)}


def scored_batch(
    model: "PreTrainedModel", places: torch.Tensor, head: nn.Module | None = None, **batch: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Run a batch of the collator, labels apart, for its loss.

    Args:
        model: Causal LM.
        places: Where its predictions are compared with labels, (rows, length).
        head: The classifier that ends thoughts, if one is trained.
        batch: Of the collator; several passes are made where it holds thoughts.

    Returns:
        ``logits`` at the places, (places, vocabulary), and with a classifier its ``stop_loss``.
    """
    if head is None and "thoughts" not in batch:
        if "attention_mask" in batch:
            return {"logits": _logits_of_padded(model, places, **batch)}
        with logits_at(bare(model), places):
            return {"logits": model(**batch, use_cache=False).logits[0]}
    output = thoughtful_batch(model, head=head, **batch)
    return output | {"logits": output["logits"][places]}


def _logits_of_padded(
    model: "PreTrainedModel", places: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor
) -> torch.Tensor:
    """Return the logits at the places of rows that are padded behind, (places, vocabulary), in the order of places.

    Rows of like length go through the model together, so little of what is computed is padding. Only the first block
    goes through the wrapper that synchronises several processes, which is enough (``thoughts.passes.run_passes``).
    Of a model that is sharded every pass gathers parts from all processes, which must make equally many: one.
    """
    order, logits = attention_mask.sum(1).argsort(descending=True, stable=True), []
    lengths = attention_mask.sum(1)[order].tolist()
    blocks = [(slice(len(lengths)), lengths[0])] if is_sharded() else blocks_of_like_length(lengths)
    for rows, width in blocks:
        block = order[rows]
        with logits_at(bare(model), places[block, :width]):
            output = model(
                input_ids=input_ids[block, :width], attention_mask=attention_mask[block, :width], use_cache=False
            )
        logits.append(output.logits[0])
        model = bare(model)
    rows_of_logits = order.repeat_interleave(places.sum(1)[order])
    return torch.cat(logits)[rows_of_logits.argsort(stable=True)]


def blocks_of_like_length(lengths: Sequence[int]) -> Iterator[tuple[slice, int]]:
    """Yield which rows go together, and their longest, so that each is at least three quarters of its block's longest.

    Args:
        lengths: Of rows, longest first.

    >>> list(blocks_of_like_length([100, 80, 75, 74, 20]))
    [(slice(0, 3, None), 100), (slice(3, 4, None), 74), (slice(4, 5, None), 20)]
    """
    start = 0
    for end in range(1, len(lengths) + 1):
        if end == len(lengths) or lengths[end] < LIKE * lengths[start]:
            yield slice(start, end), lengths[start]
            start = end
