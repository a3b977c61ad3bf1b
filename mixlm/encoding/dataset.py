"""The encoded dataset: what mixlm-encode writes and mixlm-train reads."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixlm.atomic_files import whole_file
from mixlm.data.template import Template
from mixlm.encoding.options import EncodingOptions
from mixlm.errors import InputError
from mixlm.model.loading import tokenizer_fingerprint
from vqvae import ChunkVQVAE, ChunkVQVAEConfig


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


def open_vqvae(folder: str | Path, dtype: Any = None) -> ChunkVQVAE:
    """Open a trained VQ-VAE.

    Raises:
        InputError: If the folder holds none.
    """
    if not (Path(folder) / "config.json").is_file():
        raise InputError(f"{folder}: no trained VQ-VAE; give the vqvae/ folder of an encoded dataset")
    try:
        return ChunkVQVAE.from_pretrained(folder, dtype=dtype).eval()
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: cannot be opened as a VQ-VAE: {' '.join(str(error).split())[:200]}") from None


TOKENS = ".mixlm-tokens"  # folder of what is tokenised already, until the end


def check_folder(out: Path, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """Return the manifest of an earlier call with the same arguments, or None for a new folder.

    Raises:
        InputError: If the folder holds something else.
    """
    if is_encoded(out):
        manifest = read_manifest(out)
        before = manifest.get("arguments", {})
        changed = sorted(name for name in before.keys() | arguments.keys() if before.get(name) != arguments.get(name))
        if changed and not _has_work(out, manifest):
            return None
        if changed:
            raise InputError(
                f"{out}: encoded with another {', '.join(changed)}; give the same arguments, or another --out"
            )
        return manifest
    if out.exists() and (not out.is_dir() or any(path.name != TOKENS for path in out.iterdir())):
        raise InputError(f"{out}: exists and is no encoded dataset; choose another --out")
    return None


def _has_work(out: Path, manifest: dict[str, Any]) -> bool:
    """Tell whether a folder holds more than the copy of a model that was given: a model in training, or codes."""
    return not manifest["arguments"]["vqvae"] or any(out.glob("*.parquet"))


def same_tokenizer(manifest: dict[str, Any] | None, tokenizer: Any) -> dict[str, Any] | None:
    """Return the manifest of an interrupted call, if there is one, after a look at the tokenizer.

    Raises:
        InputError: If it is another one than before the interruption.
    """
    if manifest and manifest["fingerprint"] != tokenizer_fingerprint(tokenizer):
        raise InputError(
            f"{manifest['model']}: its tokenizer has changed since encoding was interrupted; encode into another --out"
        )
    return manifest


def first_manifest(arguments: dict[str, Any], options: EncodingOptions, tokenizer: Any) -> dict[str, Any]:
    """Return the manifest of a dataset that is to be encoded.

    Raises:
        InputError: If there can be no model of the shape asked for.
    """
    ChunkVQVAEConfig(**options.shape)
    return {
        "format_version": FORMAT_VERSION,
        "complete": False,
        "fingerprint": tokenizer_fingerprint(tokenizer),
        "model": arguments["model"],
        "template": options.template.to_dict(),
        "dtype": options.dtype,
        "arguments": arguments,
    }
