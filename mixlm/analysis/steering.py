"""Do answers follow from the latents? Every question is answered with the latents of another one.

The model first answers with latents that it writes itself, then once more after the latents that it wrote for another
question: as many as its own, not the very same ones, and for an answer that is not its own. Where latents carry the
reasoning, the answer becomes that of the other question; where they are an ornament, it stays. Right or wrong plays no
part in this, so that a model that errs is judged as well; how often it is right is told beside it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mixlm.analysis.finding import Finding, error_bars
from mixlm.analysis.interventions import openings_of
from mixlm.data.tables import Row
from mixlm.errors import InputError
from mixlm.evaluation.checks import CheckName, same_answer
from mixlm.evaluation.evaluate import answer_all
from mixlm.evaluation.measuring.records import score
from mixlm.evaluation.measuring.requests import requests_of
from mixlm.evaluation.statistics import wilson_interval
from mixlm.generation.answerer import Answerer, Request
from mixlm.generation.answers import Answer
from mixlm.generation.options import GenerationOptions, LatentMode, parse_latent_modes
from mixlm.run import Run


if TYPE_CHECKING:
    from matplotlib.axes import Axes


MODES = tuple(parse_latent_modes("free,exact:100%"))  # as the model likes, and all of the trace as latents
_OUTCOMES = ("the other's", "its own", "neither")


@dataclass(frozen=True)
class OwnAnswers:
    """What the model writes by itself to every row.

    Attributes:
        openings: The span of latents that each answer begins with; empty if it has none.
        answers: What stands in the answer's place; None where nothing does.
        right: Whether that is right.
    """

    openings: list[list[int]]
    answers: list[str | None]
    right: list[bool]


class Steering:
    """Rows whose latents are exchanged.

    Args:
        answerer: The run.
        rows: Tokenized rows.
        options: How to decode, but for the latents; greedy.
        check: How answers are compared, with the right ones and with each other.

    Raises:
        InputError: If the run's method writes no latents that could be exchanged, or decoding is not greedy.
    """

    def __init__(self, answerer: Answerer, rows: Sequence[Row], options: GenerationOptions, check: CheckName) -> None:
        _require_codes(answerer.run)
        if options.sampling or options.samples > 1:
            raise InputError("greedy answers are compared; leave out --temperature, --top-k and --top-p")
        self.answerer, self.rows, self.options, self.check = answerer, rows, options, check

    def table(self, mode: LatentMode) -> list[dict[str, Any]]:
        """Return what happens to the answers in one mode of decoding; nothing where no two rows make a pair.

        Columns: ``latents``, the mode; ``given``, whose latents; ``answer``, what the answer then is; ``share`` of the
        ``of`` answers with its 95 % Wilson interval ``low`` .. ``high``. With their own latents: how many answers are
        right, how many are the other question's anyway, which is chance, and how many have the very latents of the
        other. Where neither is so, with the other question's: how many become the other's, stay their own or become a
        third.
        """
        written = self._write(mode)
        drawn = exchange([len(opening) for opening in written.openings])
        told = [pair for pair in drawn if None not in (written.answers[pair[0]], written.answers[pair[1]])]
        alike = [self._same(written.answers[taker], written.answers[giver]) for taker, giver in told]
        equal = [written.openings[taker] == written.openings[giver] for taker, giver in told]
        pairs = [pair for pair, *same in zip(told, alike, equal, strict=True) if not any(same)]
        if not pairs:
            return []
        outcomes = self._exchanged(written, pairs)
        shares = [
            ("own", "right", written.right),
            ("own", "the other's", alike),
            ("own", "the other's latents", equal),
        ]
        shares += [("the other's", name, [found == name for found in outcomes]) for name in _OUTCOMES]
        return [_share(str(mode), *share) for share in shares]

    def _write(self, mode: LatentMode) -> OwnAnswers:
        """Let the model write its own latents, and answer after them."""
        run, options = self.answerer.run, replace(self.options, latents=mode)
        answers = answer_all(self.answerer, requests_of(self.answerer, self.rows, mode), options)
        openings = openings_of(answers, run)
        if run.method.spans == "anywhere":  # the first span alone is exchanged, so no other may decide the answer
            answers = self._after(openings, range(len(self.rows)))
        records = score(self.answerer, answers, self.rows, str(mode), self.check)
        return OwnAnswers(openings, [one["answer"] for one in records], [one["right"] for one in records])

    def _after(self, openings: Sequence[list[int]], places: Sequence[int]) -> list[Answer]:
        """Answer the rows at ``places`` after the spans given, in text."""
        asked = [
            Request(self.rows[place]["prompt_ids"], f"row {self.rows[place]['row']}", opening=opening)
            for place, opening in zip(places, openings, strict=True)
        ]
        return answer_all(self.answerer, asked, self.options)

    def _exchanged(self, written: OwnAnswers, pairs: Sequence[tuple[int, int]]) -> list[str]:
        """Answer the first of each pair with the latents of the second; return which of ``_OUTCOMES`` each is."""
        answers = self._after([written.openings[giver] for _, giver in pairs], [taker for taker, _ in pairs])
        found = [self.answerer.run.template.find_answer(answer.text) for answer in answers]
        return [
            self._outcome(answer, written.answers[taker], written.answers[giver])
            for answer, (taker, giver) in zip(found, pairs, strict=True)
        ]

    def _outcome(self, answer: str | None, own: str, other: str) -> str:
        if answer is not None and self._same(other, answer):
            return "the other's"
        return "its own" if answer is not None and self._same(own, answer) else "neither"

    def _same(self, first: str, second: str) -> bool:
        return same_answer(first, second, self.check)


def exchange(lengths: Sequence[int], seed: int = 0) -> list[tuple[int, int]]:
    """Return pairs (taker, giver) of places with equally long spans: each place takes and gives once, at random.

    Places without a span, and those whose length no other has, are in no pair.

    >>> sorted(exchange([3, 4, 3, 0, 0]))
    [(0, 2), (2, 0)]
    """
    alike: dict[int, list[int]] = defaultdict(list)
    for place in np.random.default_rng(seed).permutation(len(lengths)).tolist():
        alike[lengths[place]].append(place)
    groups = [places for length, places in sorted(alike.items()) if length and len(places) > 1]
    return [pair for places in groups for pair in zip(places, [*places[1:], places[0]], strict=True)]


def steering_finding(steering: Steering) -> Finding:
    """Show in each of ``MODES`` what answers follow from; the table is that of ``Steering.table``.

    Raises:
        InputError: If no two rows make a pair in any mode.
    """
    rows = [row for mode in MODES for row in steering.table(mode)]
    if not rows:
        raise InputError(
            "no two questions have equally many latents, not the same ones, and different answers; take more rows, "
            "unless the model writes the same latents to all"
        )
    method = steering.answerer.run.method_name
    title = f"{method}: answers with another question's latents, {len(steering.rows)} questions"
    return Finding("steer", title, rows, lambda axes: _draw(axes, rows))


def _require_codes(run: Run) -> None:
    if not run.method.has_pure_spans() or run.method.uses_thoughts:
        raise InputError(f"{run.path}: method '{run.method_name}' writes no latents that could be exchanged")


def _share(mode: str, given: str, answer: str, found: Sequence[bool]) -> dict[str, Any]:
    share, low, high = wilson_interval(sum(found), len(found))
    return {
        "latents": mode,
        "given": given,
        "answer": answer,
        "share": share,
        "low": low,
        "high": high,
        "of": len(found),
    }


def _draw(axes: "Axes", rows: Sequence[dict[str, Any]]) -> None:
    """Draw a bar for each share, with its interval."""
    places = np.arange(len(rows))[::-1]
    colours = ["tab:gray" if row["given"] == "own" else "tab:blue" for row in rows]
    shares = [100 * row["share"] for row in rows]
    axes.barh(places, shares, xerr=100 * error_bars(rows, "share"), color=colours, capsize=3)
    axes.set_yticks(places, [f"{row['latents']}: {row['answer']}" for row in rows])
    axes.set_xlim(0, 105)
    axes.set_xlabel("share of answers in %, 95 % interval; grey: own latents, blue: the other's")
