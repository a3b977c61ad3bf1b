"""What a manifest of an encoded dataset tells, for tests that need no dataset. Imports nothing, for scripts."""

from typing import Any


CODEBOOK = {  # figures of one, without a probe
    **{"codebook_size": 4, "codes_used": 3, "perplexity": 2.5, "measured_on": "valid", "code_gap": 0.5},
    **{"ce_right": 1.0, "ce_none": 1.5, "token_accuracy": 0.75, "unigram_accuracy": 0.25},
}


def whole_manifest(**told: Any) -> dict[str, Any]:
    """Return all that the manifest of a whole dataset tells, of nothing in particular, and ``told``."""
    return {
        "format_version": 1,
        "complete": True,
        "dtype": "float32",
        "skip_bad_rows": False,
        "template": {},
        "arguments": {"answer_pattern": None},
        "fingerprint": "",
        "tokenizer": "",
        "model": "model.yaml",
        "check": "exact",
        "codebook": CODEBOOK,
        "counts": {"train": {"samples": 1}, "valid": {"samples": 0}},
        "shards": {"train": [], "valid": []},
        "align": "fixed",
        "objective": "reconstruction",
        "chunk_length": 4,
        "compression_rate": 4,
        "codebook_size": 4,
        **told,
    }
