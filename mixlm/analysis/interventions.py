"""Do the latents matter? Answers to the same questions with latents or thoughts changed at inference.

Every intervention starts from the untouched greedy answer and its own latents: codes that the model wrote, or thoughts
that it computed. The latents are changed, the model continues with text, and the answer is compared with the untouched
one, sample by sample. Where accuracy stays, the answer does not depend on what was changed.

    noise:S    normal noise of standard deviation S on every vector (Cui et al. 2026 take 100); noise:2x: of twice the
               root mean square of the sample's own vectors
    zeros      zero vectors
    shuffled   the sample's own vectors in another order
    other      the latents of another sample, its number of them too
    fewer      the first half of them, rounded down
    more       half as many again, at least one more
    none       no latents at all; a thought's delimiters stay, as in the first stage of training

Codes in another order, or of another sample, are written as such, and so are other numbers of latents or thoughts: a
server can answer after them. The others, and those of thoughts, give the model vectors that no token stands for.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mixlm.analysis.finding import Finding, error_bars
from mixlm.data.tables import Row
from mixlm.errors import InputError
from mixlm.evaluation.checks import CheckName, same_answer
from mixlm.evaluation.evaluate import answer_all
from mixlm.evaluation.measuring.records import score
from mixlm.evaluation.statistics import mcnemar, paired_bootstrap_difference, wilson_interval
from mixlm.generation.answerer import Answerer, Request
from mixlm.generation.answers import Answer, is_cut_off, opening_of
from mixlm.generation.options import GenerationOptions, LatentMode
from mixlm.run import Run


if TYPE_CHECKING:
    from matplotlib.axes import Axes


DEFAULT = ("noise:1x", "noise:100", "zeros", "shuffled", "other", "fewer", "more", "none")
UNTOUCHED = "untouched"
_VECTORS = ("zeros", "shuffled", "other")
_EXCHANGED = ("shuffled", "other")
_COUNTS = ("fewer", "more", "none")
_NOISE = re.compile(r"noise:(\d+(?:\.\d+)?)(x?)")


def parse_interventions(text: str) -> list[str]:
    """Read a comma-separated list of interventions; an ``InputError`` if one is unknown."""
    kinds = list(dict.fromkeys(kind.strip() for kind in text.split(",")))
    for kind in kinds:
        if kind not in (*_VECTORS, *_COUNTS) and not _NOISE.fullmatch(kind):
            raise InputError(
                f"intervention '{kind}': there is no such one; choose from noise:S, noise:Sx, "
                f"{', '.join((*_VECTORS, *_COUNTS))}"
            )
    return kinds


def needs_model(kind: str, run: Run) -> bool:
    """Tell whether an intervention gives the model vectors that no token stands for, which a server cannot read."""
    written = (UNTOUCHED, *_COUNTS) if run.method.uses_thoughts else (UNTOUCHED, *_COUNTS, *_EXCHANGED)
    return kind not in written


@dataclass
class Untouched:
    """The untouched answers that interventions start from.

    Attributes:
        answers: One for each row.
        openings: The span of latents or thoughts that each begins with; empty if it has none.
    """

    answers: list[Answer]
    openings: list[list[int]]

    @property
    def counts(self) -> list[int]:
        """Number of latents or thoughts of each span, which has two delimiters."""
        return [max(len(opening) - 2, 0) for opening in self.openings]


class Intervener:
    """Answers the same rows again and again, with other latents each time.

    Args:
        answerer: The run; a server has the interventions that do not need the model itself.
        rows: Tokenized rows.
        options: How to decode; greedy. Noise, orders and the choice of other samples are the same in every call.

    Raises:
        InputError: If the run's method has neither latents nor thoughts, or decoding is not greedy.
    """

    def __init__(self, answerer: Answerer, rows: Sequence[Row], options: GenerationOptions) -> None:
        run = answerer.run
        if not run.method.has_pure_spans() and not run.method.uses_thoughts:
            raise InputError(f"{run.path}: method '{run.method_name}' has no latents or thoughts of its own to change")
        if options.sampling or options.samples > 1:
            raise InputError("interventions compare greedy answers; leave out --temperature, --top-k and --top-p")
        self.answerer, self.rows, self.options = answerer, list(rows), options

    def _answer(self, options: GenerationOptions | None = None, **fields: Sequence[Any]) -> list[Answer]:
        """Answer every row; ``fields`` are those of the requests, a value for each row."""
        requests = [Request(row["prompt_ids"], f"row {row['row']}") for row in self.rows]
        for name, values in fields.items():
            requests = [replace(request, **{name: value}) for request, value in zip(requests, values, strict=True)]
        return answer_all(self.answerer, requests, options or self.options)

    @cached_property
    def untouched(self) -> Untouched:
        """The answers to every row."""
        run, answers = self.answerer.run, self._answer()
        openings = openings_of(answers, run)
        kept = [place for place, one in enumerate(openings) if one or not is_cut_off(answers[place].ids, run.ids)]
        if not kept:
            raise InputError("every answer is cut off within its latents; raise --max-new-tokens, or train further")
        self.left_out = len(self.rows) - len(kept)
        self.rows, answers, openings = ([those[place] for place in kept] for those in (self.rows, answers, openings))
        if run.method.spans == "anywhere":  # the first span alone is changed, so no other may decide the answer
            answers = self._answer(opening=openings)
        return Untouched(answers, openings)

    @cached_property
    def vectors(self) -> list[torch.Tensor]:
        """The vectors of the untouched latents or thoughts of every row, (latents, width)."""
        openings, vectors = self.untouched.openings, {}

        def keep(place: int, own: torch.Tensor) -> torch.Tensor:
            """Keep the vectors of one row; change nothing."""
            return vectors.setdefault(place, own)

        keepers = [partial(keep, place) for place in range(len(openings))]
        self._answer(replace(self.options, max_new_tokens=1), opening=openings, change=keepers)
        return [vectors[place] for place in range(len(openings))]

    def answers(self, kind: str) -> list[Answer]:
        """Answer every row under the intervention ``kind``."""
        if kind == UNTOUCHED:
            return self.untouched.answers
        if kind in _COUNTS:
            return self._with_count(kind)
        if not needs_model(kind, self.answerer.run):
            return self._answer(opening=self._openings(kind))
        changes = [lambda own, other=other: other for other in self._changed_vectors(kind)]
        return self._answer(opening=self._openings(kind), change=changes)

    def altered(self, kind: str, answers: Sequence[Answer]) -> float:
        """Return in which share of the samples an intervention gave other latents or thoughts than their own."""
        own, ids = self.untouched, self.answerer.run.ids
        if needs_model(kind, self.answerer.run):
            return float(np.mean([count > (kind == "shuffled") for count in own.counts]))
        pairs = zip(answers, own.openings, strict=True)
        return float(np.mean([opening_of(answer.ids, ids) != opening for answer, opening in pairs]))

    def _openings(self, kind: str) -> list[list[int]]:
        """Return the tokens that stand where the changed latents or thoughts are."""
        own = self.untouched.openings
        if kind == "other":
            return [own[donor] for donor in self.donors()]
        return [self._reordered(place, opening) for place, opening in enumerate(own)] if kind == "shuffled" else own

    def _reordered(self, place: int, opening: list[int]) -> list[int]:
        """Return a span whose latents stand in another order."""
        inner = opening[1:-1]
        return [*opening[:1], *(inner[number] for number in self._order(place, len(inner))), *opening[-1:]]

    def _changed_vectors(self, kind: str) -> list[torch.Tensor]:
        """Return other vectors for those of all samples."""
        if kind == "other":
            return [self.vectors[donor] for donor in self.donors()]
        return [self._changed(kind, place, own) for place, own in enumerate(self.vectors)]

    def _changed(self, kind: str, place: int, own: torch.Tensor) -> torch.Tensor:
        """Return other vectors for those of one sample, (latents, width)."""
        if kind == "zeros":
            return torch.zeros_like(own)
        if kind == "shuffled":
            return own[self._order(place, len(own))]
        size, relative = _NOISE.fullmatch(kind).groups()
        scale = float(size) * (own.square().mean().sqrt() if relative and len(own) else 1.0)
        return own + scale * torch.randn(own.shape, generator=self._random(place), dtype=own.dtype).to(own.device)

    def _order(self, place: int, count: int) -> list[int]:
        """Return the order in which a sample's latents stand when shuffled: another one, but of a single latent."""
        order, own = torch.randperm(count, generator=self._random(place)).tolist(), [*range(count)]
        return order if order != own else [*own[1:], *own[:1]]

    def _random(self, place: int) -> torch.Generator:
        return torch.Generator().manual_seed(hash((0, place)) % 2**63)

    def donors(self) -> list[int]:
        """Return for each sample another one that has latents, of which there must be two; one without has itself."""
        having = [place for place, count in enumerate(self.untouched.counts) if count]
        if len(having) < 2:
            raise InputError(
                f"intervention 'other' needs two samples with latents, of {len(self.rows)} there are {len(having)}; "
                "take more rows, train further, or leave it out"
            )
        order = np.random.default_rng(0).permutation(having).tolist()
        donors = dict(zip(order, [*order[1:], *order[:1]], strict=True))
        return [donors.get(place, place) for place in range(len(self.rows))]

    def _with_count(self, kind: str) -> list[Answer]:
        """Answer with another number of latents or thoughts."""
        method, wanted = self.answerer.run.method, [new_count(kind, count) for count in self.untouched.counts]
        if method.uses_thoughts:
            return self._answer(opening=[method.span(count) for count in wanted])
        if kind == "more":
            return self._answer(latents=[LatentMode("exact", count) for count in wanted])
        return self._answer(opening=[self._shortened(kind, opening) for opening in self.untouched.openings])

    def _shortened(self, kind: str, opening: list[int]) -> list[int]:
        """Return a span of codes cut to its first half, or to nothing."""
        ids = self.answerer.run.ids
        latents = [token for token in opening if ids.is_latent(token)]
        kept = latents[: new_count(kind, len(latents))]
        return [ids.bo_latent, *kept, ids.eo_latent] if kept else []


def new_count(kind: str, count: int) -> int:
    """Return how many latents "fewer", "more" and "none" leave of ``count``; of none, none.

    >>> [new_count("fewer", 3), new_count("more", 3), new_count("more", 1), new_count("none", 3)]
    [1, 4, 2, 0]
    """
    return {"fewer": count // 2, "more": count + max(count // 2, 1) if count else 0, "none": 0}[kind]


def openings_of(answers: Sequence[Answer], run: Run) -> list[list[int]]:
    """Return the span that each answer begins with, as ``opening_of``.

    Raises:
        InputError: If a server sent text alone, of which nobody knows what latents it had.
    """
    if any(answer.ids is None for answer in answers):
        raise InputError(
            "the server returns text alone, without latents; serve the run with an engine that takes and returns ids, "
            "such as vLLM"
        )
    return [opening_of(answer.ids, run.ids) for answer in answers]


def intervention_finding(intervener: Intervener, kinds: Sequence[str], check: CheckName) -> Finding:
    """Compare every intervention with the untouched answers.

    Columns: ``intervention``; ``accuracy`` with its 95 % Wilson interval ``low`` .. ``high``; ``difference`` to the
    untouched run with its paired bootstrap interval; ``p``, McNemar's exact test; ``altered``, the share of samples
    whose latents or thoughts became others; ``changed``, of those whose answer did; ``latents``, their mean number;
    ``tokens``, the mean length.

    Args:
        intervener: The untouched run.
        kinds: Interventions.
        check: How answers are compared with the right ones.
    """
    rows, first = [], None
    for kind in (UNTOUCHED, *kinds):
        answers = intervener.answers(kind)
        records = score(intervener.answerer, answers, intervener.rows, kind, check)
        right, found = np.array([record["right"] for record in records]), [record["answer"] for record in records]
        first = (right, found) if first is None else first
        accuracy = wilson_interval(right.sum(), len(right))
        difference = paired_bootstrap_difference(right, first[0])
        told = {"intervention": kind, "accuracy": accuracy.estimate, "low": accuracy.low, "high": accuracy.high}
        told |= {"difference": difference.estimate, "difference_low": difference.low}
        told |= {"difference_high": difference.high, "p": mcnemar(right, first[0]).p_value}
        told |= {"altered": intervener.altered(kind, answers)}
        told |= {"changed": float(np.mean([_differ(*two, check) for two in zip(found, first[1], strict=True)]))}
        told |= {"latents": float(np.mean([answer.counts.latent + answer.counts.thought for answer in answers]))}
        rows.append(told | {"tokens": float(np.mean([answer.counts.total for answer in answers]))})
    title = f"{intervener.answerer.run.method_name}: accuracy with changed latents, {len(intervener.rows)} samples"
    if intervener.left_out:
        title += f" ({intervener.left_out} more were cut off within their latents)"
    return Finding("interventions", title, rows, lambda axes: _draw(axes, rows))


def _differ(now: str | None, before: str | None, check: CheckName) -> bool:
    """Tell whether one answer says something else than another; None is none."""
    return now != before and (now is None or before is None or not same_answer(before, now, check))


def _draw(axes: "Axes", rows: Sequence[dict[str, Any]]) -> None:
    """Draw a bar for each intervention, with its interval, and the untouched accuracy as a line."""
    places = np.arange(len(rows))[::-1]
    accuracy = np.array([row["accuracy"] for row in rows]) * 100
    colours = ["tab:gray" if row["intervention"] == UNTOUCHED else "tab:blue" for row in rows]
    axes.barh(places, accuracy, xerr=100 * error_bars(rows, "accuracy"), color=colours, capsize=3)
    axes.axvline(accuracy[0], color="black", linewidth=1, linestyle="--")
    axes.set_yticks(places, [row["intervention"] for row in rows])
    axes.set_xlim(0, 105)
    axes.set_xlabel("accuracy in %, 95 % interval; dashed: untouched")
