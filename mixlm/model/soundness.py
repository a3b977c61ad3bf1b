"""What a base model must be, whatever is done with it: its weights are numbers, and no token reads a later one."""

import hashlib
from typing import TYPE_CHECKING

import torch

from mixlm.errors import InputError
from vqvae.finite import not_a_number
from vqvae.model.layers import evaluating


if TYPE_CHECKING:
    from transformers import PreTrainedModel


PLACES = 16  # of a row that is read; the second half of it changes
FIRST_TOKEN = 10  # those before are often padding, ends and the like, which some models treat by their ids
DIGESTED_VALUES = 256  # of a parameter
TOLERANCE = 1e-5  # of a logit: rounding in fp32 is less, and what a later token does to an earlier place is more


def require_sound(model: "PreTrainedModel", name: str) -> None:
    """Raise an ``InputError`` that names the model if its weights are no numbers or it does not read causally."""
    broken = not_a_number(model.named_parameters())
    if broken:
        raise InputError(f"{name}: its weight {broken} holds NaN or infinity; take another checkpoint of the model")
    if not is_causal(model):
        fields = [field for field in ("is_decoder", "causal") if field in model.config.to_dict()]
        remedy = f", or set {fields[0]}: true in its configuration" if fields else ""
        raise InputError(
            f"{name}: no causal language model: {type(model).__name__} reads later tokens where it predicts earlier "
            f"ones, so training would show it what it is to write; choose another model{remedy}"
        )


def weights_digest(model: "PreTrainedModel") -> str:
    """Return a hash of names, shapes and some values of every parameter, 16 hexadecimal digits.

    Another training moves all of a parameter, so a few values are enough, and a large model is not read for it.
    """
    digest = hashlib.sha256()
    for name, values in model.named_parameters():
        some = values.detach().flatten()[:: max(values.numel() // DIGESTED_VALUES, 1)]
        digest.update(f"{name} {tuple(values.shape)}".encode())
        digest.update(some.float().cpu().contiguous().numpy())
    return digest.hexdigest()[:16]


@torch.no_grad()
def is_causal(model: "PreTrainedModel") -> bool:
    """Tell whether a model predicts from what stands before alone, by one forward pass of two short rows.

    They begin alike and end otherwise. Logits of what is alike differ where a model looks ahead, as encoders do.
    Names and fields of configurations tell less: some encoders are decoders if asked, some ignore the question.

    Args:
        model: Anything that ``AutoModelForCausalLM`` opens, in fp32.
    """
    vocabulary = model.get_input_embeddings().weight.shape[0]
    row = (FIRST_TOKEN + torch.arange(PLACES)) % vocabulary
    half, other = PLACES // 2, row.flip(0)
    rows = torch.stack([row, torch.cat([row[:half], other[:half]])]).to(model.device)
    with evaluating(model):
        one, two = model(input_ids=rows, use_cache=False).logits[:, :half]
    near = TOLERANCE * one.abs().nanmedian().item()
    return torch.allclose(one, two, rtol=TOLERANCE, atol=near, equal_nan=True)
