"""What a predictive model's codes can be trained for in place of its own reader, such as a language model."""

from collections.abc import Iterator, Mapping

import torch
from torch import nn


class Reader(nn.Module):
    """Reads codes and predicts what follows each; codes learn to be what it can use.

    Its parameters that require gradients learn with the model, and are kept in checkpoints; no model has any of it.
    """

    def forward(
        self, batch: Mapping[str, torch.Tensor], vectors: torch.Tensor, counts: torch.Tensor, chosen: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the cross-entropy of next steps and of solutions, each a scalar in nats a chosen code.

        Args:
            batch: Of ``b`` samples with ``n`` codes; see ``collate_traces``.
            vectors: (b, c, d) of their codes, padded on the right.
            counts: (b,) codes of each sample.
            chosen: (n,) which codes are predicted from.
        """
        raise NotImplementedError

    def following(self, batch: Mapping[str, torch.Tensor], vectors: torch.Tensor, most: int) -> Iterator[torch.Tensor]:
        """Yield what the last of c codes is followed by: the next step, and the solution, if they have a token.

        Args:
            batch: Of one sample; see ``collate_traces``.
            vectors: (k, c, d) of k alternatives for its first c codes.
            most: Tokens of each text at most.

        Yields:
            Logits (k, T, V) of a text's first T tokens, given its tokens before each.
        """
        raise NotImplementedError

    def learned(self) -> dict[str, nn.Parameter]:
        """Return what learns with the model, by name."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}
