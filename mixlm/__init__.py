"""Stage 2: language models that reason in a mix of latent and text tokens."""

from importlib import import_module
from typing import Any


__version__ = "0.1.0"

_HOMES = {
    "InputError": "mixlm.errors",
    "METHODS": "mixlm.methods",
    "Run": "mixlm.run",
    "SpecialIds": "mixlm.tokens",
    "Template": "mixlm.template",
    "build_method": "mixlm.methods",
    "evaluate": "mixlm.evaluation",
    "extend_vocabulary": "mixlm.vocabulary",
    "generate": "mixlm.generation",
    "load_encoded": "mixlm.encoded",
    "load_run": "mixlm.run",
    "thought_forward": "mixlm.thoughts",
    "thought_generate": "mixlm.thoughts",
    "train": "mixlm.training",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that importing the package does not import torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mixlm' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
