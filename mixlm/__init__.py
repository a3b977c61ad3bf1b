"""Stage 2: language models that reason in a mix of latent and text tokens."""

from importlib import import_module
from typing import Any


__version__ = "0.1.0"

_HOMES = {
    "Answer": "mixlm.generation.answers",
    "Endpoint": "mixlm.generation.server.endpoint",
    "EncodingOptions": "mixlm.encoding.options",
    "Engine": "mixlm.generation.engine",
    "GenerationOptions": "mixlm.generation.options",
    "InputError": "mixlm.errors",
    "LatentMode": "mixlm.generation.options",
    "METHODS": "mixlm.methods",
    "Request": "mixlm.generation.answerer",
    "Run": "mixlm.run",
    "SpecialIds": "mixlm.model.special_tokens",
    "Template": "mixlm.data.template",
    "TrainingOptions": "mixlm.training.options",
    "build_method": "mixlm.methods",
    "encode_dataset": "mixlm.encoding.encode",
    "evaluate": "mixlm.evaluation.evaluate",
    "extend_vocabulary": "mixlm.model.vocabulary",
    "load_encoded": "mixlm.encoding.dataset",
    "load_run": "mixlm.run",
    "open_rows": "mixlm.evaluation.inputs",
    "open_task": "mixlm.tasks",
    "plan_encoding": "mixlm.planning.encoding",
    "plan_training": "mixlm.planning.training",
    "thought_forward": "mixlm.model.thoughts.thinking",
    "thought_generate": "mixlm.model.thoughts.thinking",
    "train": "mixlm.training.train",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that importing the package does not import torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mixlm' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
