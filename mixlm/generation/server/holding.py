"""Holding a server to what a run's answers may hold, by ordinary fields of its requests.

A server knows neither spans nor a number of latents. So each answer is looked at by the grammar that decoding here
follows: what a server wrote freely is kept up to the first token that may not come, and from there it is asked again,
with fields that leave only what may. A token that may come and is the likeliest of all is the likeliest of those that
may: greedily the answers are those of decoding here; drawn at random, they come from the same distribution.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import exp
from typing import Any

import torch

from mixlm.errors import InputError
from mixlm.generation.grammar import LIKELIER, Kinds, SpanLimits, kinds_at, places_in
from mixlm.model.special_tokens import SpecialIds


FORBIDDEN = -100  # what a server adds to a logit; the least that servers take


@dataclass(frozen=True)
class Rules:
    """What the answers of a run may hold.

    Attributes:
        special: Ids of the run's tokens.
        ends: Ids that end an answer.
        tokens: Number of tokens of its vocabulary.
        rows: Number of rows of its model's matrix, of which those beyond the tokens are spare.
    """

    special: SpecialIds
    ends: Sequence[int]
    tokens: int
    rows: int


@dataclass
class HeldAnswer:
    """One answer as a server writes it, request after request.

    Attributes:
        rules: What the run's answers may hold.
        limits: Bounds on the latents of this one, a row.
        budget: Tokens that it may have.
        kind_first: Whether a delimiter comes only where it is likelier than all other tokens together.
        bound: Whether every request leaves only what may come; else one does after a token that may not.
        ids: What was written so far.
        refused: The token that may not come and that the server wrote last; None: there is none.
        asked: Fields of the last request.
    """

    rules: Rules
    limits: SpanLimits
    budget: int
    kind_first: bool
    bound: bool
    ids: list[int] = field(default_factory=list)
    refused: int | None = None
    asked: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Write what leaves no choice."""
        self._write_forced()

    @property
    def finished(self) -> bool:
        """Whether the answer has come to its own end."""
        return bool(self.ids) and self.ids[-1] in self.rules.ends

    @property
    def done(self) -> bool:
        """Whether nothing is left to ask."""
        return self.finished or len(self.ids) >= self.budget

    def fields(self) -> dict[str, Any]:
        """Return the fields of the next request that say what may come, and how much."""
        special, room = self.rules.special, self.budget - len(self.ids)
        ends = [end for end in self.rules.ends if end != special.eos]  # that one every server knows
        self.asked = given = {"max_tokens": room, "stop_token_ids": ends}
        if self.kind_first:
            given["logprobs"] = 0  # of the tokens that are written
        if not self.bound and self.refused is None:
            return given
        may, count = self._kinds(self.ids), sum(map(special.is_latent, self.ids))
        if may.latent[-1] and not may.text[-1]:
            most, least = int(self.limits.most) - count, max(int(self.limits.least) - count, int(not may.closes[-1]))
            closes = [special.eo_latent] if self.refused != special.eo_latent and least < most else []
            given |= {"allowed_token_ids": [*special.latent_ids, *closes], "stop_token_ids": closes}
            given |= {"min_tokens": least if closes else 0, "max_tokens": min(room, most)}
        else:
            given["logit_bias"] = {str(token): FORBIDDEN for token in self._forbidden(may)}
            turns = ((special.bo_latent, may.opens), (special.eo_latent, may.closes))  # after which others may come
            turned = [token for token, come in turns if come[-1] and self.refused != token]
            given["stop_token_ids"] = [*ends, *turned]
            again = self.limits.spans == "anywhere" and count < int(self.limits.most)  # a span right after a span
            if self.ids[-1:] == [special.bo_latent] or (self.ids[-1:] == [special.eo_latent] and again):
                given["max_tokens"] = 1  # a delimiter that cannot come right after another may come after this token
        if self.refused == special.eo_latent or (self.refused == special.bo_latent and may.text[-1]):
            given["max_tokens"] = 1  # the delimiter may come again after it
        return given

    def _forbidden(self, may: Kinds) -> Iterator[int]:
        """Yield the tokens that may not come next where text may."""
        special = self.rules.special
        kept = {special.bo_latent} if may.opens[-1] else set()
        kept |= {special.eo_latent} if may.closes[-1] else set()
        kept |= {*special.latent_ids} if may.latent[-1] else set()
        yield from ({*special.present()} - kept) | ({self.refused} & {special.bo_latent, special.eo_latent} - {None})
        yield from () if may.ends[-1] else self.rules.ends
        yield from range(self.rules.tokens, self.rules.rows)

    def take(self, ids: Sequence[int], logprobs: Sequence[float] | None) -> None:
        """Keep what a server wrote, up to the first token that may not come.

        Args:
            ids: Token ids.
            logprobs: Their logarithms of probability; None where kinds do not go first.

        Raises:
            InputError: If the server has written again what its request left out, so that it would for ever.
        """
        before = len(self.ids)
        kept = self._kept(ids, logprobs)
        self.refused = None if kept == len(ids) else ids[kept]
        self.ids = [*self.ids, *ids[:kept]][: self.budget]
        if len(self.ids) == before and (self.refused is None or self._left_out(self.refused)):
            raise InputError(
                "the server does not heed logit_bias and allowed_token_ids, by which latents are held to their "
                "place; serve the run with an engine that does, such as vLLM"
            )
        stood = len(self.ids)
        self._write_forced()
        if len(self.ids) > stood:
            self.refused = None  # where it was, it could not come; here it may

    def _left_out(self, token: int) -> bool:
        """Tell whether the last request left a token out."""
        allowed = self.asked.get("allowed_token_ids", [token])
        return token not in allowed or str(token) in self.asked.get("logit_bias", {})

    def _kept(self, ids: Sequence[int], logprobs: Sequence[float] | None) -> int:
        """Return how many of the tokens may stay."""
        may, special = self._kinds([*self.ids, *ids]), self.rules.special
        delimiters = (special.bo_latent, special.eo_latent)
        for number, token in enumerate(ids):
            place = len(self.ids) + number
            unlikely = logprobs is not None and token in delimiters and exp(logprobs[number]) <= LIKELIER
            if not self._may_come(token, may, place) or (unlikely and (may.text[place] or may.latent[place])):
                return number
            if token in self.rules.ends:
                return number + 1
        return len(ids)

    def _may_come(self, token: int, may: Kinds, place: int) -> bool:
        special = self.rules.special
        if special.is_latent(token):
            return bool(may.latent[place])
        kinds = {
            special.bo_latent: may.opens,
            special.eo_latent: may.closes,
            **dict.fromkeys(self.rules.ends, may.ends),
        }
        if token in kinds:
            return bool(kinds[token][place])
        return token < self.rules.tokens and token not in special.present() and bool(may.text[place])

    def _write_forced(self) -> None:
        """Write the tokens to which there is no other."""
        special = self.rules.special
        while not self.done:
            may = self._kinds(self.ids)
            if may.text[-1] or may.latent[-1]:
                return
            self.ids.append(special.bo_latent if may.opens[-1] else special.eo_latent)

    def _kinds(self, ids: Sequence[int]) -> Kinds:
        """Return what may come before, between and after tokens."""
        return kinds_at(places_in(torch.tensor(ids, dtype=torch.long), self.rules.special), self.limits)
