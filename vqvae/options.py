"""What a user can choose about stage 1. Read by commands, so nothing large is imported here."""

import re
from dataclasses import dataclass
from typing import Literal

from vqvae.errors import MOST_WORKERS, InputError, require_between, require_rate
from vqvae.option_types import require_types


# The kind of codes that the paper has.
PAPERS_CODES = {"objective": "reconstruction", "align": "fixed"}


SAVE_EVERY = "2m"
LONGEST_PROMPT = 1024  # tokens of a prompt that are read where codes predict, unless it is said how many


@dataclass(frozen=True)
class SaveEvery:
    """How often a training writes a checkpoint, from which it goes on after an interruption.

    Attributes:
        steps: Optimizer steps from one to the next; 0: they do not count.
        seconds: Seconds at most that an interruption costs, unless a step takes longer, or ten times the writing of a
            checkpoint; 0: they do not count.
    """

    steps: int = 0
    seconds: float = 0.0

    @property
    def any(self) -> bool:
        """Whether there are checkpoints at all."""
        return bool(self.steps or self.seconds)

    @classmethod
    def read(cls, value: int | str) -> "SaveEvery":
        """Read a number of steps, minutes such as "2m", or "none".

        Raises:
            InputError: If it is none of them.
        """
        text = str(value).strip()
        if text in ("none", "0"):
            return cls()
        if re.fullmatch(r"[1-9][0-9]{0,8}", text) and not isinstance(value, bool):
            return cls(steps=int(text))
        if re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,3})?m", text) and float(text[:-1]):
            return cls(seconds=60 * float(text[:-1]))
        raise InputError(f"--save-every {value}: give a number of steps, minutes as in 2m, or none")


@dataclass
class VQVAEModelOptions:
    """Shape and recipe of the model.

    Codes that are steps and predict what comes next are what language models learned to write in our experiments; the
    paper's are of "reconstruction" and "fixed" chunks, and its are the other defaults of shape (Token Assorted,
    section 4 and appendix A). It says nothing of how its codebook was kept alive; the defaults of ``quantizer`` and
    below are the recipe that held in our experiments.

    Attributes:
        objective: What a code is trained for. "reconstruction": to tell the text it stands for, as in the paper;
            "predictive": to tell what comes next, given the prompt and the codes before it; "language-model": the
            same, told by a language model that reads codes beside the prompt.
        align: Where chunks end. "fixed": every L tokens, as in the paper; "step": where the step ends, so that a chunk
            is a step, or a part of one that is longer than L.
        chunk_length: Tokens of a chunk, L. None: 16, or with "step" the longest step of the traces, up to 64.
        compression_rate: Tokens that one code stands for, r; divides L. None: L, and nothing else with "step" or an
            objective that predicts.
        codebook_size: Number of codes, K.
        code_dim: Width of a codebook vector, d.
        hidden_size: Width of encoder, decoder and prompt encoder.
        num_layers: Blocks of each of the three.
        num_heads: Attention heads of a block.
        context: "chunk": each chunk is encoded alone; "trace": its encoder also sees the chunks before it.
        max_length: Longest run of tokens that the encoder sees at once, with ``context="trace"``.
        condition_on_prompt: Whether the decoder is given g(P); else it has the code alone, which an objective that
            predicts does not allow.
        max_prompt_length: Tokens of a prompt that are read, the last ones. None: 256, or where codes predict the
            longest prompt of the training rows, up to ``LONGEST_PROMPT``.
        quantizer: "ema": codebook vectors follow the mean of what they stand for; "gradient": the paper's codebook
            loss.
        commitment_weight: Weight of the commitment loss, beta.
        ema_decay: Decay of the moving averages of "ema".
        dead_code_share: A code is dead, and is replaced, if it stands for fewer vectors a step than this share of the
            average code.
        warmup_steps: Steps without quantising, after which the codebook starts. None: a third of all with "ema", none
            with "gradient".
        kmeans: Whether the codebook starts at the k-means of encoded chunks, or at random. None: with "ema".
        code_dropout: Share of chunks ("predictive": of samples) that training decodes from a learned "no code" vector.
            It lets the trained decoder tell what it knows without a code; 0 leaves those figures out.
        merge: Whether codes that the prediction does not tell apart become one after training, with an
            objective that predicts.
        softmax_samples: In training, rows of the vocabulary that stand for those not in the batch, where there are
            more than four times as many; else, and for all figures, every row counts. 0: always every row.
    """

    objective: Literal["reconstruction", "predictive", "language-model"] = "predictive"
    align: Literal["fixed", "step"] = "step"
    chunk_length: int | None = None
    compression_rate: int | None = None
    codebook_size: int = 1024
    code_dim: int = 64
    hidden_size: int = 512
    num_layers: int = 2
    num_heads: int = 4
    context: Literal["chunk", "trace"] = "chunk"
    max_length: int = 256
    condition_on_prompt: bool = True
    max_prompt_length: int | None = None
    quantizer: Literal["ema", "gradient"] = "ema"
    commitment_weight: float = 0.25
    ema_decay: float = 0.95
    dead_code_share: float = 0.15
    warmup_steps: int | None = None
    kmeans: bool | None = None
    code_dropout: float = 0.1
    merge: bool = True
    softmax_samples: int = 4096


@dataclass(frozen=True)
class VQVAETrainingOptions:
    """How to train it.

    Attributes:
        steps: Optimizer steps; the paper takes 100,000.
        batch_size: Samples of a step, with all their chunks, of all processes together; 32 in the paper.
        learning_rate: Of Adam, after a linear warm-up, with a cosine schedule; the paper's 1e-5 needs its 100,000
            steps.
        seed: Of weights, order and k-means.
        save_every: How often a checkpoint is written, from which an interrupted training goes on: a number of steps,
            minutes such as "2m", or "none"; see ``SaveEvery``.
        bf16: Autocast to bfloat16; weights and codebook stay fp32.
        workers: Processes that gather batches.
        vectors_per_code: Vectors that the k-means sees for each code.
    """

    steps: int = 2000
    batch_size: int = 32
    learning_rate: float = 1e-3
    seed: int = 0
    save_every: int | str = SAVE_EVERY
    bf16: bool = False
    workers: int = 0
    vectors_per_code: int = 10

    def __post_init__(self) -> None:
        """Raise an ``InputError`` if a number is out of its range."""
        require_types(self)
        require_between("vectors_per_code", self.vectors_per_code, 1)
        require_between("workers", self.workers, 0, MOST_WORKERS)
        for name, least in {"steps": 1, "batch_size": 1}.items():
            require_between(name, getattr(self, name), least)
        require_rate("learning_rate", self.learning_rate)
        SaveEvery.read(self.save_every)
