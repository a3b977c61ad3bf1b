"""What a user can choose about encoding, and what of it decides the codes."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mixlm.data.template import Template
from vqvae import VQVAETrainingOptions


@dataclass(frozen=True)
class EncodingOptions:
    """Options of ``encode_dataset``.

    Attributes:
        template: Renders the samples.
        shape: Fields of ``ChunkVQVAEConfig`` that differ from their defaults.
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


def describe_arguments(traces: str, model: str, options: EncodingOptions) -> dict[str, Any]:
    """Return what decides the codes, as JSON values; files by their content.

    Whether malformed rows are left out is not part of it: shards without such a row are the same either way, so a call
    that one of them has stopped can go on without it.
    """
    arguments = {"traces": str(traces), "model": str(model), **asdict(options)}
    arguments["training"].pop("save_every"), arguments["training"].pop("workers")
    arguments.pop("skip_bad_rows"), arguments.pop("processes")
    checksums = {}
    for name in ("traces", "valid"):
        path = Path(str(arguments[name]))
        if path.is_file():
            with path.open("rb") as file:
                checksums[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return json.loads(json.dumps({**arguments, "checksums": checksums}))
