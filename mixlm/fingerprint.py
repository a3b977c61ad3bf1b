"""The base of a tokenizer: what of it decides the ids of text, without the tokens that this project added."""

import hashlib
import json
from pathlib import Path
from typing import Any

from mixlm.tokens import is_project_token


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """Return a hash of the base vocabulary, merges, normaliser and pre-tokeniser.

    This project's own tokens play no part, so a run has the fingerprint of the model it started from.

    Args:
        tokenizer: A fast tokenizer of transformers.

    Returns:
        16 hexadecimal digits.
    """
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    added = [
        (token["id"], token["content"]) for token in parts["added_tokens"] if not is_project_token(token["content"])
    ]
    decisive = {
        "model": parts["model"],
        "normalizer": parts["normalizer"],
        "pre_tokenizer": parts["pre_tokenizer"],
        "added": sorted(added),
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]


def save_base_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Save a tokenizer without this project's tokens, which only a run has."""
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer.json"
    parts = json.loads(file.read_text(encoding="utf-8"))
    parts["added_tokens"] = [token for token in parts["added_tokens"] if not is_project_token(token["content"])]
    file.write_text(json.dumps(parts, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
