"""What a manifest of an encoded dataset tells, for tests that need no dataset. Imports nothing, for scripts."""

from typing import Any


def whole_manifest(**told: Any) -> dict[str, Any]:
    """Return all that the manifest of a whole dataset tells, of nothing in particular, and ``told``."""
    return {
        "format_version": 1,
        "complete": True,
        "template": {},
        "arguments": {"answer_pattern": None},
        "fingerprint": "",
        "tokenizer": "",
        "model": "model.yaml",
        "check": "exact",
        "codebook": {"measured_on": "valid"},
        "counts": {"train": {"samples": 1}, "valid": {"samples": 0}},
        "shards": {"train": [], "valid": []},
        "align": "fixed",
        "objective": "reconstruction",
        "chunk_length": 4,
        "compression_rate": 4,
        "codebook_size": 4,
        **told,
    }
