"""ProsQA (Hao et al. 2024, Coconut): which of two concepts is an entity, through a graph of invented concepts?

A row of a small graph (``min_nodes=7, max_nodes=9``); published ones have 14 to 28 nodes and 3 to 6 steps::

    {"question": "Every rempus is a rompus. Tom is a rompus. Every gerpus is a worpus. Every felpus is a worpus. Tom is
                  a rempus. Stella is a rorpus. Every rorpus is a felpus. Every rorpus is a gerpus. Is Stella a worpus
                  or rompus?",
     "steps": ["Stella is a rorpus.", "Every rorpus is a gerpus.", "Every gerpus is a worpus."],
     "answer": "Stella is a worpus.",
     "idx_to_symbol": ["Stella", "Tom", "rorpus", "felpus", "rempus", "gerpus", "worpus", "rompus"],
     "edges": [[0, 2], [2, 3], [1, 4], [2, 5], [5, 6], [3, 6], [4, 7], [1, 7]],
     "root": 0, "target": 6, "neg_target": 7}

Published rows: github.com/facebookresearch/coconut, folder ``data`` (MIT), in three files of 17,886, 300 and 500 rows.
``idx_to_symbol`` names the nodes, ``edges`` holds pairs (a, b) for "every a is a b", ``root`` is the entity asked
about, ``target`` the right candidate and ``neg_target`` the wrong one.

Generated rows have the published words and graphs drawn by the paper's Algorithm 1, with the choices that the
published rows show where the paper has none; see ``graphs``. A graph belongs to one split for good, whatever is
asked about it and in whichever order it is told.

Published and generated rows alike can be answered by a look. The right candidate is the farthest leaf there is and the
wrong one is any leaf of the other entity: the candidate farther from its nearest entity is right in 92 % of the rows,
the one farther from the other entities, directions left out, in 96 %. ``prosqa-balanced`` has no such cues.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mixlm.data.reading import RawRow, read_rows
from mixlm.errors import InputError
from mixlm.tasks.prosqa.graphs import draw_graph
from mixlm.tasks.prosqa.text import RowOptions, draw_rows
from mixlm.tasks.sources import find
from mixlm.tasks.splits import SPLITS, require_split
from vqvae.option_types import require_types


CHECK = "exact"
_COLUMNS = {
    "question": str,
    "steps": list,
    "answer": str,
    "idx_to_symbol": list,
    "edges": list,
    "root": int,
    "target": int,
    "neg_target": int,
}


@dataclass(frozen=True)
class Options(RowOptions):
    """What can be chosen about the rows."""

    def __post_init__(self) -> None:
        """Raise an ``InputError`` if there are no such graphs, or no names for them."""
        require_types(self)
        self.require(least_nodes=4, least_path=1)
        self.require_names()


def generate(rows: int, split: str = "train", seed: int = 0, options: Options = Options()) -> Iterator[RawRow]:
    """Yield rows about different graphs; see ``mixlm.tasks``.

    Raises:
        InputError: If there is no such split, or there are not that many graphs.
    """
    return draw_rows(rows, split, seed, partial(draw_graph, size=options), options)


def load(split: str = "train", *, source: str | Path | None = None) -> Iterator[RawRow]:
    """Yield the rows of a split in the order of the published file.

    Args:
        split: One of ``SPLITS``.
        source: The published file of the split. By default ``prosqa/prosqa_train.json``, ``prosqa_valid.json`` or
            ``prosqa_test.json`` in the folder named by ``MIXLM_DATA``.

    Yields:
        Rows with ``question``, ``steps`` and ``answer``, and the published file's other columns.

    Raises:
        InputError: If the file is not given or not there, or a row is of another kind.
    """
    require_split(split, SPLITS)
    source = source or find(f"prosqa/prosqa_{split}.json", "--source", "prosqa")
    for where, row in read_rows(source):
        for name, kind in _COLUMNS.items():
            if not isinstance(row.get(name), kind):
                raise InputError(f"{where}: no {kind.__name__} in column '{name}'; give ProsQA's own file")
        yield {name: row[name] for name in _COLUMNS}
