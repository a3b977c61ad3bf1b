"""Which token may come next: latents stay inside delimiters, as many as asked for, and kinds go before tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import functional as F
from transformers import LogitsProcessor

from mixlm.errors import InputError
from mixlm.generation.options import LatentMode
from mixlm.methods.base import Spans
from mixlm.model.special_tokens import SpecialIds


UNBOUNDED = 2**31
LIKELIER = 0.5  # the share of probability above which a token is likelier than all others together


@dataclass(frozen=True)
class SpanLimits:
    """Bounds on the latents of every row of a batch.

    Attributes:
        least: Latents before ``<eoLatent>`` may come, (rows,).
        most: Latents after which ``<eoLatent>`` must come, (rows,); 0: no span.
        required: Whether the answer must open with a span, (rows,).
        spans: Where spans may be, as in ``Method``.
    """

    least: torch.Tensor
    most: torch.Tensor
    required: torch.Tensor
    spans: Spans


def span_limits(modes: Sequence[LatentMode], spans: Spans, device: torch.device | str = "cpu") -> SpanLimits:
    """Return the bounds that the modes of a batch's rows set.

    Args:
        modes: Mode of each row, shares resolved.
        spans: Where the method's answers may hold latents.
        device: Where the logits will be.

    Raises:
        InputError: If a mode asks for latents that the method does not write.
    """
    least, most, required = [], [], []
    for mode in modes:
        exact = mode.count if mode.kind == "exact" else 0
        if exact and spans == "none":
            raise InputError(f"--latents {mode}: the run's method writes no latents; choose free or text")
        bounded = {"free": UNBOUNDED, "text": 0}.get(mode.kind, mode.count)
        least.append(exact)
        most.append(0 if spans == "none" else bounded)
        required.append(exact > 0)
    return SpanLimits(*(torch.tensor(bound, device=device) for bound in (least, most, required)), spans)


class Place(NamedTuple):
    """What was written before a token, of many tokens at once, (places,) each.

    Attributes:
        start: Whether nothing was.
        inside: Whether a span is open.
        count: Latents so far.
        opened: Whether the last token opened a span.
        closed: Whether the last token closed one.
    """

    start: torch.Tensor
    inside: torch.Tensor
    count: torch.Tensor
    opened: torch.Tensor
    closed: torch.Tensor


class Kinds(NamedTuple):
    """Which kinds of tokens may come at places, (places,) each."""

    text: torch.Tensor
    latent: torch.Tensor
    opens: torch.Tensor
    closes: torch.Tensor
    ends: torch.Tensor


def kinds_at(place: Place, limits: SpanLimits) -> Kinds:
    """Return what may come at places, with the limits of each."""
    full = place.count >= limits.most
    text = torch.where(place.start, ~limits.required, ~place.inside)
    if limits.spans == "mixed":
        text = text | (place.inside & ~full)
    opens = ~full & ~place.inside & ~place.closed
    if limits.spans != "anywhere":
        opens = opens & place.start
    closes = place.inside & ~place.opened & (place.count >= limits.least)
    return Kinds(text, place.inside & ~full, opens, closes, text & ~place.inside)


def place_after(written: torch.Tensor, special: SpecialIds) -> Place:
    """Return the place after each row of what was written, (rows, any)."""
    opens, closes, latents = _kinds_of(written, special)
    start = torch.full((len(written),), written.shape[1] == 0, device=written.device)
    opened, closed = (torch.zeros_like(start) if written.shape[1] == 0 else ids[:, -1] for ids in (opens, closes))
    return Place(start, opens.sum(1) > closes.sum(1), latents.sum(1), opened, closed)


def places_in(written: torch.Tensor, special: SpecialIds) -> Place:
    """Return the places before, between and after the tokens of one answer, (length,): length + 1 of them."""
    opened, closed, latent = (F.pad(kind, (1, 0)) for kind in _kinds_of(written, special))
    start = torch.arange(len(latent)) == 0
    return Place(start, opened.cumsum(0) > closed.cumsum(0), latent.cumsum(0), opened, closed)


def _kinds_of(written: torch.Tensor, special: SpecialIds) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return which tokens open a span, which close one, and which are latents, each in the shape of ``written``."""
    opens, closes = (written == (-1 if token is None else token) for token in (special.bo_latent, special.eo_latent))
    return opens, closes, special.latents_in(written)


class LatentGrammar(LogitsProcessor):
    """Forbids every token that the method's answers cannot hold at that place.

    A span is ``<boLatent>``, latents, ``<eoLatent>``, never empty. It may open an answer ("prefix", "mixed") or come
    anywhere in it, though not right after another ("anywhere"); in a "mixed" span there may be text too. Limits count
    all latents of an answer, so one with exactly N has them in one span at its start. Tokens of other methods and rows
    of the matrix that stand for no token never come.

    The state of a row follows from its generated ids, so nothing is kept between steps: the processor serves any
    number of ``generate`` calls over the same rows.

    Args:
        special: Ids of the run's tokens.
        limits: Bounds of each row.
        prompt_width: Length of the padded prompts, after which the answers begin.
        tokens: Ids of tokens are below this; logits beyond it are of spare rows.
        ends: Ids at which an answer ends, beside the run's own end: they, too, come only where it may end.
    """

    def __init__(
        self, special: SpecialIds, limits: SpanLimits, prompt_width: int, tokens: int, ends: Sequence[int] = ()
    ) -> None:
        self.special, self.limits, self.prompt_width, self.tokens = special, limits, prompt_width, tokens
        self.ends = {special.eos, *(end for end in ends if end < tokens)}
        self._not_text: torch.Tensor | None = None

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Return ``scores`` with minus infinity for forbidden tokens.

        Args:
            input_ids: Padded prompts and what was generated so far, (rows, length).
            scores: Logits of the next token, (rows, vocabulary); left as they are.
        """
        if self._not_text is None:
            self._not_text = scores.new_zeros(scores.shape[1])
            self._not_text[self.special.present()] = -torch.inf
            self._not_text[self.tokens :] = -torch.inf
        if self.special.bo_latent is None:
            return scores + self._not_text
        return self._with_spans(scores, self._not_text, input_ids[:, self.prompt_width :])

    def _with_spans(self, scores: torch.Tensor, not_text: torch.Tensor, written: torch.Tensor) -> torch.Tensor:
        """Return ``scores`` (rows, vocabulary) of what may follow the tokens ``written``, (rows, any).

        Over the whole vocabulary minus infinities are added, ``not_text`` (vocabulary,) and one for each row: that
        takes a quarter of the time of filling by a mask, and this is done at every step.
        """
        special, latents = self.special, self.special.latent_ids
        may = kinds_at(place_after(written, special), self.limits)
        allowed = (scores + _penalty(may.text, scores)).add_(not_text)
        for tokens, own in (
            (slice(latents.start, latents.stop), may.latent),
            (slice(special.bo_latent, special.bo_latent + 1), may.opens),
            (slice(special.eo_latent, special.eo_latent + 1), may.closes),
            *((slice(end, end + 1), may.ends) for end in self.ends),
        ):
            allowed[:, tokens] = scores[:, tokens] + _penalty(own, scores)
        return allowed


class KindFirst(LogitsProcessor):
    """Makes greedy decoding compare kinds of tokens before tokens.

    A span opens or ends by one token and goes on by one of many, which share their probability: the likeliest token
    may be the end of a span that most probably goes on. So a delimiter may come only where it is likelier than all
    other allowed tokens together: the end of a span than all latents (in a "mixed" span than latents and text), its
    opening than all text, at every place where one may open. A delimiter that may come is the likeliest token; where
    it may not, the likeliest of the others follows. Where the grammar leaves no choice, nothing changes.

    Args:
        special: Ids of the run's tokens, with delimiters.
    """

    def __init__(self, special: SpecialIds) -> None:
        self.delimiters = [special.bo_latent, special.eo_latent]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Return ``scores`` with minus infinity for a delimiter that is no likelier than the rest.

        Args:
            input_ids: What was written so far, (rows, length); not looked at.
            scores: Logits of what the grammar allows, at most one delimiter in a row, (rows, vocabulary); left as they
                are.
        """
        delimiters = scores[:, self.delimiters]
        if (delimiters == -torch.inf).all():  # text after a span, which is most of an answer
            return scores
        shares, kept = scores.softmax(1)[:, self.delimiters], scores.clone()
        kept[:, self.delimiters] = delimiters.masked_fill(shares <= LIKELIER, -torch.inf)
        return kept


def _penalty(may: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Return 0 for the rows that may, and minus infinity for the others, (rows, 1)."""
    return torch.where(may, 0.0, -torch.inf).to(scores.dtype)[:, None]
