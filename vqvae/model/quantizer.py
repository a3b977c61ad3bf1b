"""The codebook: from an encoded vector to the index of its nearest codebook vector."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from vector_quantize_pytorch import VectorQuantize

from vqvae.model.config import ChunkVQVAEConfig


class Quantized(NamedTuple):
    """What the quantiser makes of ``n`` vectors.

    Attributes:
        vectors: (n, d); what the decoder reads. Gradients pass straight through to the encoder.
        codes: (n,); -1 while warm-up lets vectors pass unquantised.
        codebook_loss: Scalar, || sg[x] - q(x) ||^2; 0 where moving averages take its place.
        commitment_loss: Scalar, || x - sg[q(x)] ||^2.
    """

    vectors: torch.Tensor
    codes: torch.Tensor
    codebook_loss: torch.Tensor
    commitment_loss: torch.Tensor


class ChunkQuantizer(nn.Module):
    """Nearest-neighbour quantiser with a warm-up (Token Assorted, section 3.2, q).

    Squared distances are means over the d coordinates and over vectors; the paper does not state the reduction.
    """

    def __init__(self, config: ChunkVQVAEConfig) -> None:
        super().__init__()
        moving = config.quantizer == "ema"
        self.warmup_steps, self.kmeans, self.moving = config.warmup_steps or 0, config.kmeans, moving
        self.vq = VectorQuantize(
            config.code_dim,
            config.trained_codes or config.codebook_size,
            decay=config.ema_decay,
            ema_update=moving,
            learnable_codebook=not moving,
            kmeans_init=config.kmeans,
            threshold_ema_dead_code=config.dead_code_threshold if moving else 0,
            commitment_weight=0.0,  # the losses are computed here, one by one
            rotation_trick=False,
        )
        self.register_buffer("groups", None)
        self.register_buffer("centers", None)
        if config.trained_codes:
            self.groups = torch.zeros(config.trained_codes, dtype=torch.int64)
            self.centers = torch.zeros(config.codebook_size, config.code_dim)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_load_state_dict_post_hook(ChunkQuantizer._ask_again)
        self._ask_again()

    def _ask_again(self, *loaded: object) -> None:
        """Forget what was read from the buffers; once it is true, a GPU is not asked again in every step."""
        self._is_warm, self._has_codebook = False, not self.kmeans

    @property
    def warming_up(self) -> bool:
        """Whether vectors still pass unquantised."""
        self._is_warm = self._is_warm or int(self.steps) >= self.warmup_steps
        return not self._is_warm

    @property
    def needs_codebook(self) -> bool:
        """Whether the next step is the first to quantise and the codebook still waits for its k-means."""
        if not self._has_codebook and not self.warming_up:
            self._has_codebook = bool(self._library_codebook.initted)
        return not self._has_codebook and not self.warming_up

    @property
    def _library_codebook(self) -> nn.Module:
        """What the library has no public name for: whether the codebook has started, and its k-means."""
        return self.vq._codebook

    def start_codebook(self, vectors: torch.Tensor, seed: int) -> None:
        """Set the codebook to the k-means of ``vectors`` (n, d), by its own random numbers."""
        devices = [vectors.device] if vectors.is_cuda else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            self._library_codebook.init_embed_(vectors.float()[None])

    def forward(self, vectors: torch.Tensor) -> Quantized:
        """Quantise ``vectors``, (n, d); in training mode also update averages and count the step."""
        nothing = vectors.new_zeros(())
        passing = len(vectors) == 0 or (self.training and self.warming_up)
        if self.training:
            self.steps += 1
        if passing:
            return Quantized(vectors, vectors.new_full(vectors.shape[:1], -1, dtype=torch.long), nothing, nothing)
        vectors = vectors.float()
        codes = self.nearest(vectors)
        nearest = self.look_up(codes)
        if self.training and self.moving:
            self._follow(vectors.detach())
        codebook_loss = nothing if self.moving else F.mse_loss(nearest, vectors.detach())
        through = vectors + (nearest - vectors).detach()
        return Quantized(through, codes, codebook_loss, F.mse_loss(vectors, nearest.detach()))

    def _follow(self, vectors: torch.Tensor) -> None:
        """Move the codebook towards ``vectors`` (n, d) and replace dead codes."""
        with torch.autocast(vectors.device.type, enabled=False):  # the library switches it off on CUDA alone
            self.vq(vectors[None])

    def nearest(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return the codes (n,) of the codebook vectors nearest to ``vectors`` (n, d); changes nothing.

        The library's own forward would start an unset codebook from whatever batch comes first, even in evaluation.
        """
        codebook = self.vq.codebook
        with torch.autocast(vectors.device.type, enabled=False):  # in half precision other vectors would be nearest
            codes = (codebook.square().sum(-1) - 2 * vectors.float() @ codebook.T).argmin(-1)
        return codes if self.groups is None else self.groups[codes]

    def look_up(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the codebook vectors (.., d) of ``codes`` (..)."""
        return (self.vq.codebook if self.centers is None else self.centers)[codes]

    def merge(self, groups: torch.Tensor, counts: torch.Tensor) -> None:
        """Let every code k be ``groups[k]`` (K,) from now on, given how often each is used, ``counts`` (K,)."""
        groups = groups.to(self.vq.codebook.device)
        self.centers = self.centers_of(groups, counts.to(groups))
        self.groups = groups

    def centers_of(self, groups: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Return the means (groups, d) of the codebook vectors of each of ``groups`` (K,), weighted by ``counts``."""
        weights = (counts + 1e-3)[:, None]  # a group that is never used has a center too
        sums = [
            value.new_zeros(int(groups.max()) + 1, value.shape[1]).index_add_(0, groups, value)
            for value in (self.vq.codebook * weights, weights)
        ]
        return sums[0] / sums[1]
