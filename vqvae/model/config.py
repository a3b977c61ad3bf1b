"""The configuration of the stage-1 model."""

from copy import deepcopy
from typing import Any

from transformers import PreTrainedConfig

from vqvae.errors import InputError, require_between
from vqvae.model.cutting import Cutting
from vqvae.option_types import misfit
from vqvae.options import LONGEST_PROMPT, PAPERS_CODES, VQVAEModelOptions


FIXED_LENGTH = 16  # tokens of a chunk, where nobody says
LONGEST_STEP = 64  # tokens of a chunk that ends with its step, likewise; longer steps are cut
PROMPT_LENGTH = 256  # tokens of a prompt, likewise, or more where codes predict from it
SOLUTION_TOKENS = 32  # of a solution that codes are asked to predict
FEWEST_CODES = 2  # fewer cannot tell chunks apart
_BOUNDS = {  # from the first up to below the second, which is more than any machine holds
    **dict.fromkeys(("chunk_length", "compression_rate"), (1, 2**14)),
    **dict.fromkeys(("hidden_size", "code_dim"), (1, 2**16)),
    **dict.fromkeys(("num_layers", "num_heads"), (1, 2**8)),
    **dict.fromkeys(("ema_decay", "code_dropout"), (0, 1 + 1e-9)),
    "codebook_size": (0, 2**24),
    "max_prompt_length": (1, 2**20),
    "max_length": (1, 2**20),
}


class ChunkVQVAEConfig(VQVAEModelOptions, PreTrainedConfig):
    """Shape and recipe of a ``ChunkVQVAE``: what a user can choose, and what only its training knows.

    Attributes:
        vocab_size: Ids of the language model's vocabulary are below this.
        compact_size: Rows of the compact vocabulary: the ids that the corpus uses, and one for all others.
        dead_code_threshold: A code is dead if it stands for fewer vectors a step than this.
        fingerprint: Of the tokenizer whose ids it speaks.
        trained_codes: Number of codes before alike ones were merged into ``codebook_size``; 0: none were.
    """

    model_type = "chunk-vqvae"

    vocab_size: int = 0
    compact_size: int = 0
    dead_code_threshold: float = 0.0
    fingerprint: str = ""
    trained_codes: int = 0

    def __post_init__(self, **kwargs: Any) -> None:
        """Decide what follows from other choices, and ``check`` the shape."""
        moving = self.quantizer == "ema"
        if self.chunk_length is None and self.align == "fixed":
            self.chunk_length = FIXED_LENGTH
        self.compression_rate = self.chunk_length if self.compression_rate is None else self.compression_rate
        self.kmeans = moving if self.kmeans is None else self.kmeans
        self.warmup_steps = 0 if self.warmup_steps is None and not moving else self.warmup_steps
        self.check()
        # Standard deviation of fresh weights: 0.02 at the paper's width; narrow models learn far slower from 0.02.
        self.initializer_range = 0.5 * self.hidden_size**-0.5
        super().__post_init__(**kwargs)

    def check(self) -> None:
        """Raise an ``InputError`` if a part of the shape is no such thing, or the parts do not fit each other."""
        if found := misfit(self, VQVAEModelOptions):
            name, value, wanted = found
            raise InputError(f"{name.replace('_', ' ')} {value}: give {wanted}")
        for name, bounds in _BOUNDS.items():
            if getattr(self, name) is not None:
                require_between(name, getattr(self, name), *bounds)
        length, rate = self.chunk_length, self.compression_rate
        if length is not None and length % rate:
            raise InputError(
                f"compression rate {rate} does not divide chunk length {length}; "
                f"choose a divisor, or --chunk-length {rate}"
            )
        if rate != length and (self.align == "step" or self.objective != "reconstruction"):
            raise InputError(
                f"compression rate {rate}: chunks that end with steps, and codes that predict, are one code each; "
                "leave --compression-rate out, or take --align fixed --objective reconstruction"
            )
        if not self.condition_on_prompt and self.objective != "reconstruction":
            raise InputError(
                f"objective '{self.objective}' predicts from the prompt; leave --no-condition-on-prompt out, or take "
                "--objective reconstruction"
            )
        if self.codebook_size < FEWEST_CODES:
            raise InputError(
                f"a codebook of {self.codebook_size} cannot tell chunks apart; use at least {FEWEST_CODES} codes"
            )
        if self.hidden_size % self.num_heads:
            raise InputError(f"hidden size {self.hidden_size} is no multiple of {self.num_heads} heads")
        if self.context == "trace" and self.max_length < (length or 0):
            raise InputError(f"max length {self.max_length} holds no chunk of {length} tokens")

    def for_training(
        self, steps: int, longest_step: int | None = None, longest_prompt: int | None = None
    ) -> "ChunkVQVAEConfig":
        """Return a copy in which what follows from the training is decided.

        Args:
            steps: Optimizer steps.
            longest_step: Tokens of the longest step of the training traces; None: not known yet.
            longest_prompt: Of the longest prompt, likewise.

        Raises:
            InputError: If the parts do not fit each other any more.
        """
        config = deepcopy(self)
        if config.chunk_length is None and longest_step:
            config.chunk_length = config.compression_rate = min(longest_step, LONGEST_STEP)
        if config.max_prompt_length is None and longest_prompt and config.objective != PAPERS_CODES["objective"]:
            config.max_prompt_length = min(max(longest_prompt, PROMPT_LENGTH), LONGEST_PROMPT)
        config.check()
        config.warmup_steps = steps // 3 if config.warmup_steps is None else config.warmup_steps
        return config

    @property
    def prompt_length(self) -> int:
        """Most tokens of a prompt that are read."""
        return PROMPT_LENGTH if self.max_prompt_length is None else self.max_prompt_length

    @property
    def cutting(self) -> Cutting:
        """Where traces are cut."""
        return Cutting(self.align, self.chunk_length, self.compression_rate)

    @property
    def codes_per_chunk(self) -> int:
        """Codes of one chunk, L / r."""
        return self.cutting.codes_per_chunk

    @property
    def end_row(self) -> int | None:
        """Row of the token table that stands for the end of a chunk shorter than L; None where all have L tokens."""
        return self.compact_size if self.align == "step" else None

    @property
    def table_rows(self) -> int:
        """Rows of the token table."""
        return self.compact_size + (self.align == "step")

    @property
    def samples_softmax(self) -> bool:
        """Whether the vocabulary is so large that training samples it."""
        return 0 < 4 * self.softmax_samples < self.compact_size

    @property
    def window(self) -> int:
        """Tokens within which the chunks of one window begin."""
        if self.context == "chunk":
            return self.chunk_length
        if self.align == "step":
            return self.max_length - self.chunk_length + 1
        return self.max_length // self.chunk_length * self.chunk_length

    @property
    def longest_window(self) -> int:
        """Most tokens that are encoded at once."""
        return self.max_length if self.context == "trace" and self.align == "step" else self.window
