"""Tokenized rows to train on, wherever they come from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixlm.data.samples import CheckName
from mixlm.data.tables import rows_digest
from mixlm.data.template import Template
from mixlm.encoding.dataset import EncodedData
from mixlm.methods.base import Method
from mixlm.model.loading import is_scratch
from mixlm.model.tokenizers import tokenizer_digest, tokenizer_fingerprint


if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast


@dataclass
class TrainingData:
    """Tokenized rows and how they came to be.

    Attributes:
        train: Rows to learn from.
        valid: Rows to measure on; None without.
        tokenizer: The base tokenizer.
        template: How samples were rendered.
        encoded: The encoded dataset they come from; None for a raw file.
        pattern: Found the answers in responses; None: the marks that are known did.
        check: How answers are compared.
    """

    train: "Dataset"
    valid: "Dataset | None"
    tokenizer: "PreTrainedTokenizerFast"
    template: Template
    encoded: EncodedData | None = None
    pattern: str | None = None
    check: CheckName = "exact"

    @property
    def codebook_size(self) -> int:
        """Number of codes, K; 0 for a raw file."""
        return self.encoded.codebook_size if self.encoded else 0

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the base tokenizer."""
        return tokenizer_fingerprint(self.tokenizer)

    def ceiling(self, method: Method) -> float | None:
        """Return how often stage 1's codes are foretold, if the data tells it and they are the method's latents."""
        if not method.codes_mean_chunks:
            return None
        return self.encoded.manifest["codebook"].get("prior_top1")

    def identity(self, model: str) -> dict[str, str]:
        """Return hashes of what ``model`` is trained on: its tokenizer, if it brings one, and the rows.

        ``prompts`` is of all that decides prompts and ends, which vocabularies that are the same may have otherwise.
        """
        splits = {"data": self.train, "valid": self.valid}
        rows = {name: rows_digest(split) for name, split in splits.items() if split is not None}
        return (
            rows
            if is_scratch(model)
            else {"tokenizer": self.fingerprint, "prompts": tokenizer_digest(self.tokenizer), **rows}
        )
