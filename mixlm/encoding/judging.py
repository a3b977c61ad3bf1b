"""Whether the figures of a codebook are good, and what to change where they are not."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from vqvae.options import PAPERS_CODES, VQVAEModelOptions


LITTLE_CARRIED = 0.1  # nats a code
POORLY_FORETOLD = 0.5  # share of codes
ENOUGH_PROBED = 500  # steps; a probe of fewer may have learned too little to call a code hard to foretell
UNLEARNED = 0.5  # latents count as not learned if fewer than this part of the predictable codes is right
FEW_CODES = 2.0  # perplexity of codes that are nearly one


class Judged(NamedTuple):
    """A figure of a codebook.

    Attributes:
        name: What it is, in few words.
        value: As it is shown.
        meaning: What it says, in a sentence.
        good: Whether it is good; None: by itself it is neither.
        advice: What to try where it is not; else empty.
    """

    name: str
    value: str
    meaning: str
    good: bool | None = None
    advice: str = ""


def carried_by(codes: Mapping[str, float]) -> float:
    """Return what a code carries for the rest, by the probe: nats that next step and solution cost less with it."""
    return sum(codes[f"{kind}_without"] - codes[f"{kind}_with"] for kind in ("next", "solution"))


def advice_on(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return what to change about the codes of an encoded dataset that was probed: a line for each poor figure.

    Returns:
        ``carried``, where codes carry next to nothing for the rest; ``foretold``, where they are hard to foretell.
    """
    codes = manifest["codebook"]
    papers = [name for name, value in PAPERS_CODES.items() if manifest[name] == value]
    other = [f"--{name} {getattr(VQVAEModelOptions, name)}" for name in papers]
    advice = {}
    if carried_by(codes) < LITTLE_CARRIED:
        advice["carried"] = f"what follows hardly depends on codes; try {', '.join([*other, 'more --steps'])}"
    if codes["prior_top1"] < POORLY_FORETOLD:
        tries = ", ".join([*other, "fewer codes", "more --steps"])
        short = f"; but {codes['probe_steps']} steps may have been too few to foretell it"
        advice["foretold"] = f"hard to foretell is hard to write; try {tries}{short * _short(codes)}"
    return advice


def _short(codes: Mapping[str, float]) -> bool:
    """Tell whether the probe was trained too shortly for a poor figure of its to say much."""
    return codes["probe_steps"] < ENOUGH_PROBED


def judge(manifest: Mapping[str, Any]) -> list[Judged]:
    """Return the figures of an encoded dataset's codebook, those that can be judged first.

    Args:
        manifest: Of the dataset.
    """
    codes = manifest["codebook"]
    found = _probed(manifest) if "probe_steps" in codes else []
    used = f"{codes['codes_used']} of {codes['codebook_size']}"
    found.append(Judged("codes in use", used, f"their frequencies are worth {codes['perplexity']:.1f} equal ones"))
    if codes.get("code_gap") is not None:
        meaning = f"tokens of a step cost {codes['ce_right']:.2f} nats with its code, {codes['ce_none']:.2f} without"
        found.append(Judged("what a code says of its own text", f"{codes['code_gap']:.2f} nats a token", meaning))
    meaning = f"read back from the code; {codes['unigram_accuracy']:.0%} by always saying the most frequent token"
    found.append(Judged("tokens read back right", f"{codes['token_accuracy']:.0%}", meaning))
    if "codes_trained" in codes and codes["codes_merged"] < codes["codes_trained"]:
        value = f"{codes['codes_trained']} to {codes['codes_merged']}"
        found.append(Judged("codes after merging", value, "codes that predict the same were made one"))
    return found


def _probed(manifest: Mapping[str, Any]) -> list[Judged]:
    """Return what the probe tells, which has bounds between good and poor."""
    codes, advice = manifest["codebook"], advice_on(manifest)
    carried, foretold = carried_by(codes), codes["prior_top1"]
    return [
        Judged(
            "what a code carries for what follows",
            f"{carried:.2f} nats",
            f"next step and solution cost so much less with it; below {LITTLE_CARRIED} nats that is next to nothing",
            carried >= LITTLE_CARRIED,
            advice.get("carried", ""),
        ),
        Judged(
            "how well a code is foretold",
            f"{foretold:.0%}",
            f"a small model's likeliest code is right so often, given prompt and codes before; a language model "
            f"should reach it, and below {POORLY_FORETOLD:.0%} it is hard to write",
            True if foretold >= POORLY_FORETOLD else None if _short(codes) else False,
            advice.get("foretold", ""),
        ),
    ]
