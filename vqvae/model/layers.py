"""The Transformers of stage 1."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional as F


Memory = tuple[torch.Tensor, torch.Tensor]  # keys and values, each (n, heads, length, width / heads)


class Block(nn.Module):
    """One pre-norm Transformer block: causal attention, then a GELU network of four times the width.

    Args:
        width: Of the hidden states.
        heads: Of the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, length, width) to the same shape; no place sees a later one."""
        return self.attend(x)[0]

    def attend(
        self, x: torch.Tensor, memory: Memory | None = None, mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, Memory]:
        """Map (n, length, width) to the same shape, and tell what others can attend here.

        Args:
            x: What stands at the places.
            memory: What else they see, before themselves; None: nothing.
            mask: (n, 1, length, places seen) which of those each place sees; None: itself and all before it.

        Returns:
            The new states, and keys and values of these places.
        """
        q, k, v = rearrange(
            self.qkv(self.attention_norm(x)), "n t (three h d) -> three n h t d", three=3, h=self.heads
        )
        keys, values = (k, v) if memory is None else (torch.cat([memory[0], k], 2), torch.cat([memory[1], v], 2))
        attended = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, is_causal=mask is None)
        x = x + self.out(rearrange(attended, "n h t d -> n t (h d)"))
        return x + self.mlp(self.mlp_norm(x)), (k, v)


class CausalTransformer(nn.Module):
    """Learned positions, causal blocks and a final norm.

    Padding on the right needs no mask: no place sees what comes after it.

    Args:
        width: Of the hidden states.
        layers: Number of blocks.
        heads: Of the attention.
        length: Longest input.
    """

    def __init__(self, width: int, layers: int, heads: int, length: int) -> None:
        super().__init__()
        self.positions = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, length, width) to the same shape."""
        x = x + self.positions.weight[: x.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Keep a module in evaluation mode and without gradients; it then is as before, whatever happened."""
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(training)
