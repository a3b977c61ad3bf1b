"""ProsQA without its cues: the same words and questions, answered by no feature of the candidates.

A row of a small graph (``min_nodes=10, max_nodes=10, max_path=3``); the columns are those of ``prosqa``::

    {"question": "Carol is a brimpus. Every brimpus is a bompus. Every bompus is a sterpus. Every gorpus is a rompus.
                  Jack is a gorpus. Every bompus is a rompus. Carol is a timpus. Every quimpus is a timpus. Every
                  brimpus is a timpus. Jack is a rompus. Every quimpus is a gwompus. Every gorpus is a quimpus. Is
                  Carol a sterpus or gwompus?",
     "steps": ["Carol is a brimpus.", "Every brimpus is a bompus.", "Every bompus is a sterpus."],
     "answer": "Carol is a sterpus.", ..}

Two fair coins make it balanced. Every graph has two entities and two candidates, each candidate below one entity and
each by as many steps, and

- a coin chooses which of the entities to ask about. So whatever is computed from the graph and its text, the entity
  asked about left out, says nothing about the answer: distance from an entity, degrees, ancestors, names, order;
- the graph's edges without their directions allow the other answer, too: they can be directed so that the entities
  lead to each other's candidates, with the same nodes for entities. Both ways are drawn before a coin takes one. So
  whatever is computed from the edges without directions, the entities and the one asked about says nothing either:
  distance from it, common neighbours, number of walks.

What is left is to follow the edges in their direction from the entity asked about: that comes of the draw and holds
for all options. What combines edges with and without direction is kept even as far as ``skeletons`` says.

Graphs are as large as ProsQA's and harder to walk: of random walks from the entity that avoid dead ends of one edge,
18 % arrive, in ProsQA 43 %. They differ in that two in five concepts are below both entities, hardly ever is there a
second shortest path, and the wrong candidate is as far below its entity as the right one. Of 10 to 12 nodes 94 % of
those walks arrive, of 12 to 16 nodes 54 %, of 14 to 18 nodes 34 %: it takes some nodes to have something to search.

A graph belongs to one split for good, whichever entity it is asked about and in whichever order it is told.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from mixlm.data.reading import RawRow
from mixlm.tasks.prosqa.skeletons import draw_balanced_graph, require_room
from mixlm.tasks.prosqa.text import RowOptions, draw_rows
from mixlm.tasks.splits import SPLITS
from vqvae.option_types import require_types


__all__ = ["CHECK", "SPLITS", "Options", "generate"]

CHECK = "exact"


@dataclass(frozen=True)
class Options(RowOptions):
    """What can be chosen about the rows.

    Attributes:
        min_nodes: Entities and concepts of a graph at least; 10 or more.
        max_nodes: Entities and concepts of a graph at most; a fifth fewer on average unless the paths need them.
        min_path: Steps from an entity to its candidate at least, going the shortest way; 3 or more.
        max_path: Steps from an entity to its candidate at most; 4 for 12 nodes, and one more for every 2 nodes.
        extra_edges: Sentences to put in besides, as far as they fit; none of them opens a shorter or another way.
    """

    extra_edges: int = 0

    def __post_init__(self) -> None:
        """Raise an ``InputError`` if there are no such graphs, or no names for them."""
        require_types(self)
        require_room(self)
        self.require_names()


def generate(rows: int, split: str = "train", seed: int = 0, options: Options = Options()) -> Iterator[RawRow]:
    """Yield rows about different graphs; see ``mixlm.tasks``.

    Raises:
        InputError: If there is no such split, or there are not that many graphs.
    """
    draw = partial(draw_balanced_graph, size=options, extra_edges=options.extra_edges)
    return draw_rows(rows, split, seed, draw, options)
