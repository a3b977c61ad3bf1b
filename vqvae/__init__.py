"""Stage 1: chunks of r consecutive trace tokens to one index of a codebook each, and back."""

from importlib import import_module
from typing import Any


PARTS = ("prompt_ids", "trace_ids", "solution_ids")  # the columns of ids of a tokenized row
_HOMES = {
    "ChunkVQVAE": "vqvae.model.models",
    "ChunkVQVAEConfig": "vqvae.model.config",
    "ChunkVQVAEOutput": "vqvae.model.coder",
    "Cutting": "vqvae.model.cutting",
    "InputError": "vqvae.errors",
    "PredictiveVQVAE": "vqvae.model.models",
    "ProbeTraining": "vqvae.training.probe",
    "Reader": "vqvae.model.reader",
    "Stage1Training": "vqvae.training.train",
    "VQVAETrainingOptions": "vqvae.options",
    "evaluate_vqvae": "vqvae.metrics",
    "merge_codes": "vqvae.training.merge",
    "probe_codes": "vqvae.training.probe",
    "train_vqvae": "vqvae.training.train",
}
__all__ = sorted([*_HOMES, "PARTS"])  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that importing the package does not import torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vqvae' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
