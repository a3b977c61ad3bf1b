"""The configuration of the stage-1 model."""

from typing import Any

import numpy as np
from transformers import PreTrainedConfig

from vqvae.errors import InputError


class ChunkVQVAEConfig(PreTrainedConfig):
    """Shape and recipe of a ``ChunkVQVAE``.

    The defaults of shape are the paper's (Token Assorted, section 4 and appendix A). The paper says nothing of how its
    codebook was kept alive; the defaults of ``quantizer`` and below are the recipe that held in our experiments.

    Attributes:
        chunk_length: Tokens of a chunk, L.
        compression_rate: Tokens that one code stands for, r; divides L.
        codebook_size: Number of codes, K.
        code_dim: Width of a codebook vector, d.
        hidden_size: Width of encoder, decoder and prompt encoder.
        num_layers: Blocks of each of the three.
        num_heads: Attention heads of a block.
        initializer_range: Standard deviation of fresh weights; None: 1 / (2 sqrt(hidden_size)), 0.02 at the paper's
            width. Narrow models learn far slower from 0.02.
        context: "chunk": each chunk is encoded alone; "trace": its encoder also sees the chunks before it.
        max_length: Longest run of tokens that the encoder sees at once, with ``context="trace"``.
        condition_on_prompt: Whether the decoder is given g(P); else it has the code alone.
        max_prompt_length: Prompts longer than this are cut from the left for g(P).
        vocab_size: Ids of the language model's vocabulary are below this.
        compact_size: Rows of the token table: the ids that the corpus uses, and one for all others.
        quantizer: "ema": codebook vectors follow the mean of what they stand for; "gradient": the paper's codebook
            loss.
        commitment_weight: Weight of the commitment loss, beta.
        ema_decay: Decay of the moving averages of "ema".
        dead_code_share: A code is dead, and is replaced, if it stands for fewer vectors a step than this share of the
            average code.
        dead_code_threshold: The same in vectors a step; set by training, which knows how many vectors a step has.
        warmup_steps: Steps without quantising, after which the codebook starts at the k-means of encoded chunks.
        kmeans: Whether the codebook starts so, or at random.
        softmax_samples: In training, rows of the vocabulary that stand for those not in the batch, where there are
            more than four times as many; else, and for all figures, every row counts. 0: always every row.
        fingerprint: Of the tokenizer whose ids it speaks.
        code_dropout: Share of chunks that training decodes from a learned "no code" vector. It lets the trained
            decoder tell what it knows without a code; 0 leaves those figures out.
    """

    model_type = "chunk-vqvae"

    chunk_length: int = 16
    compression_rate: int = 16
    codebook_size: int = 1024
    code_dim: int = 64
    hidden_size: int = 512
    num_layers: int = 2
    num_heads: int = 4
    initializer_range: float | None = None
    context: str = "chunk"
    max_length: int = 256
    condition_on_prompt: bool = True
    max_prompt_length: int = 256
    vocab_size: int = 0
    compact_size: int = 0
    quantizer: str = "ema"
    commitment_weight: float = 0.25
    ema_decay: float = 0.95
    dead_code_share: float = 0.15
    dead_code_threshold: float = 0.0
    warmup_steps: int = 200
    kmeans: bool = True
    code_dropout: float = 0.1
    softmax_samples: int = 4096
    fingerprint: str = ""

    def __post_init__(self, **kwargs: Any) -> None:
        """Check the shape.

        Raises:
            InputError: If the parts do not fit each other.
        """
        if self.compression_rate < 1 or self.chunk_length % self.compression_rate:
            raise InputError(
                f"compression rate {self.compression_rate} does not divide chunk length {self.chunk_length}; "
                f"choose a divisor, or --chunk-length {self.compression_rate}"
            )
        if self.codebook_size < 2:
            raise InputError(f"a codebook of {self.codebook_size} cannot tell chunks apart; use at least 2 codes")
        if self.hidden_size % self.num_heads:
            raise InputError(f"hidden size {self.hidden_size} is no multiple of {self.num_heads} heads")
        if self.context not in ("chunk", "trace"):
            raise InputError(f"context '{self.context}': choose chunk or trace")
        if self.quantizer not in ("ema", "gradient"):
            raise InputError(f"quantizer '{self.quantizer}': choose ema or gradient")
        if self.context == "trace" and self.max_length < self.chunk_length:
            raise InputError(f"max length {self.max_length} holds no chunk of {self.chunk_length} tokens")
        if self.initializer_range is None:
            self.initializer_range = 0.5 * self.hidden_size**-0.5
        super().__post_init__(**kwargs)

    @property
    def codes_per_chunk(self) -> int:
        """Codes of one chunk, L / r."""
        return self.chunk_length // self.compression_rate

    def count_codes(self, lengths: np.ndarray) -> np.ndarray:
        """Return how many codes traces of ``lengths`` (n,) have, (n,); a tail shorter than a chunk has none."""
        return lengths // self.chunk_length * self.codes_per_chunk

    @property
    def samples_softmax(self) -> bool:
        """Whether the vocabulary is so large that training samples it."""
        return 0 < 4 * self.softmax_samples < self.compact_size

    @property
    def window(self) -> int:
        """Longest run of tokens that is encoded at once: a multiple of L."""
        if self.context == "chunk":
            return self.chunk_length
        return self.max_length // self.chunk_length * self.chunk_length
