"""How answers are decoded, and how many latents they may or must hold: the values of ``--latents``."""

import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, get_args

from mixlm.errors import InputError
from vqvae.errors import require_between
from vqvae.option_types import require_types, shown


_VALUE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?%|[0-9]{1,9}")  # of digits that every option can have
_REMEDY = "choose free, text, max:N, exact:N or direct"
_Kind = Literal["free", "text", "max", "exact", "direct"]
MOST_NEW_TOKENS = 512
MOST_LATENTS = 10**9
MOST_THOUGHTS = 10_001
MOST_SAMPLES = 10_001
LEAST_TEMPERATURE = 1e-6  # logits divided by less are no numbers
Decoding = Literal["plain", "kind"]
DECODING: Decoding = "plain"  # unless told otherwise


@dataclass(frozen=True)
class LatentMode:
    """How latents are decoded.

    Attributes:
        kind: "free": the model decides; "text": none; "max": at most ``count``; "exact": precisely that many;
            "direct": neither latents nor trace, for the answer's marker is given.
        count: Number of latents of "max" and "exact".
        share: In place of ``count``: the share of the sample's own codes, from 0 to 1.
    """

    kind: _Kind = "free"
    count: int | None = None
    share: Fraction | None = None

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            InputError: If there is no such kind, or a number is missing, one too many or out of its range.
        """
        count = self.count is None or type(self.count) is int and 0 <= self.count < MOST_LATENTS
        share = self.share is None or type(self.share) in (int, float, Fraction) and 0 <= self.share <= 1
        numbers = (self.count is not None) + (self.share is not None)
        if not (self.kind in get_args(_Kind) and count and share and numbers == (self.kind in ("max", "exact"))):
            raise InputError(f"{self!r}: no such mode; {_REMEDY}")

    def __str__(self) -> str:
        """Return the mode as a user types it."""
        if self.share is not None:
            return f"{self.kind}:{float(self.share * 100):g}%"
        return self.kind if self.count is None else f"{self.kind}:{self.count}"

    @property
    def wants_latents(self) -> bool:
        """Whether the mode asks for latents, which not every method writes."""
        return self.kind in ("exact", "max") and bool(self.count or self.share)

    def resolve(self, own_codes: int) -> "LatentMode":
        """Turn a share into a number of latents, halves rounded up, for a sample whose trace has ``own_codes`` codes.

        >>> str(LatentMode("exact", share=Fraction(1, 2)).resolve(5))
        'exact:3'
        """
        if self.share is None:
            return self
        return LatentMode(self.kind, count=int(self.share * own_codes + Fraction(1, 2)))


@dataclass(frozen=True)
class GenerationOptions:
    """How answers are decoded; greedily unless a sampling setting is given.

    Attributes:
        max_new_tokens: Longest answer, latents and delimiters included; the model's context may end it earlier. None:
            512, or where reference answers are known twice the longest of them.
        latents: How many latents an answer holds; may be given as text, such as "exact:2".
        temperature: Divides the logits before sampling; None: 1 if ``top_k`` or ``top_p`` is given, else greedy.
        top_k: Sample from the ``top_k`` likeliest tokens that the grammar allows; 0: from all.
        top_p: Sample from the likeliest tokens that together reach this probability; 1: from all.
        seed: Seed of the sampling; with the same prompts and batch size it gives the same answers.
        batch_size: Answers decoded at once.
        samples: Answers to each prompt.
        thoughts: Number of continuous thoughts, in place of the method's own.
        decoding: What greedy decoding takes. "plain": the likeliest token; "kind": the likeliest kind of token, the
            delimiter of a span or any other, and of this kind the likeliest. Sampling draws from the same distribution
            with both. None: ``DECODING``.
    """

    max_new_tokens: int | None = None
    latents: LatentMode = field(default_factory=LatentMode)
    temperature: float | None = None
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    batch_size: int = 32
    samples: int = 1
    thoughts: int | None = None
    decoding: Decoding | None = None

    def __post_init__(self) -> None:
        """Read a mode that is given as text, and check the numbers.

        Raises:
            InputError: If it is no mode, a number is out of its range, there is no such decoding, or greedy decoding
                is to give several samples.
        """
        object.__setattr__(self, "latents", parse_latent_mode(self.latents))
        require_types(self)
        bounds = {"max_new_tokens": (1,), "batch_size": (1,)}
        bounds |= {"samples": (1, MOST_SAMPLES), "thoughts": (0, MOST_THOUGHTS)}
        for name, bound in bounds.items():
            if getattr(self, name) is not None:
                require_between(name, getattr(self, name), *bound)
        if self.temperature and self.temperature < LEAST_TEMPERATURE:
            raise InputError(
                f"--temperature {self.temperature}: give 0, that is greedy, or {LEAST_TEMPERATURE} and up"
            )
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p {self.top_p}: must be above 0 and at most 1")
        if self.samples > 1 and not self.sampling:
            raise InputError("--samples: greedy decoding gives the same answer every time; add --temperature 1")

    @property
    def sampling(self) -> bool:
        """Whether tokens are drawn at random; a temperature of 0 is greedy whatever else is set."""
        return self.temperature != 0 and (self.temperature is not None or self.top_k > 0 or self.top_p < 1)


def parse_latent_mode(text: str | LatentMode) -> LatentMode:
    """Read one mode: ``free``, ``text``, ``direct``, ``max:N`` or ``exact:N``; N may also be a share such as ``25%``.

    What is a mode already is returned as it is.

    Raises:
        InputError: If the text is none of these.
    """
    if isinstance(text, LatentMode):
        return text
    kind, colon, value = str(text).strip().partition(":")
    if kind in ("free", "text", "direct") and not colon:
        return LatentMode(kind)
    if kind not in ("max", "exact") or not _VALUE.fullmatch(value.strip()):
        raise InputError(f"--latents {shown(str(text))}: no such mode; {_REMEDY}")
    if not value.endswith("%"):
        return LatentMode(kind, count=int(value))
    share = Fraction(value.strip()[:-1]) / 100
    if share > 1:
        raise InputError(f"--latents '{text}': a share of a trace is at most 100%; {_REMEDY}")
    return LatentMode(kind, share=share)


def parse_latent_modes(text: str) -> list[LatentMode]:
    """Read a comma-separated list of modes; a bare value continues the mode before it.

    >>> [str(mode) for mode in parse_latent_modes("free,exact:0%,50%")]
    ['free', 'exact:0%', 'exact:50%']

    Raises:
        InputError: If a part is no mode, or the list is empty or names one twice.
    """
    modes: list[LatentMode] = []
    for part in text.split(","):
        continues = _VALUE.fullmatch(part.strip()) and modes and modes[-1].kind in ("max", "exact")
        modes.append(parse_latent_mode(f"{modes[-1].kind}:{part.strip()}" if continues else part))
    if len(set(modes)) < len(modes):
        raise InputError(f"--latents '{text}': a mode is named twice; name each once")
    return modes
