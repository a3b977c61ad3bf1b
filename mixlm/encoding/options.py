"""What a user can choose about encoding."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from mixlm.data.template import Template
from mixlm.data.texts.responses import compile_pattern
from mixlm.errors import InputError
from mixlm.model.loading import is_scratch
from mixlm.processes import Processes
from vqvae import VQVAETrainingOptions
from vqvae.errors import MOST_WORKERS, require_between
from vqvae.option_types import require_types
from vqvae.options import VQVAEModelOptions


MOST_VALID = 0.5  # of the samples may be held out

# Sizes of stage 1 that ``shape`` does not give. "paper": those of Token Assorted, appendix A, which the model has by
# default; "small": about a seventh of their time for a step, for a machine without a GPU or for few rows.
PRESETS: dict[str, dict[str, int]] = {
    "small": {"codebook_size": 256, "hidden_size": 128, "num_layers": 1},
    "paper": {"codebook_size": 1024, "hidden_size": 512, "num_layers": 2},
}
AUTO = "auto"
ROWS_OF_PAPER = 5000  # fewer rows do not fill a thousand codes


@dataclass(frozen=True)
class EncodingOptions:
    """Options of ``encode_dataset``.

    Attributes:
        template: Renders the samples.
        preset: Sizes of what ``shape`` does not give, by their name in ``PRESETS``; "auto": those that fit machine and
            rows, or those that an earlier call with the same ``out`` had.
        shape: Fields of ``ChunkVQVAEConfig``.
        training: How to train the VQ-VAE.
        reader_lora_rank: Of an adapter that the language model learns while codes are trained for it, with the
            objective "language-model"; 0: it is frozen.
        vqvae: Folder of a trained VQ-VAE to use in place of training one; ``shape`` and ``training`` then do nothing.
        valid: File of validation samples.
        valid_fraction: Without ``valid``: share of the samples that is held out, at most 1,000 samples.
        shard_rows: Rows of one Parquet file.
        dtype: Of the encoder while encoding: "float32" or "bfloat16".
        skip_bad_rows: Leave out malformed rows.
        answer_pattern: Regular expression that finds the answer in a response, in place of the marks that are known.
        workers: Processes that tokenise beside this one; None: one a core, if there are rows enough for it.
    """

    template: Template = field(default_factory=Template)
    preset: str = "paper"
    shape: dict[str, Any] = field(default_factory=dict)
    training: VQVAETrainingOptions = field(default_factory=VQVAETrainingOptions)
    reader_lora_rank: int = 0
    vqvae: str | None = None
    valid: str | None = None
    valid_fraction: float = 0.05
    shard_rows: int = 10_000
    dtype: Literal["float32", "bfloat16"] = "float32"
    skip_bad_rows: bool = False
    answer_pattern: str | None = None

    workers: int | None = None

    def __post_init__(self) -> None:
        """Check what no library below would explain.

        Raises:
            InputError: If a value is none of its option's, the shape has no such part, or the pattern is no regular
                expression.
        """
        require_types(self)
        if self.preset not in (AUTO, *PRESETS):
            raise InputError(f"--preset {self.preset}: not known; give {', '.join(PRESETS)} or {AUTO}")
        if not self.valid_fraction <= MOST_VALID:
            raise InputError(f"--valid-fraction {self.valid_fraction}: give a share from 0 to {MOST_VALID}")
        require_between("shard_rows", self.shard_rows, 1)
        if self.workers is not None:
            require_between("workers", self.workers, 0, MOST_WORKERS)
        known = [field.name for field in fields(VQVAEModelOptions)]
        for name in self.shape:
            if name not in known:
                raise InputError(f"shape '{name}': a VQ-VAE has no such part; its parts: {', '.join(known)}")
        require_types(VQVAEModelOptions(**self.shape))
        compile_pattern(self.answer_pattern)


def fitting_preset(rows: int) -> tuple[str, dict[str, int]]:
    """Return name and sizes that fit a number of rows and this machine.

    Few rows have fewer codes than the small preset: a power of two that is at most nine tenths of them, so that there
    is a chunk for each where every row has one.
    """
    import torch

    if torch.accelerator.is_available() and rows >= ROWS_OF_PAPER:
        return "paper", PRESETS["paper"]
    few = 2 ** max(int(0.9 * rows).bit_length() - 1, 1)
    return "small", {**PRESETS["small"], "codebook_size": min(PRESETS["small"]["codebook_size"], few)}


def check_reader(model: str, options: EncodingOptions) -> None:
    """Check what can be told early of the language model that codes are trained for.

    Raises:
        InputError: If it is not trained itself, if several processes would train, or if nothing asks for its adapter.
    """
    rank = options.reader_lora_rank
    if options.vqvae or options.shape.get("objective") != "language-model":
        if rank:
            raise InputError(f"--reader-lora-rank {rank} does nothing without --objective language-model")
    elif is_scratch(model):
        raise InputError(
            f"{model}: a model from scratch has learned nothing that codes could be trained for; "
            "give a trained --model, or --objective predictive"
        )
    elif Processes.current().count > 1:
        raise InputError("--objective language-model trains in one process; start the command without a launcher")
