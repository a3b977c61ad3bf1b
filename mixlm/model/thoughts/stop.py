"""The classifier that tells a model's last thought (Coconut, section 3)."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F


if TYPE_CHECKING:
    from transformers import PreTrainedModel


STOP = "thought_stop"  # the classifier's name among the model's modules
STOP_FILE = "thought_stop.safetensors"


def add_stop(model: "PreTrainedModel") -> None:
    """Give a causal LM a binary classifier that says whether a thought is the last (Coconut, section 3).

    It is a linear map of the thought to a logit, 0 at first, and part of the model until ``save_stop`` takes it out.
    """
    head = nn.Linear(model.get_input_embeddings().weight.shape[1], 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    model.add_module(STOP, head.to(model.device))


def save_stop(model: "PreTrainedModel", folder: Path) -> None:
    """Write the classifier to ``folder`` and take it out of the model, which is then a plain causal LM again."""
    from safetensors.torch import save_file

    head = model.get_submodule(STOP)
    save_file({name: value.float().contiguous() for name, value in head.state_dict().items()}, folder / STOP_FILE)
    delattr(model, STOP)


def load_stop(model: "PreTrainedModel", folder: Path) -> None:
    """Read the classifier from ``folder``."""
    from safetensors.torch import load_file

    add_stop(model)
    model.get_submodule(STOP).load_state_dict(load_file(folder / STOP_FILE))


def is_last(model: "PreTrainedModel", thoughts: torch.Tensor) -> torch.Tensor:
    """Return whether the model's classifier takes ``thoughts``, (rows, width), for the last of their rows, (rows,)."""
    head = model.get_submodule(STOP)
    return head(thoughts.to(head.weight.dtype))[:, 0] > 0


def stop_loss(head: nn.Module, thoughts: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Return the binary cross-entropy of the classifier, summed over the thoughts of a batch.

    The target is 1 for the last thought of a row and 0 for those before it. Thoughts are read and not changed: no
    gradient reaches the language model.

    Args:
        head: The classifier.
        thoughts: (rows, length) bool, True at thoughts.
        inputs: Input embeddings, (rows, length, width).
    """
    left = thoughts.flip(1).cumsum(1).flip(1)[thoughts]  # thoughts of the row from here on
    logits = head(inputs.detach()[thoughts].to(head.weight.dtype))[:, 0]
    return F.binary_cross_entropy_with_logits(logits, (left == 1).to(logits.dtype), reduction="sum")
