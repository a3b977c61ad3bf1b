"""The encoded dataset: what mixlm-encode writes and mixlm-train reads."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixlm.errors import InputError
from mixlm.template import Template
from mixlm.whole_file import whole_file


MANIFEST = "manifest.json"
FORMAT_VERSION = 1


@dataclass
class EncodedData:
    """An encoded dataset.

    Attributes:
        path: Its folder.
        manifest: What it is and how it was made.
        train: Rows with ``prompt_ids``, ``trace_ids``, ``solution_ids``, ``step_lengths`` and ``codes``.
        valid: The same, held out from stage 1; None without.
    """

    path: Path
    manifest: dict[str, Any]
    train: Any
    valid: Any

    @property
    def vqvae_path(self) -> Path:
        """Folder of the stage-1 model."""
        return self.path / "vqvae"

    @property
    def tokenizer_path(self) -> Path:
        """Folder of the base tokenizer."""
        return self.path / "tokenizer"

    @property
    def template(self) -> Template:
        """How the samples were rendered."""
        return Template.from_dict(self.manifest["template"])

    @property
    def chunk_length(self) -> int:
        """Trace tokens of one chunk, L."""
        return self.manifest["chunk_length"]

    @property
    def compression_rate(self) -> int:
        """Trace tokens of one code, r."""
        return self.manifest["compression_rate"]

    @property
    def codebook_size(self) -> int:
        """Number of codes, K."""
        return self.manifest["codebook_size"]

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the base tokenizer."""
        return self.manifest["fingerprint"]


def is_encoded(path: str | Path) -> bool:
    """Tell whether ``path`` is a folder with a manifest."""
    return (Path(path) / MANIFEST).is_file()


def read_manifest(path: str | Path) -> dict[str, Any]:
    """Read the manifest of an encoded dataset, whole or not.

    Raises:
        InputError: If it is damaged or of a newer format.
    """
    file = Path(path) / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        version = manifest["format_version"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{file}: damaged; encode again into another --out") from None
    if version > FORMAT_VERSION:
        raise InputError(f"{file}: written by a newer mixlm (format {version}); upgrade with pip install -U mixlm")
    return manifest


def write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest in one step, so that it is never half there."""
    with whole_file(path / MANIFEST) as file:
        file.write(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


def load_encoded(path: str | Path) -> EncodedData:
    """Open a whole encoded dataset.

    Raises:
        InputError: If there is none, or it is unfinished.
    """
    path = Path(path)
    if not is_encoded(path):
        raise InputError(f"{path}: no {MANIFEST}, so no encoded dataset; make one with mixlm-encode")
    manifest = read_manifest(path)
    if not manifest["complete"]:
        raise InputError(f"{path}: encoding has not finished; run the mixlm-encode command of it again to go on")
    return EncodedData(path, manifest, _load_split(path, manifest, "train"), _load_split(path, manifest, "valid"))


def _load_split(path: Path, manifest: dict[str, Any], split: str) -> Any:
    from datasets import Dataset

    files = [str(path / name) for name in manifest["shards"][split]]
    missing = next((file for file in files if not Path(file).is_file()), None)
    if missing:
        raise InputError(f"{missing}: listed in {MANIFEST} and not there; encode again into another --out")
    if not files:
        return None
    # beside the shards, so that it goes when they go; elsewhere for data that somebody else owns
    cache = str(path / ".cache") if os.access(path, os.W_OK) else None
    return Dataset.from_parquet(files, cache_dir=cache)
