"""How well each latent is predicted, beside the text that it stands for: which codes a run has learned to write."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from transformers import PreTrainedModel

from mixlm.analysis.finding import Finding
from mixlm.data.tables import Row
from mixlm.evaluation.losses import predictions
from mixlm.methods.base import Method, Trainable
from mixlm.model.special_tokens import IGNORED


if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Scored(NamedTuple):
    """Chunks of some rows, as latents or as text, predicted with everything right before them.

    Attributes:
        place: Of each chunk in its trace, from 1.
        right: Whether every token of it was the likeliest.
        nats: Its cross-entropy.
    """

    place: list[int]
    right: list[bool]
    nats: list[float]


class Guess(NamedTuple):
    """What a model expects where a token stands, with everything right before it.

    Attributes:
        token: The token.
        share: Its probability.
        likeliest: Tokens and their probabilities, the likeliest first.
    """

    token: int
    share: float
    likeliest: tuple[tuple[int, float], ...]


class ChunkedSequence(NamedTuple):
    """The chunks of one row in a sequence.

    Attributes:
        ids: The sequence.
        start: Where the first token of the first chunk stands; the others follow without a gap.
        lengths: Tokens of each chunk.
    """

    ids: list[int]
    start: int
    lengths: list[int]


def as_latents(row: Row, method: Method) -> ChunkedSequence:
    """Return the sequence of a row in which every code stands for its chunk: a token for each."""
    codes, start = len(row["codes"]), len(row["prompt_ids"]) + 1  # after the delimiter
    return ChunkedSequence(method.sequence_with(row, codes).ids, start, [1] * codes)


def as_text(row: Row, method: Method) -> ChunkedSequence:
    """Return the sequence of a row without a code: the tokens of each chunk."""
    lengths = [len(chunk) for _, chunk in method.chunks(row)]
    return ChunkedSequence(method.sequence_with(row, 0).ids, len(row["prompt_ids"]), lengths)


def score_chunks(
    model: PreTrainedModel, chunks: Sequence[ChunkedSequence], among: Sequence[int], batch_size: int = 32
) -> Scored:
    """Predict each token of each chunk from all that stands before it in its sequence (teacher forcing).

    Only the tokens ``among`` take part in a prediction. So the draw of m, which decides at random where latents end,
    is left out of it: what is measured is which latent comes, given that one does.

    Args:
        model: The causal LM.
        chunks: Of each row.
        among: Token ids.
        batch_size: Rows of one forward pass.
    """
    found, wanted = Scored([], [], []), torch.tensor(list(among), device=model.device)
    for start in range(0, len(chunks), batch_size):
        batch = chunks[start : start + batch_size]
        right, nats = _predict(model, batch, wanted)
        lengths = [length for one in batch for length in one.lengths]
        found.right.extend(bool(part.all()) for part in right.split(lengths))
        found.nats.extend(float(part.sum()) for part in nats.split(lengths))
        found.place.extend(place for one in batch for place in range(1, len(one.lengths) + 1))
    return found


def guess_tokens(
    model: PreTrainedModel, chunks: Sequence[ChunkedSequence], among: Sequence[int], top: int = 5, batch_size: int = 32
) -> list[list[Guess]]:
    """Return for each row what is expected at each token of its chunks, as ``score_chunks`` predicts them.

    Args:
        model: The causal LM.
        chunks: Of each row.
        among: Token ids.
        top: How many of the likeliest tokens are told.
        batch_size: Rows of one forward pass.
    """
    found, wanted = [], torch.tensor(list(among), device=model.device)
    for start in range(0, len(chunks), batch_size):
        batch = chunks[start : start + batch_size]
        shares, targets = _log_shares(model, batch, wanted)
        own, (best, tokens) = shares.gather(1, targets[:, None])[:, 0].exp(), shares.topk(min(top, len(wanted)))
        ranked = [tuple(zip(*pair, strict=True)) for pair in zip(tokens.tolist(), best.exp().tolist(), strict=True)]
        guesses = map(Guess, targets.tolist(), own.tolist(), ranked)
        found += [[next(guesses) for _ in range(sum(one.lengths))] for one in batch]
    return found


def _predict(
    model: PreTrainedModel, batch: Sequence[ChunkedSequence], among: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for every token of the chunks of a batch whether it is the likeliest, and its nats."""
    shares, targets = _log_shares(model, batch, among)
    right = (shares.argmax(-1) == targets).cpu()
    return right, -shares.gather(1, targets[:, None])[:, 0].cpu()


def _log_shares(
    model: PreTrainedModel, batch: Sequence[ChunkedSequence], among: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log-probabilities ``among`` some tokens for every token of the chunks of a batch, and those tokens."""
    logits, targets = predictions(model, [_trainable(one) for one in batch])
    hidden = torch.ones(logits.shape[-1], dtype=torch.bool, device=logits.device).index_fill(0, among, False)
    return logits.masked_fill(hidden, -torch.inf).log_softmax(-1), targets


def _trainable(one: ChunkedSequence) -> Trainable:
    """Return the sequence with labels at the chunks' tokens alone."""
    end = one.start + sum(one.lengths)
    labels = [token if one.start <= place < end else IGNORED for place, token in enumerate(one.ids)]
    return Trainable(one.ids, labels, [False] * len(one.ids))


def place_rows(latents: Scored, text: Scored) -> list[dict[str, Any]]:
    """Return a row for each place in the trace, and one for all of them.

    Args:
        latents: Chunks as latents.
        text: The same as text.

    Returns:
        Rows with ``place``; ``chunks``, how many there are; ``latent_right``, the share of latents that were the
        likeliest, and ``latent_nats``, their mean cross-entropy; ``text_right`` and ``text_nats``, the same of the
        text that they stand for: all of its tokens right, and their nats together.
    """
    table = []
    for place in ["all", *sorted(set(latents.place))]:
        figures = [_means(scored, place) for scored in (latents, text)]
        names = ("latent_right", "latent_nats", "text_right", "text_nats")
        values = [value for pair in figures for value in pair]
        count = len(latents.place) if place == "all" else latents.place.count(place)
        table.append({"place": str(place), "chunks": count, **dict(zip(names, values, strict=True))})
    return table


def _means(scored: Scored, place: int | str) -> tuple[float, float]:
    chosen = [i for i, own in enumerate(scored.place) if place in ("all", own)]
    return tuple(sum(values[i] for i in chosen) / len(chosen) for values in (scored.right, scored.nats))


def place_finding(rows: Sequence[dict[str, Any]], samples: int) -> Finding:
    """Return the table of ``place_rows``, and both shares over the place in the trace.

    Args:
        rows: The table.
        samples: Number of samples that it was measured on.
    """
    parts = [row for row in rows if row["place"] != "all"]

    def draw(axes: "Axes") -> None:
        """Draw the shares of right chunks over their places."""
        places = [int(row["place"]) for row in parts]
        for name, label in (("latent_right", "as a latent"), ("text_right", "as text, all its tokens")):
            axes.plot(places, [100 * row[name] for row in parts], marker="o", label=label)
        axes.set_xlabel("place of the chunk in the trace")
        axes.set_ylabel("chunks predicted right, %")
        axes.set_ylim(0, 105)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize=8)

    return Finding("places", f"chunks predicted with all before them given, {samples} samples", rows, draw)
