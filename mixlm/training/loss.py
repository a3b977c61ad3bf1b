"""The loss of stage 2, and its parts: latents apart from text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from mixlm.model.forward import scored_labels
from mixlm.model.special_tokens import SpecialIds


if TYPE_CHECKING:
    from accelerate import Accelerator


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
            labels: (rows, length), not shifted; ``IGNORED`` is not learned.
            training: Whose sums to add to: training's or evaluation's.
            count: Labels of the whole optimizer step, which the sum is divided by; None: those of this batch.

        Returns:
            A scalar; 0 for a batch without labels.
        """
        targets = scored_labels(labels)
        chosen = logits.float()
        losses = F.cross_entropy(chosen, targets, reduction="none")
        right = self.likeliest_latents(chosen) == targets
        self.sums[training].add(losses.detach(), right, self.special.latents_in(targets))
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


class Sums:
    """Sums over labels since the last figures, on the device of the losses."""

    def __init__(self) -> None:
        self.values: torch.Tensor | None = None

    def add(self, losses: torch.Tensor, hits: torch.Tensor, latent: torch.Tensor) -> None:
        """Add one batch: losses, whether the likeliest latent was right, whether it is a latent; all (labels,)."""
        text = ~latent
        parts = [(losses * latent).sum(), latent.sum(), (hits & latent).sum(), (losses * text).sum(), text.sum()]
        batch = torch.stack([part.to(exact_type(part.device)) for part in parts])
        self.values = batch if self.values is None else self.values + batch

    def so_far(self, device: torch.device) -> torch.Tensor:
        """Return the sums, (5,)."""
        return torch.zeros(5, dtype=exact_type(device), device=device) if self.values is None else self.values

    def figures(self, accelerator: "Accelerator | None" = None) -> dict[str, float]:
        """Return ``latent_loss``, ``latent_accuracy`` and ``text_loss`` over all processes, and start again.

        Latent accuracy is the share of latents that were the likeliest of all latents. A part without labels is left
        out.
        """
        if self.values is None:
            return {}
        values = self.values if accelerator is None else accelerator.reduce(self.values, "sum")
        self.values = None
        return _figures(values.tolist())

    def mean_and_parts(
        self, device: torch.device, more: torch.Tensor | float = 0.0, accelerator: "Accelerator | None" = None
    ) -> tuple[float, dict[str, float]]:
        """Return the mean loss over all labels of all processes, and the ``figures``, and start again.

        Args:
            device: Of a process that has added nothing.
            more: Loss that belongs to no label, but to the sum.
            accelerator: Joins processes; None: this one is alone.
        """
        values = torch.cat([self.so_far(device), torch.as_tensor(more, device=device).reshape(1)])
        self.values = None
        *sums, more = (values if accelerator is None else accelerator.reduce(values, "sum")).tolist()
        return (sums[0] + sums[3] + more) / max(sums[1] + sums[4], 1), _figures(sums)


def _figures(sums: Sequence[float]) -> dict[str, float]:
    latent_loss, latents, hits, text_loss, texts = sums
    figures = {"text_loss": text_loss / texts} if texts else {}
    if latents:
        figures |= {"latent_loss": latent_loss / latents, "latent_accuracy": hits / latents}
    return figures


def exact_type(device: torch.device) -> torch.dtype:
    """Return the type in which a device sums most exactly; Apple's have no float64."""
    return torch.float32 if device.type == "mps" else torch.float64
