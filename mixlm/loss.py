"""The loss of stage 2, and its parts: latents apart from text."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional as F

from mixlm.tokens import SpecialIds


def scored_places(labels: torch.Tensor) -> torch.Tensor:
    """Return where a prediction is compared with a label: one place before each, (rows, length).

    Args:
        labels: (rows, length), not shifted; -100 is not learned. The first of a row is never compared.
    """
    places = torch.zeros_like(labels, dtype=torch.bool)
    places[:, :-1] = labels[:, 1:] != -100
    return places


def scored_labels(labels: torch.Tensor) -> torch.Tensor:
    """Return the labels that predictions are compared with, (places,), in the order of ``scored_places``."""
    shifted = labels[:, 1:]
    return shifted[shifted != -100]


@contextmanager
def logits_at(model: Any, places: torch.Tensor) -> Iterator[None]:
    """Let a causal LM compute its logits at ``places``, (rows, length), alone; they are (1, places, vocabulary).

    Prompts and padding have no labels, and their logits are the largest tensor of a step. What a model does to logits
    after its head, such as capping them, is done to these as to all.
    """

    def choose(_: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """Keep of the hidden states, (rows, length, width), those at the places."""
        return (inputs[0][places][None], *inputs[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(choose)
    try:
        yield
    finally:
        handle.remove()


class MixedLoss:
    """Mean cross-entropy over all labels, with sums kept for latents and text apart.

    Args:
        special: Says which labels are latents. Delimiters count as text.
    """

    def __init__(self, special: SpecialIds) -> None:
        self.special = special
        self.sums = {True: Sums(), False: Sums()}

    def __call__(
        self, logits: torch.Tensor, labels: torch.Tensor, training: bool, count: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Return the loss of one batch.

        Args:
            logits: Those at ``scored_places(labels)``, (places, vocabulary).
            labels: (rows, length), not shifted; -100 is not learned.
            training: Whose sums to add to: training's or evaluation's.
            count: Labels of the whole optimizer step, which the sum is divided by; None: those of this batch.

        Returns:
            A scalar; 0 for a batch without labels.
        """
        targets = scored_labels(labels)
        chosen = logits.float()
        losses = F.cross_entropy(chosen, targets, reduction="none")
        self.sums[training].add(losses.detach(), self.likeliest_latents(chosen) == targets, self.is_latent(targets))
        return losses.sum() / (count if count is not None else max(targets.numel(), 1))

    @torch.no_grad()
    def likeliest_latents(self, logits: torch.Tensor) -> torch.Tensor:
        """Return which latent is the likeliest, (places,), given logits, (places, vocabulary); -1 without latents.

        The end of a span takes no part: m is drawn at random, so no model can know where it comes.
        """
        ids = self.special.latent_ids
        if not ids:
            return logits.new_full((len(logits),), -1, dtype=torch.long)
        return logits[:, ids.start : ids.stop].argmax(-1) + ids.start

    def is_latent(self, targets: torch.Tensor) -> torch.Tensor:
        """Return where ``targets`` are latents, in their shape."""
        ids = self.special.latent_ids
        return (targets >= ids.start) & (targets < ids.stop)


class Sums:
    """Sums over labels since the last report, on the device of the losses."""

    def __init__(self) -> None:
        self.values: torch.Tensor | None = None

    def add(self, losses: torch.Tensor, hits: torch.Tensor, latent: torch.Tensor) -> None:
        """Add one batch: losses, whether the likeliest latent was right, whether it is a latent; all (labels,)."""
        text = ~latent
        parts = [(losses * latent).sum(), latent.sum(), (hits & latent).sum(), (losses * text).sum(), text.sum()]
        batch = torch.stack([part.double() for part in parts])
        self.values = batch if self.values is None else self.values + batch

    def report(self, accelerator: "object | None" = None) -> dict[str, float]:
        """Return ``latent_loss``, ``latent_accuracy`` and ``text_loss`` over all processes, and start again.

        Latent accuracy is the share of latents that were the likeliest of all latents. A part without labels is left
        out.
        """
        if self.values is None:
            return {}
        values = self.values if accelerator is None else accelerator.reduce(self.values, "sum")
        latent_loss, latents, hits, text_loss, texts = values.tolist()
        self.values = None
        report = {"text_loss": text_loss / texts} if texts else {}
        if latents:
            report |= {"latent_loss": latent_loss / latents, "latent_accuracy": hits / latents}
        return report
