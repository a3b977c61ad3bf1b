"""The configuration of the stage-1 model."""

from copy import deepcopy
from typing import Any

import numpy as np
from transformers import PreTrainedConfig

from vqvae.errors import InputError, require_between
from vqvae.options import VQVAEModelOptions


class ChunkVQVAEConfig(VQVAEModelOptions, PreTrainedConfig):
    """Shape and recipe of a ``ChunkVQVAE``: what a user can choose, and what only its training knows.

    Attributes:
        vocab_size: Ids of the language model's vocabulary are below this.
        compact_size: Rows of the token table: the ids that the corpus uses, and one for all others.
        dead_code_threshold: A code is dead if it stands for fewer vectors a step than this.
        fingerprint: Of the tokenizer whose ids it speaks.
    """

    model_type = "chunk-vqvae"

    vocab_size: int = 0
    compact_size: int = 0
    dead_code_threshold: float = 0.0
    fingerprint: str = ""

    def __post_init__(self, **kwargs: Any) -> None:
        """Decide what follows from other choices, and ``check`` the shape."""
        moving = self.quantizer == "ema"
        self.compression_rate = self.chunk_length if self.compression_rate is None else self.compression_rate
        self.kmeans = moving if self.kmeans is None else self.kmeans
        self.warmup_steps = 0 if self.warmup_steps is None and not moving else self.warmup_steps
        self.check()
        # Standard deviation of fresh weights: 0.02 at the paper's width; narrow models learn far slower from 0.02.
        self.initializer_range = 0.5 * self.hidden_size**-0.5
        super().__post_init__(**kwargs)

    def check(self) -> None:
        """Raise an ``InputError`` if the parts of the shape do not fit each other."""
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
        require_between("commitment_weight", self.commitment_weight, 0)
        if self.context == "trace" and self.max_length < self.chunk_length:
            raise InputError(f"max length {self.max_length} holds no chunk of {self.chunk_length} tokens")

    def for_training(self, steps: int) -> "ChunkVQVAEConfig":
        """Return a copy in which what follows from the number of training steps is decided.

        Raises:
            InputError: If the parts do not fit each other any more.
        """
        config = deepcopy(self)
        config.check()
        config.warmup_steps = steps // 3 if config.warmup_steps is None else config.warmup_steps
        return config

    @property
    def codes_per_chunk(self) -> int:
        """Codes of one chunk, L / r."""
        return self.chunk_length // self.compression_rate

    def count_chunks(self, lengths: int | np.ndarray) -> int | np.ndarray:
        """Return how many whole chunks sequences of ``lengths`` (any) have."""
        return lengths // self.chunk_length

    def count_codes(self, lengths: int | np.ndarray) -> int | np.ndarray:
        """Return how many codes traces of ``lengths`` (any) have; a tail shorter than a chunk has none."""
        return self.count_chunks(lengths) * self.codes_per_chunk

    @property
    def samples_softmax(self) -> bool:
        """Whether the vocabulary is so large that training samples it."""
        return 0 < 4 * self.softmax_samples < self.compact_size

    @property
    def window(self) -> int:
        """Longest run of tokens that is encoded at once: a multiple of L."""
        return self.chunk_length if self.context == "chunk" else self.count_chunks(self.max_length) * self.chunk_length
