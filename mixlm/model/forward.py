"""One batch of the collator through a causal LM, with logits where there are labels alone."""

from collections.abc import Iterator
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
        with logits_at(bare(model), places):
            return {"logits": model(**batch, use_cache=False).logits[0]}
    output = thoughtful_batch(model, head=head, **batch)
    return output | {"logits": output["logits"][places]}
