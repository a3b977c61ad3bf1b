"""Stage 1 of Token Assorted: a VQ-VAE that turns every chunk of a reasoning trace into indices of a codebook.

One chunk is L consecutive token ids. It passes through

1. the encoder f_enc: token embeddings, causal Transformer blocks, and for every r tokens one vector (the maximum over
   them, projected to d coordinates);
2. the quantiser q: each vector is replaced by the nearest of K codebook vectors, whose index is the code. This code is
   what the language model later reads and writes in place of r tokens of text;
3. the decoder f_dec: each codebook vector is joined with g(P), one vector that sums up the prompt, and repeated r
   times; causal Transformer blocks then predict the L tokens all at once.

Training minimises the sum of three losses: the cross-entropy of the reconstruction, the codebook loss
|| sg[x] - q(x) ||^2 and beta times the commitment loss || x - sg[q(x)] ||^2 (section 3.2 of the paper; sg stops
gradients). The gradient of the decoder passes straight through the quantiser to the encoder.

Prompt, trace and solution are all encoded and decoded, as in the paper. With the default ``quantizer="ema"`` only
chunks of traces pass through the codebook, because codes replace nothing else: codes that prompts and solutions claim
are lost to traces. ``quantizer="gradient"`` quantises all three, as the paper says.

Left to itself a codebook collapses: a few codes take everything. The default recipe keeps it alive. For
``warmup_steps`` vectors pass unquantised, so that the encoder finds its feet; then the codebook starts at the k-means
of encoded traces; from there every code follows the moving average of the vectors that choose it, and one that hardly
any vector chooses is set on a vector of the batch (``vqvae.model.quantizer``, ``vqvae.training.train``).

Everything is causal: a code depends on its own r tokens and on those before them, never on later ones. A chunk can
therefore be cut after any multiple of r tokens. The interface speaks the full ids of the language model's tokenizer;
inside, only the ids that the training corpus uses have a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import transformers.initialization as init
from einops import rearrange, reduce, repeat
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.utils import ModelOutput
from vector_quantize_pytorch import VectorQuantize

from vqvae.model.chunks import Chunks, cut_windows, last_tokens
from vqvae.model.config import ChunkVQVAEConfig
from vqvae.model.layers import CausalTransformer, evaluating
from vqvae.model.quantizer import ChunkQuantizer
from vqvae.model.sampled_softmax import sampled_cross_entropy
from vqvae.model.vocabulary import CompactVocabulary


CPU_BATCH, GPU_BATCH = 1024, 16384  # windows that keep the device busy; more of them gain nothing


@dataclass
class ChunkVQVAEOutput(ModelOutput):
    """Result of one forward pass over ``n`` chunks.

    Attributes:
        loss: Scalar; the sum of the three below, commitment weighted by beta.
        reconstruction_loss: Scalar; mean cross-entropy a token, in nats.
        codebook_loss: Scalar.
        commitment_loss: Scalar, before its weight.
        codes: (n, L / r); -1 where a vector passed unquantised.
        logits: (n, L, rows of the compact vocabulary); None while training samples a large vocabulary.
    """

    loss: torch.Tensor | None = None
    reconstruction_loss: torch.Tensor | None = None
    codebook_loss: torch.Tensor | None = None
    commitment_loss: torch.Tensor | None = None
    codes: torch.Tensor | None = None
    logits: torch.Tensor | None = None


class ChunkVQVAE(PreTrainedModel):
    """The stage-1 model; see the module's docstring for the method.

    Args:
        config: Its shape.
        token_ids: Ids that the corpus uses, ascending, ``config.compact_size - 1`` of them; None when weights are
            loaded.
    """

    config_class = ChunkVQVAEConfig
    base_model_prefix = "vqvae"
    main_input_name = "input_ids"
    accepts_loss_kwargs = False  # the trainer must divide by accumulation steps itself
    _keep_in_fp32_modules_strict = {"quantizer"}

    def __init__(self, config: ChunkVQVAEConfig, token_ids: Sequence[int] | None = None) -> None:
        config.check()
        super().__init__(config)
        width, shape = config.hidden_size, (config.hidden_size, config.num_layers, config.num_heads)
        self.vocabulary = CompactVocabulary(config.compact_size)
        self.tokens = nn.Embedding(config.compact_size, width)
        self.encoder = CausalTransformer(*shape, config.window)
        self.to_code = nn.Linear(width, config.code_dim)
        self.quantizer = ChunkQuantizer(config)
        if config.condition_on_prompt:
            self.prompt_encoder = CausalTransformer(*shape, config.max_prompt_length)
        self.no_code = nn.Parameter(torch.zeros(config.code_dim))
        self.mix = nn.Linear(config.code_dim + width, width)
        self.decoder = CausalTransformer(*shape, config.chunk_length)
        self.head_bias = nn.Parameter(torch.zeros(config.compact_size))
        self.post_init()
        if token_ids is not None:
            self.vocabulary.fill(token_ids)

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, VectorQuantize):
            init.zeros_(module.zero)  # not in the checkpoint: loading through the meta device leaves it unset

    def forward(
        self,
        input_ids: torch.Tensor,
        lengths: torch.Tensor,
        prompt_ids: torch.Tensor,
        prompt_lengths: torch.Tensor,
        sample: torch.Tensor,
        trace: torch.Tensor | None = None,
    ) -> ChunkVQVAEOutput:
        """Encode and decode the chunks of ``w`` windows that belong to ``b`` samples.

        Args:
            input_ids: (w, T) full ids, padded on the right; a window is a run of whole chunks of one part of a sample.
            lengths: (w,) tokens of each window, multiples of L.
            prompt_ids: (b, P) full ids, padded on the right.
            prompt_lengths: (b,).
            sample: (w,) which sample a window belongs to.
            trace: (w,) whether a window is of a trace; None: all are.

        Returns:
            Losses, codes and logits over all chunks of all windows, in order.
        """
        targets, vectors, window = self.chunks(input_ids, lengths)
        everything = trace is None or self.config.quantizer == "gradient"
        chosen = torch.ones_like(window, dtype=torch.bool) if everything else trace[window]
        quantized = self.quantizer(rearrange(vectors[chosen], "n k d -> (n k) d"))
        vectors = vectors.float().index_put((chosen,), quantized.vectors.view(-1, *vectors.shape[1:]).float())
        codes = targets.new_full(vectors.shape[:2], -1)
        codes[chosen] = quantized.codes.view(-1, codes.shape[1])
        if self.training and self.config.code_dropout:
            drop = torch.rand(len(targets), device=vectors.device) < self.config.code_dropout
            vectors = torch.where(drop[:, None, None], self.no_code, vectors)
        prompts = self.encode_prompts(prompt_ids, prompt_lengths)[sample[window]]
        hidden = self._decode_hidden(vectors, prompts)
        logits, reconstruction = self._reconstruct(hidden, targets)
        loss = reconstruction + quantized.codebook_loss + self.config.commitment_weight * quantized.commitment_loss
        return ChunkVQVAEOutput(
            loss=loss,
            reconstruction_loss=reconstruction.detach(),
            codebook_loss=quantized.codebook_loss.detach(),
            commitment_loss=quantized.commitment_loss.detach(),
            codes=codes,
            logits=logits,
        )

    def _reconstruct(self, hidden: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
        """Return logits (n, L, rows) of hidden states (n, L, width), and the cross-entropy of ``targets`` (n, L).

        Training on a large vocabulary samples it, and there are no logits.
        """
        head = (self.tokens.weight, self.head_bias)
        if self.training and self.config.samples_softmax:
            flat = hidden.flatten(0, 1)
            return None, sampled_cross_entropy(flat, *head, targets.flatten(), self.config.softmax_samples)
        logits = F.linear(hidden, *head)
        return logits, F.cross_entropy(rearrange(logits, "n l v -> (n l) v").float(), targets.flatten())

    def chunks(self, input_ids: torch.Tensor, lengths: torch.Tensor) -> Chunks:
        """Cut windows of full ids (w, T), of which ``lengths`` (w,) count, into chunks, and encode them."""
        rows, length = self.vocabulary.compact(input_ids), self.config.chunk_length
        whole = torch.arange(rows.shape[1] // length, device=lengths.device) < (lengths // length)[:, None]
        window, place = whole.nonzero(as_tuple=True)
        targets = rearrange(rows, "w (c l) -> w c l", l=length)[window, place]
        hidden = rearrange(self.encoder(self.tokens(rows)), "w (c l) d -> w c l d", l=length)[window, place]
        pooled = reduce(hidden, "n (k r) d -> n k d", "max", r=self.config.compression_rate)
        return Chunks(targets, self.to_code(pooled), window)

    def encode_prompts(self, prompt_ids: torch.Tensor, prompt_lengths: torch.Tensor) -> torch.Tensor:
        """Return g(P) of prompts of full ids (b, P) with ``prompt_lengths`` (b,): (b, width).

        g is a causal Transformer read at the prompt's last token; the paper leaves its form open. Of a prompt longer
        than ``config.max_prompt_length`` it reads the end. Without ``config.condition_on_prompt`` it is 0.
        """
        if not self.config.condition_on_prompt:
            return self.tokens.weight.new_zeros(len(prompt_ids), self.config.hidden_size)
        prompt_ids, prompt_lengths = last_tokens(prompt_ids, prompt_lengths, self.config.max_prompt_length)
        hidden = self.prompt_encoder(self.tokens(self.vocabulary.compact(prompt_ids)))
        last = (prompt_lengths - 1).clamp(min=0)
        return hidden[torch.arange(len(hidden), device=hidden.device), last]

    def decode_vectors(self, vectors: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
        """Return f_dec of codebook vectors (n, L / r, d) given g(P) (n, width): logits (n, L, rows)."""
        return F.linear(self._decode_hidden(vectors, prompts), self.tokens.weight, self.head_bias)

    def _decode_hidden(self, vectors: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
        """Return what the head of f_dec reads, (n, L, width)."""
        prompts = repeat(prompts, "n d -> n k d", k=vectors.shape[1])
        mixed = self.mix(torch.cat([vectors.to(prompts.dtype), prompts], -1))
        return self.decoder(repeat(mixed, "n k d -> n (k r) d", r=self.config.compression_rate))

    def encode(self, input_ids: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the codes of traces.

        Args:
            input_ids: (n, T) full ids, padded on the right.
            lengths: (n,) tokens of each trace; None: all T.

        Returns:
            (n, T // L * (L / r)); -1 beyond a trace's own codes. A tail shorter than a chunk has none.
        """
        width = input_ids.shape[1]
        sizes = np.full(len(input_ids), width) if lengths is None else lengths.cpu().numpy()
        flat = input_ids.cpu().numpy()[np.arange(width) < sizes[:, None]]
        counts = self.config.count_codes(sizes)
        codes = np.full((len(sizes), int(self.config.count_codes(np.array(width)))), -1)
        codes[np.arange(codes.shape[1]) < counts[:, None]] = self.encode_flat(flat, sizes)
        return torch.as_tensor(codes, dtype=input_ids.dtype, device=input_ids.device)

    def encode_flat(self, ids: np.ndarray, lengths: np.ndarray, batch_size: int | None = None) -> np.ndarray:
        """Return the codes of traces that are laid end to end, so that nothing is copied on the way from a file.

        Windows of all traces make up blocks of ``batch_size``, so that short traces cost no padding. In fp32 the codes
        do not depend on ``batch_size`` or on which traces stand together.

        Args:
            ids: (tokens,) full ids of all traces.
            lengths: (n,) tokens of each trace.
            batch_size: Windows of one block: chunks with ``context="chunk"``; None: what suits the device.

        Returns:
            (codes,) of all traces in order; ``config.count_codes`` tells how many each has.
        """
        starts, sizes = (torch.from_numpy(array).to(self.device) for array in cut_windows(lengths, self.config))
        flat = torch.tensor(ids, device=self.device)
        found = []
        size = batch_size or (CPU_BATCH if self.device.type == "cpu" else GPU_BATCH)
        with evaluating(self):
            for first, tokens in zip(starts.split(size), sizes.split(size), strict=True):
                width = self.config.window if self.config.context == "chunk" else int(tokens.max())
                places = first[:, None] + torch.arange(width, device=self.device)
                block = flat[places.clamp(max=len(flat) - 1)].long()  # beyond its end a window is not looked at
                found.append(self.quantizer.nearest(self.chunks(block, tokens).vectors.flatten(0, 1)))
        return torch.cat(found).cpu().numpy() if found else np.zeros(0, dtype=np.int64)

    @torch.no_grad()
    def decode(
        self, codes: torch.Tensor, prompt_ids: torch.Tensor, prompt_lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the likeliest tokens that codes stand for, given prompts.

        Args:
            codes: (n, c) with c a multiple of L / r, no padding.
            prompt_ids: (n, P) full ids, padded on the right.
            prompt_lengths: (n,); None: all P.

        Returns:
            (n, c * r) full ids; -1 for a token that the training corpus never used.
        """
        return self.vocabulary.full(self.decode_logits(codes, prompt_ids, prompt_lengths).argmax(-1))

    @torch.no_grad()
    def decode_logits(
        self, codes: torch.Tensor, prompt_ids: torch.Tensor, prompt_lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return what ``decode`` chooses from: logits (n, c * r, rows) over the compact vocabulary."""
        if prompt_lengths is None:
            prompt_lengths = prompt_ids.new_full(prompt_ids.shape[:1], prompt_ids.shape[1])
        chunks = rearrange(codes, "n (c k) -> (n c) k", k=self.config.codes_per_chunk)
        prompts = self.encode_prompts(prompt_ids, prompt_lengths)
        prompts = repeat(prompts, "n d -> (n c) d", c=codes.shape[1] // self.config.codes_per_chunk)
        logits = self.decode_vectors(self.quantizer.look_up(chunks), prompts)
        return rearrange(logits, "(n c) l v -> n (c l) v", n=len(codes))


AutoConfig.register(ChunkVQVAEConfig.model_type, ChunkVQVAEConfig)
AutoModel.register(ChunkVQVAEConfig, ChunkVQVAE)
