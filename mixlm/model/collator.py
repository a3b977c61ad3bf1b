"""From sequences to tensors: one sequence a row, or several packed into rows of bounded length."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from mixlm.model.special_tokens import IGNORED


Feature = dict[str, Sequence[int]]


@dataclass(frozen=True)
class Collator:
    """Lays the sequences of one batch out as tensors; the loss does not depend on how.

    Attributes:
        pack: Put several sequences into one row; position ids that start again at 0 keep them apart.
        max_row_tokens: Longest packed row; None: the longest sequence of the batch. A longer sequence has its own row.
    """

    pack: bool = False
    max_row_tokens: int | None = None

    def __call__(self, features: Sequence[Feature]) -> dict[str, torch.Tensor]:
        """Return ``input_ids`` and ``labels``, each (rows, length), with ``attention_mask`` or ``position_ids``."""
        if not self.pack:
            return pad(features)
        longest = max(len(feature["input_ids"]) for feature in features)
        return pack(features, self.max_row_tokens or longest)


def pad(features: Sequence[Feature]) -> dict[str, torch.Tensor]:
    """Stack sequences one a row, padded on the right.

    Returns:
        ``input_ids``, ``labels`` (``IGNORED`` on padding) and ``attention_mask``, each (sequences, longest);
        ``thoughts`` too where a sequence has any.
    """
    length = max(len(feature["input_ids"]) for feature in features)
    batch = {
        "input_ids": _stack([feature["input_ids"] for feature in features], length),
        "labels": _stack([feature["labels"] for feature in features], length, IGNORED),
        "attention_mask": _stack([[1] * len(feature["input_ids"]) for feature in features], length, 0),
    }
    if any(any(feature.get("thoughts", ())) for feature in features):
        batch["thoughts"] = _stack([feature["thoughts"] for feature in features], length, 0).bool()
    return batch


def pack(features: Sequence[Feature], max_row_tokens: int) -> dict[str, torch.Tensor]:
    """Lay sequences end to end in rows of at most ``max_row_tokens``.

    No attention mask: models of transformers see from position ids that start again where a sequence begins. Unused
    places at the end of a row have position 0 each.

    Returns:
        ``input_ids``, ``labels`` (``IGNORED`` on padding), ``position_ids``, each (rows, longest row). The first label
        of a sequence must be ``IGNORED``: the token before it belongs to another sequence.
    """
    rows = [
        [features[index] for index in row] for row in fit_rows([len(f["input_ids"]) for f in features], max_row_tokens)
    ]
    length = max(sum(len(feature["input_ids"]) for feature in row) for row in rows)
    return {
        "input_ids": _stack([_join(feature["input_ids"] for feature in row) for row in rows], length),
        "labels": _stack([_join(feature["labels"] for feature in row) for row in rows], length, IGNORED),
        "position_ids": _stack(
            [_join(range(len(feature["input_ids"])) for feature in row) for row in rows], length, 0
        ),
    }


def fit_rows(lengths: Sequence[int], max_row_tokens: int) -> list[list[int]]:
    """Assign sequences to rows: longest first, each to the first row that has room (first-fit decreasing).

    >>> fit_rows([3, 5, 2, 4], max_row_tokens=7)
    [[1, 2], [3, 0]]
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        place = next((row for row, left in enumerate(room) if left >= lengths[index]), None)
        if place is None:
            place = len(rows)
            rows.append([])
            room.append(max_row_tokens)
        rows[place].append(index)
        room[place] -= lengths[index]
    return rows


def _join(parts: Iterable[Iterable[int]]) -> list[int]:
    return [token for part in parts for token in part]


def _stack(rows: Sequence[Sequence[int]], length: int, fill: int | None = None) -> torch.Tensor:
    """Return rows as one tensor, filled up with ``fill``, or with the last of each, as ids are.

    Nothing reads what fills a row of ids: padding is told by place, never by id. Yet the embedding of a padding token
    may be zero, at which some models have no gradient.
    """
    fills = [row[-1] if fill is None else fill for row in rows]
    return torch.tensor(
        [[*row, *[own] * (length - len(row))] for row, own in zip(rows, fills, strict=True)], dtype=torch.long
    )
