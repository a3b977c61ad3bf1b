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

from collections.abc import Iterator, Mapping

import torch
from einops import rearrange, repeat
from torch import nn
from torch.nn import functional as F

from vqvae.model.chunks import at_once, last_tokens
from vqvae.model.coder import ChunkCoder, ChunkVQVAEOutput
from vqvae.model.config import ChunkVQVAEConfig
from vqvae.model.layers import CausalTransformer


class ChunkVQVAE(ChunkCoder):
    """The paper's stage-1 model, whose codes reconstruct their text; see the module's docstring for the method."""

    objectives = ("reconstruction",)

    def _add_decoder(self, config: ChunkVQVAEConfig) -> None:
        width, shape = config.hidden_size, (config.hidden_size, config.num_layers, config.num_heads)
        if config.condition_on_prompt:
            self.prompt_encoder = CausalTransformer(*shape, config.prompt_length)
        self.no_code = nn.Parameter(torch.zeros(config.code_dim))
        self.mix = nn.Linear(config.code_dim + width, width)
        self.decoder = CausalTransformer(*shape, config.chunk_length)
        self.head_bias = nn.Parameter(torch.zeros(config.table_rows))

    def forward(
        self,
        input_ids: torch.Tensor,
        places: torch.Tensor,
        prompt_ids: torch.Tensor,
        prompt_lengths: torch.Tensor,
        sample: torch.Tensor,
        trace: torch.Tensor | None = None,
    ) -> ChunkVQVAEOutput:
        """Encode and decode the ``n`` chunks of ``w`` windows that belong to ``b`` samples.

        Args:
            input_ids: (w, T) full ids, padded on the right; a window is a run of whole chunks of one part of a sample.
            places: (n, 3) where the chunks lie; see ``Windows``.
            prompt_ids: (b, P) full ids, padded on the right.
            prompt_lengths: (b,).
            sample: (n,) which sample a chunk belongs to.
            trace: (n,) whether a chunk is of a trace; None: all are.

        Returns:
            Losses, codes and logits over all chunks of all windows, in order.
        """
        targets, encoded = self.chunks(input_ids, places)
        everything = trace is None or self.config.quantizer == "gradient"
        chosen = torch.ones_like(sample, dtype=torch.bool) if everything else trace
        vectors, quantized = self.quantize(encoded, chosen)
        if self.training and self.config.code_dropout:
            drop = torch.rand(len(targets), device=vectors.device) < self.config.code_dropout
            vectors = torch.where(drop[:, None, None], self.no_code, vectors)
        hidden = self._decode_hidden(vectors, self.encode_prompts(prompt_ids, prompt_lengths)[sample])
        logits, reconstruction = self._reconstruct(hidden, targets)
        loss = reconstruction + quantized.codebook_loss + self.config.commitment_weight * quantized.commitment_loss
        return ChunkVQVAEOutput(
            loss=loss,
            reconstruction_loss=reconstruction.detach(),
            codebook_loss=quantized.codebook_loss.detach(),
            commitment_loss=quantized.commitment_loss.detach(),
            codes=quantized.codes,
            logits=logits,
        )

    def _reconstruct(self, hidden: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
        """Return logits (n, L, rows) of hidden states (n, L, width), and the cross-entropy of ``targets`` (n, L).

        Training on a large vocabulary samples it, and there are no logits.
        """
        head = (self.tokens.weight, self.head_bias)
        if self.training and self.config.samples_softmax:
            return None, self.cross_entropy(hidden, targets, *head)
        logits = F.linear(hidden, *head)
        return logits, F.cross_entropy(rearrange(logits, "n l v -> (n l) v").float(), targets.flatten())

    def encode_prompts(self, prompt_ids: torch.Tensor, prompt_lengths: torch.Tensor) -> torch.Tensor:
        """Return g(P) of prompts of full ids (b, P) with ``prompt_lengths`` (b,): (b, width).

        g is a causal Transformer read at the prompt's last token; the paper leaves its form open. Of a prompt longer
        than ``config.prompt_length`` it reads the end. Without ``config.condition_on_prompt`` it is 0.
        """
        if not self.config.condition_on_prompt:
            return self.tokens.weight.new_zeros(len(prompt_ids), self.config.hidden_size)
        prompt_ids, prompt_lengths = last_tokens(prompt_ids, prompt_lengths, self.config.prompt_length)
        hidden = self.prompt_encoder(self.tokens(self.vocabulary.compact(prompt_ids)))
        last = (prompt_lengths - 1).clamp(min=0)
        return hidden[torch.arange(len(hidden), device=hidden.device), last]

    def decode_vectors(self, vectors: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
        """Return f_dec of codebook vectors (n, L / r, d) given g(P) (n, width): logits (n, L, rows)."""
        return F.linear(self._decode_hidden(vectors, prompts), self.tokens.weight, self.head_bias)

    def own_logits(
        self, vectors: torch.Tensor, targets: torch.Tensor, batch: Mapping[str, torch.Tensor]
    ) -> Iterator[torch.Tensor]:
        """Yield logits (some, L, rows) of the own text of chunks; it is decoded all at once, whatever the targets."""
        prompts = self.encode_prompts(batch["prompt_ids"], batch["prompt_lengths"])
        most = at_once(self.config.chunk_length * self.config.table_rows)
        for some, sample in zip(vectors.split(most), batch["sample"].split(most), strict=True):
            yield self.decode_vectors(some, prompts[sample])

    def _decode_hidden(self, vectors: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
        """Return what the head of f_dec reads, (n, L, width)."""
        prompts = repeat(prompts, "n d -> n k d", k=vectors.shape[1])
        mixed = self.mix(torch.cat([vectors.to(prompts.dtype), prompts], -1))
        return self.decoder(repeat(mixed, "n k d -> n (k r) d", r=self.config.compression_rate))

    @torch.no_grad()
    def read_codes(
        self, codes: torch.Tensor, prompt_ids: torch.Tensor, prompt_lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the likeliest full ids (n, c * r) of each code's text, and their probabilities; see ``decode``."""
        best, rows = self.decode_logits(codes, prompt_ids, prompt_lengths).float().softmax(-1).max(-1)
        if self.config.end_row is not None:
            ended = (
                rearrange(rows == self.config.end_row, "n (c l) -> n c l", l=self.config.chunk_length).cumsum(-1) > 0
            )
            rows = rows.masked_fill(rearrange(ended, "n c l -> n (c l)"), self.config.end_row)
        return self.vocabulary.full(rows), best

    @torch.no_grad()
    def decode_logits(
        self, codes: torch.Tensor, prompt_ids: torch.Tensor, prompt_lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return what ``decode`` chooses from: logits (n, c * r, rows) over the token table."""
        if prompt_lengths is None:
            prompt_lengths = prompt_ids.new_full(prompt_ids.shape[:1], prompt_ids.shape[1])
        chunks = rearrange(codes, "n (c k) -> (n c) k", k=self.config.codes_per_chunk)
        prompts = self.encode_prompts(prompt_ids, prompt_lengths)
        prompts = repeat(prompts, "n d -> (n c) d", c=codes.shape[1] // self.config.codes_per_chunk)
        logits = self.decode_vectors(self.quantizer.look_up(chunks), prompts)
        return rearrange(logits, "(n c) l v -> n (c l) v", n=len(codes))
