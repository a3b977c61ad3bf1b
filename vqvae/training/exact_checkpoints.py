"""Checkpoints that have every weight as it is trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

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

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Raise an ``InputError`` if a checkpoint lacks a weight that is not one of its others, too."""
        weights = dict(self.accelerator.unwrap_model(self.model).named_parameters(remove_duplicate=False))
        missing = {name for name in load_result.missing_keys if name in weights}
        found = {id(weight) for name, weight in weights.items() if name not in missing}
        if lost := sorted(name for name in missing if id(weights[name]) not in found):
            raise InputError(
                f"{self.args.output_dir}: its checkpoint lacks {lost[0]}; remove the folder to train anew"
            )


@contextmanager
def by_own_names(model: Any) -> Iterator[None]:
    """Let a model of transformers be saved by the names that its weights have in it; adapters have no others."""
    if not isinstance(model, PreTrainedModel):
        yield
        return
    model.save_pretrained = partial(model.save_pretrained, save_original_format=False)
    try:
        yield
    finally:
        del model.save_pretrained
