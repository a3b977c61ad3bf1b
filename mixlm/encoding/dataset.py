"""The encoded dataset: what mixlm-encode writes and mixlm-train reads."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixlm.damage import require_whole
from mixlm.data.chat.rendering import on_one_date
from mixlm.data.samples import CheckName
from mixlm.data.tables import in_memory
from mixlm.data.template import Template
from mixlm.data.tokenization import starting_ids
from mixlm.encoding import MANIFEST, TOKENIZER, VQVAE
from mixlm.encoding.manifest import is_encoded, read_manifest
from mixlm.encoding.mapped_shards import map_shards
from mixlm.encoding.shard_files import read_shard
from mixlm.errors import InputError
from mixlm.model.tokenizers import open_tokenizer
from vqvae import ChunkVQVAEConfig
from vqvae.checksums import below
from vqvae.finite import not_a_number
from vqvae.model.models import ChunkCoder, model_class


if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast


SMALL = 2**25  # bytes of shards; of a dataset with few rows they stay in memory


@dataclass
class EncodedData:
    """An encoded dataset.

    Attributes:
        path: Its folder.
        manifest: What it is and how it was made.
        train: Rows with ``prompt_ids``, ``trace_ids``, ``solution_ids``, ``step_lengths``, ``codes`` and
            ``code_ends``.
        valid: The same, held out from stage 1; None without.
    """

    path: Path
    manifest: dict[str, Any]
    train: "Dataset"
    valid: "Dataset | None"

    @property
    def vqvae_path(self) -> Path:
        """Folder of the stage-1 model."""
        return self.path / VQVAE

    @property
    def tokenizer_path(self) -> Path:
        """Folder of the base tokenizer."""
        return self.path / TOKENIZER

    @property
    def template(self) -> Template:
        """How the samples were rendered."""
        return Template.from_dict(self.manifest["template"])

    @property
    def answer_pattern(self) -> str | None:
        """What found the answers in responses; None: the marks that are known."""
        return self.manifest["arguments"]["answer_pattern"]

    @property
    def check(self) -> CheckName:
        """How answers are compared."""
        return self.manifest["check"]

    @property
    def align(self) -> str:
        """Whether chunks have a "fixed" length or end with each "step"."""
        return self.manifest["align"]

    @property
    def chunk_length(self) -> int:
        """Trace tokens of one chunk, L, or of the longest."""
        return self.manifest["chunk_length"]

    @property
    def compression_rate(self) -> int:
        """Trace tokens of one code, r, likewise."""
        return self.manifest["compression_rate"]

    @property
    def codebook_size(self) -> int:
        """Number of codes, K."""
        return self.manifest["codebook_size"]

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the base tokenizer."""
        return self.manifest["fingerprint"]

    def told_otherwise(self, tokenizer: "PreTrainedTokenizerFast") -> str:
        """Return in words where a tokenizer of the same vocabulary makes other rows than these; empty if nowhere.

        Models of one family share a vocabulary, and end, begin or render chats in ways of their own.
        """
        own = open_tokenizer(str(self.tokenizer_path))
        other = {
            "end of sequence": own.eos_token != tokenizer.eos_token,
            "beginning of texts": starting_ids(own) != starting_ids(tokenizer),
            "chat template": self.template.chat and on_one_date(own) != on_one_date(tokenizer),
        }
        return " and ".join(name for name, differs in other.items() if differs)


def load_encoded(path: str | Path) -> EncodedData:
    """Open a whole encoded dataset; an ``InputError`` if there is none, or it is unfinished or damaged."""
    path = Path(path)
    if not is_encoded(path):
        raise InputError(f"{path}: no {MANIFEST}, so no encoded dataset; make one with mixlm-encode")
    manifest = read_manifest(path)
    if not manifest["complete"]:
        raise InputError(f"{path}: encoding has not finished; run the mixlm-encode command of it again to go on")
    for folder in (path, path / TOKENIZER, path / VQVAE):
        require_whole(folder)
    return EncodedData(path, manifest, _load_split(path, manifest, "train"), _load_split(path, manifest, "valid"))


def _load_split(path: Path, manifest: dict[str, Any], split: str) -> "Dataset | None":
    files = [below(path, name) for name in manifest["shards"][split]]
    missing = next((file for file in files if not file.is_file()), None)
    if missing:
        raise InputError(f"{missing}: listed in {MANIFEST} and not there; encode again into another --out")
    if not files:
        return None
    few = sum(file.stat().st_size for file in files) < SMALL
    return (None if few else map_shards(files)) or _read(files)


def _read(files: Sequence[Path]) -> "Dataset":
    """Return the rows of shards; nothing of them is kept on disk, where it could be of other shards."""
    import pyarrow

    tables = [read_shard(file).replace_schema_metadata() for file in files]
    return in_memory(pyarrow.concat_tables(tables).combine_chunks())


def open_vqvae(folder: str | Path, dtype: "torch.dtype | None" = None) -> ChunkCoder:
    """Open a trained VQ-VAE; an ``InputError`` if the folder holds none or is damaged, or weights are no numbers."""
    require_whole(folder)
    if not (Path(folder) / "config.json").is_file():
        raise InputError(f"{folder}: no trained VQ-VAE; give the vqvae/ folder of an encoded dataset")
    try:
        if json.loads((Path(folder) / "config.json").read_bytes()).get("model_type") != ChunkVQVAEConfig.model_type:
            raise InputError("it is a model of another type")
        config = ChunkVQVAEConfig.from_pretrained(folder)
        model, loaded = model_class(config).from_pretrained(folder, dtype=dtype, output_loading_info=True)
        if loaded["missing_keys"]:
            raise InputError(f"it has no weights for {min(loaded['missing_keys'])}")
    except MemoryError:
        raise
    except Exception as error:  # of a file that somebody has edited, transformers raises anything
        raise InputError(f"{folder}: cannot be opened as a VQ-VAE: {' '.join(str(error).split())[:200]}") from None
    broken = not_a_number(model.state_dict().items())
    if broken:
        raise InputError(f"{folder}: {broken} holds NaN or infinity; train codes anew")
    return model.eval()


def open_given(folder: str, manifest: dict[str, Any]) -> ChunkCoder:
    """Open a model that was trained before; an ``InputError`` if it was for another tokenizer than a manifest's."""
    given = open_vqvae(folder)
    if given.config.fingerprint not in ("", manifest["fingerprint"]):
        raise InputError(f"{folder}: trained for another tokenizer than that of {manifest['model']}; train a new one")
    return given
