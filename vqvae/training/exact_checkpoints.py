"""Checkpoints that have every weight as it is trained."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel, Trainer

from vqvae.errors import InputError


class ExactCheckpoints(Trainer):
    """transformers' trainer, which goes on with all weights of a checkpoint or not at all.

    A model may be published under other names than its weights have in it, such as a matrix for each expert, and is
    saved under those; the trainer reads a checkpoint without translating them back, passes over what it does not find
    and says so in its log alone. So checkpoints are written by the weights' own names.
    """

    def _save(self, *args: Any, **kwargs: Any) -> None:
        """Save by the weights' own names."""
        with by_own_names(self.accelerator.unwrap_model(self.model, keep_torch_compile=False)):
            super()._save(*args, **kwargs)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Load a checkpoint, and an adapter by its weights' own names."""
        held = self._held_by_adapter(Path(resume_from_checkpoint))  # before PEFT fails at what is not there
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        self._take_adapter(held)

    def _load_best_model(self) -> None:
        """Load the best checkpoint, and an adapter by its weights' own names."""
        held = self._held_by_adapter(Path(self.state.best_model_checkpoint))
        super()._load_best_model()
        self._take_adapter(held)

    def _adapter(self) -> dict[str, torch.Tensor]:
        """Return the weights of the adapter that is trained, by their names in a checkpoint; none without one."""
        model = self.accelerator.unwrap_model(self.model)
        if isinstance(model, PreTrainedModel):
            return {}
        from peft import get_peft_model_state_dict

        return get_peft_model_state_dict(model, save_embedding_layers=False)

    def _held_by_adapter(self, folder: Path) -> dict[str, torch.Tensor]:
        """Return the weights of the adapter in a checkpoint; an ``InputError`` if it lacks one."""
        file = folder / "adapter_model.safetensors"
        if not file.is_file():
            return {}
        held = load_file(file)
        if lost := min(self._adapter().keys() - held.keys(), default=None):
            raise InputError(f"{folder}: lacks {lost}; train anew, in another --out")
        return held

    @torch.no_grad()
    def _take_adapter(self, held: Mapping[str, torch.Tensor]) -> None:
        """Give an adapter its weights of a checkpoint: PEFT renames what it reads as if it were published."""
        for name, weight in self._adapter().items() if held else ():
            if not isinstance(weight, DTensor):
                weight.copy_(held[name])

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Raise an ``InputError`` if a checkpoint lacks a weight or a state that is not one of its others, too."""
        weights = self.accelerator.unwrap_model(self.model).state_dict(keep_vars=True)
        missing = {name for name in load_result.missing_keys if name in weights}
        found = {id(weight) for name, weight in weights.items() if name not in missing}
        if lost := sorted(name for name in missing if id(weights[name]) not in found):
            raise InputError(
                f"{self.args.output_dir}: its checkpoint lacks {lost[0]}; remove the folder to train anew"
            )


@contextmanager
def by_own_names(model: Any) -> Iterator[None]:
    """Let a model of transformers be saved by the names that its weights have in it; PEFT saves adapters so."""
    if not isinstance(model, PreTrainedModel):
        yield
        return
    model.save_pretrained = partial(model.save_pretrained, save_original_format=False)
    try:
        yield
    finally:
        del model.save_pretrained
