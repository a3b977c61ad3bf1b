"""What went wrong in a run, as its figures tell: lines that are stored with its result and printed with the table."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mixlm.encoding.judging import FEW_CODES, LITTLE_CARRIED, UNLEARNED, carried_by


MANY_CUT_OFF = 0.02  # share of answers


def alerts_of(
    modes: Mapping[str, Mapping[str, Any]],
    loss: Mapping[str, Mapping[str, Any]],
    stage1: Mapping[str, float] | None,
    latents_right: float | None,
) -> list[str]:
    """Return a line for everything that went wrong; none where nothing did.

    Args:
        modes: Figures of an evaluation by mode of decoding.
        loss: Its losses in nats, by their names.
        stage1: Figures of the codebook; None without one.
        latents_right: Share of latents whose likeliest is the right one, as training last measured it, where the codes
            are the method's latents; None: not known.
    """
    found = [f"loss {name} is not a number" for name, one in loss.items() if not math.isfinite(one["loss"])]
    found += _of_codes(stage1 or {}, latents_right)
    cut = {mode: one["cut_off"] for mode, one in modes.items() if one.get("cut_off", 0) > MANY_CUT_OFF}
    if cut:
        told = ", ".join(f"{share:.1%} {mode}" for mode, share in cut.items())
        found.append(f"answers were cut off ({told}); see whether the model ends, or give more --max-new-tokens")
    return found


def _of_codes(codes: Mapping[str, float], latents_right: float | None) -> Iterator[str]:
    """Yield what is wrong with a codebook, and whether a language model did not learn to write it."""
    if codes.get("perplexity", math.inf) < FEW_CODES:
        yield (
            f"codebook collapsed: {codes['codes_used']:.0f} of {codes['codebook_size']:.0f} codes in use, perplexity "
            f"{codes['perplexity']:.1f}; try more --steps or another --learning-rate in stage 1"
        )
    elif "next_with" in codes and carried_by(codes) < LITTLE_CARRIED:
        yield f"codes carry {carried_by(codes):.2f} nats for what follows; mixlm-encode says what to try"
    ceiling = codes.get("prior_top1")
    if latents_right is not None and ceiling is not None and latents_right < UNLEARNED * ceiling:
        yield (
            f"latents not learned: the likeliest is right for {latents_right:.1%}, and {ceiling:.1%} of codes can be "
            "foretold; try more --steps or a higher --new-token-lr"
        )


def last_latents_right(curve: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the last share of right latents on a training's curve, of held-out rows before those of training."""
    for name in ("eval_latent_accuracy", "latent_accuracy"):
        if known := [point[name] for point in curve if name in point]:
            return known[-1]
    return None
