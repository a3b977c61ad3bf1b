"""Telling whether two tokenizers cut text into the same ids."""

import hashlib
import json
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
