"""Which token may come next: latents stay inside delimiters, and as many as asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import LogitsProcessor

from mixlm.errors import InputError
from mixlm.latent_mode import LatentMode
from mixlm.methods.base import Grammar
from mixlm.tokens import SpecialIds


UNBOUNDED = 2**31


@dataclass(frozen=True)
class SpanLimits:
    """Bounds on the span of latents of every row of a batch.

    Attributes:
        least: Latents before ``<eoLatent>`` may come, (rows,); above 1 only where the span is required.
        most: Latents after which ``<eoLatent>`` must come, (rows,); 0: no span.
        required: Whether the answer must open with a span, (rows,).
    """

    least: torch.Tensor
    most: torch.Tensor
    required: torch.Tensor


def span_limits(modes: Sequence[LatentMode], grammar: Grammar, device: torch.device | str = "cpu") -> SpanLimits:
    """Return the bounds that the modes of a batch's rows set.

    Args:
        modes: Mode of each row, shares resolved.
        grammar: The method's grammar.
        device: Where the logits will be.

    Raises:
        InputError: If a mode asks for latents that the method does not write.
    """
    least, most, required = [], [], []
    for mode in modes:
        exact = mode.count if mode.kind == "exact" else 0
        if exact and grammar.spans == "none":
            raise InputError(f"--latents {mode}: the run's method writes no latents; choose free or text")
        bounded = {"free": UNBOUNDED, "text": 0}.get(mode.kind, mode.count)
        least.append(max(exact, 1))
        most.append(0 if grammar.spans == "none" else bounded)
        required.append(exact > 0)
    return SpanLimits(*(torch.tensor(bound, device=device) for bound in (least, most, required)))


class LatentGrammar(LogitsProcessor):
    """Forbids every token that the method's answers cannot hold at that place.

    An answer may open with ``<boLatent>``; then come latents alone, at least one, until ``<eoLatent>``; after it, or
    without it, there is text alone. Tokens of other methods and rows of the matrix that stand for no token never come.

    The state of a row follows from its generated ids, so nothing is kept between steps: the processor serves any
    number of ``generate`` calls over the same rows.

    Args:
        special: Ids of the run's tokens.
        limits: Bounds of each row.
        prompt_width: Length of the padded prompts, after which the answers begin.
        tokens: Number of tokens of the vocabulary; logits beyond it are spare rows.
    """

    def __init__(self, special: SpecialIds, limits: SpanLimits, prompt_width: int, tokens: int) -> None:
        self.special, self.limits, self.prompt_width, self.tokens = special, limits, prompt_width, tokens
        self._not_text: torch.Tensor | None = None

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Return ``scores`` with minus infinity for forbidden tokens.

        Args:
            input_ids: Padded prompts and what was generated so far, (rows, length).
            scores: Logits of the next token, (rows, vocabulary); left as they are.
        """
        written = input_ids[:, self.prompt_width :]
        forbidden = self._forbidden_in_text(scores)
        if written.shape[1] == 0:
            forbidden = self._at_start(forbidden)
        elif self.special.bo_latent is not None:
            forbidden = self._later(forbidden, written)
        return scores.masked_fill(forbidden, -torch.inf)

    def _forbidden_in_text(self, scores: torch.Tensor) -> torch.Tensor:
        """Return what text cannot hold, (1, vocabulary), made once."""
        if self._not_text is None:
            self._not_text = torch.zeros(1, scores.shape[1], dtype=torch.bool, device=scores.device)
            self._not_text[:, self.special.present()] = True
            self._not_text[:, self.tokens :] = True
        return self._not_text

    def _at_start(self, not_text: torch.Tensor) -> torch.Tensor:
        """Return what the first token cannot be: only here may a span open."""
        forbidden = not_text | self.limits.required[:, None]
        if self.special.bo_latent is not None:
            forbidden[:, self.special.bo_latent] = self.limits.most == 0
        return forbidden

    def _later(self, not_text: torch.Tensor, written: torch.Tensor) -> torch.Tensor:
        """Return what a later token cannot be, given the tokens ``written``, (rows, at least 1)."""
        closed = (written == self.special.eo_latent).any(1)
        inside = (written[:, 0] == self.special.bo_latent) & ~closed
        count = written.shape[1] - 1  # of rows that are inside: everything after <boLatent> is a latent
        forbidden = not_text | inside[:, None]
        latents = self.special.latent_ids
        forbidden[:, latents.start : latents.stop] = (~inside | (count >= self.limits.most))[:, None]
        forbidden[:, self.special.eo_latent] = ~inside | (count < self.limits.least)
        return forbidden
