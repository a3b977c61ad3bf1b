"""What a user can choose about encoding."""

from dataclasses import dataclass, field
from typing import Any

from mixlm.data.template import Template
from vqvae import VQVAETrainingOptions


@dataclass(frozen=True)
class EncodingOptions:
    """Options of ``encode_dataset``.

    Attributes:
        template: Renders the samples.
        shape: Fields of ``ChunkVQVAEConfig``.
        training: How to train the VQ-VAE.
        vqvae: Folder of a trained VQ-VAE to use in place of training one; ``shape`` and ``training`` then do nothing.
        valid: File of validation samples.
        valid_fraction: Without ``valid``: share of the samples that is held out, at most 1,000 samples.
        shard_rows: Rows of one Parquet file.
        dtype: Of the encoder while encoding: "float32" or "bfloat16".
        skip_bad_rows: Leave out malformed rows.
        processes: Processes that tokenise beside this one; None: one a core, if there are rows enough for it.
    """

    template: Template = field(default_factory=Template)
    shape: dict[str, Any] = field(default_factory=dict)
    training: VQVAETrainingOptions = field(default_factory=VQVAETrainingOptions)
    vqvae: str | None = None
    valid: str | None = None
    valid_fraction: float = 0.05
    shard_rows: int = 10_000
    dtype: str = "float32"
    skip_bad_rows: bool = False
    processes: int | None = None
