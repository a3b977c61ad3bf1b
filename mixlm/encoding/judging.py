"""When a codebook is a poor one: bounds on its figures, for all who print or store a judgement."""

from collections.abc import Mapping


LITTLE_CARRIED = 0.1  # nats a code
POORLY_FORETOLD = 0.5  # share of codes
UNLEARNED = 0.5  # of the share of codes that can be foretold; fewer right latents are not learned
FEW_CODES = 2.0  # perplexity of codes that are nearly one


def carried_by(codes: Mapping[str, float]) -> float:
    """Return what a code carries for the rest, by the probe: nats that next step and solution cost less with it."""
    return sum(codes[f"{kind}_without"] - codes[f"{kind}_with"] for kind in ("next", "solution"))
