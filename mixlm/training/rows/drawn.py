"""What a method's mix draws on the training rows: told before training, for it decides what is learned."""

from collections.abc import Callable
from typing import NamedTuple

from mixlm.training.rows.mixed_dataset import MixedDataset


MOST_DRAWN = 2000  # samples; enough for shares in whole percents


class Mix(NamedTuple):
    """What samples are drawn.

    Attributes:
        samples: How many were looked at.
        text: Share of them without a latent.
        whole: Share in which latents stand for all of the trace that codes stand for.
        between: Share of the others, latents first and then text.
        latents: Of a sample, on average.
    """

    samples: int
    text: float
    whole: float
    between: float
    latents: float


def drawn_mix(data: MixedDataset) -> Mix | None:
    """Return what the first rows become; few rows in several epochs, unless the method has a schedule.

    Args:
        data: The training set; it is in its first epoch afterwards.

    Returns:
        The mix; None for a method that writes no latents of codes.
    """
    method, rows = data.method, min(len(data), MOST_DRAWN)
    if not method.has_text():
        return None
    epochs = 1 if method.schedule_end(data.steps_per_epoch) else MOST_DRAWN // rows
    latent_ids, text, whole, total = method.special.latent_ids, 0, 0, 0
    data.hold(0 if epochs == 1 else -1)  # a stage may be shorter than an epoch
    for epoch in range(epochs):
        data.set_epoch(epoch)
        for index in range(rows):
            latents = sum(token in latent_ids for token in data[index]["input_ids"])
            text += not latents
            whole += 0 < latents == method.latents_of(data.rows[index])
            total += latents
    data.set_epoch(0)
    data.hold(-1)
    samples = epochs * rows
    return Mix(samples, text / samples, whole / samples, 1 - (text + whole) / samples, total / samples)


def tell_mix(data: MixedDataset, say: Callable[[str], None]) -> None:
    """Say what a mix draws; of a method with a schedule, what it begins with."""
    if mix := drawn_mix(data):
        first = "at first " if data.method.schedule_end(data.steps_per_epoch) else ""
        say(
            f"mix: {first}{mix.text:.0%} of the samples all text, {mix.whole:.0%} all latent, {mix.between:.0%} in "
            f"between; {mix.latents:.1f} latents a sample ({mix.samples:,} draws)"
        )
