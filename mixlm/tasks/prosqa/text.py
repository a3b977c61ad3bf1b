"""ProsQA's words: names, sentences and rows of a graph."""

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from mixlm.data.reading import RawRow
from mixlm.errors import InputError
from mixlm.tasks.prosqa.graphs import Draw, Graph, Size, children_of, draw_shortest_path
from mixlm.tasks.splits import SPLITS, require_split, split_of


CONCEPTS = tuple(
    f"{stem}pus"
    for stem in (
        "bom boom brim chor dum fel fom ger gor grim gwom hil im jel jom ker lem lor num "
        "quim rem rom ror scrom shum ster stor ter tim tum vum wor wum yer yim yum zhor zum"
    ).split()
)
NAMES = tuple("Alex Bob Carol Davis Eva Fae Gabriel Jack Max Oliver Polly Rex Sally Sam Stella Tom Wren".split())
_FRUITLESS_DRAWS = 10_000


@dataclass(frozen=True)
class RowOptions(Size):
    """How large a graph is, and how it is told.

    Attributes:
        concepts: Names of concepts to choose from.
        trace: path writes a shortest path to the right concept, as the published rows do; search writes every sentence
            that a depth-first search follows until it is there, taking them in the order in which they are told.
    """

    concepts: int = len(CONCEPTS)
    trace: Literal["path", "search"] = "path"

    def require_names(self) -> None:
        """Raise an ``InputError`` unless there are names for the nodes of every graph."""
        if self.concepts > len(CONCEPTS):
            raise InputError(f"--concepts {self.concepts}: there are {len(CONCEPTS)} names of concepts; give no more")
        if self.max_nodes - 2 > self.concepts:
            raise InputError(
                f"--max-nodes {self.max_nodes}: 2 entities and {self.max_nodes - 2} concepts, which have "
                f"{self.concepts} names; give fewer, or up to {len(CONCEPTS)} --concepts"
            )


def draw_rows(rows: int, split: str, seed: int, draw: Draw, options: RowOptions) -> Iterator[RawRow]:
    """Yield rows about different graphs; the same arguments yield the same rows.

    Args:
        rows: How many.
        split: One of ``SPLITS``.
        seed: Of the draw.
        draw: Draws a graph, or None if that came to nothing.
        options: How the graphs are told.

    Raises:
        InputError: If there is no such split, or no further graphs are found.
    """
    require_split(split, SPLITS)
    rng, seen = random.Random(seed), set()
    given = fruitless = 0
    while given < rows:
        graph = draw(rng)
        row = write_row(rng, graph, options) if graph else None
        facts = facts_of(row["question"]) if row else ""
        digest = hashlib.sha256(facts.encode()).digest()
        if not row or digest in seen:
            if (fruitless := fruitless + 1) == _FRUITLESS_DRAWS:
                raise InputError(
                    f"--rows {rows}: {given} found and hardly more graphs of this size; give more --max-nodes or "
                    "another --min-path"
                )
            continue
        seen.add(digest)
        fruitless = 0
        if split_of(facts) == split:
            given += 1
            yield row


def facts_of(question: str) -> str:
    """Return the sentences of a question in alphabetical order, without what is asked.

    By them a row is told from another and put in a split: the same world asked about either entity, or told in another
    order, is the same.

    >>> facts_of("Every wumpus is a lempus. Tom is a wumpus. Is Tom a lempus or rempus?")
    'Every wumpus is a lempus. Tom is a wumpus.'
    """
    *facts, _ = re.split(r"(?<=\.) ", question)
    return " ".join(sorted(facts))


def write_row(rng: random.Random, graph: Graph, options: RowOptions) -> RawRow:
    """Give the nodes names and put graph, path and answer in words.

    Args:
        rng: Draws the names, the order of the sentences and that of the candidates.
        graph: Nodes without parents become entities.
        options: The names to choose from, and what the steps are.
    """
    names = _draw_names(rng, graph, options.concepts)
    told = list(graph.edges)
    rng.shuffle(told)
    candidates = [names[graph.target], names[graph.negative]]
    rng.shuffle(candidates)
    path = draw_shortest_path(rng, graph)
    followed = search_edges(told, graph.root, graph.target) if options.trace == "search" else pairwise(path)
    facts = [_sentence(names[parent], names[child]) for parent, child in told]
    return {
        "question": " ".join([*facts, f"Is {names[graph.root]} a {' or '.join(candidates)}?"]),
        "steps": [_sentence(names[parent], names[child]) for parent, child in followed],
        "answer": _sentence(names[graph.root], names[graph.target]),
        "idx_to_symbol": names,
        "edges": [list(edge) for edge in graph.edges],
        "root": graph.root,
        "target": graph.target,
        "neg_target": graph.negative,
    }


def search_edges(edges: Sequence[tuple[int, int]], root: int, target: int) -> list[tuple[int, int]]:
    """Return the edges that a depth-first search follows from ``root`` until it is at ``target``.

    From each node it takes the edges in their order, leaving out those to where it has been.

    >>> search_edges([(0, 1), (0, 2), (1, 3), (2, 1), (2, 4), (0, 4)], root=0, target=4)
    [(0, 1), (1, 3), (0, 2), (2, 4)]
    """
    children = children_of(1 + max(map(max, edges)), edges)
    followed, seen = [], {root}

    def arrives(node: int) -> bool:
        """Go on from a node; tell whether the target was found."""
        for child in children[node]:
            if child not in seen:
                seen.add(child)
                followed.append((node, child))
                if child == target or arrives(child):
                    return True
        return False

    arrives(root)
    return followed


def _draw_names(rng: random.Random, graph: Graph, concepts: int) -> list[str]:
    children = {child for _, child in graph.edges}
    entities = graph.nodes - len(children)
    people = iter(rng.sample(NAMES, entities))
    things = iter(rng.sample(CONCEPTS[:concepts], len(children)))
    return [next(things if node in children else people) for node in range(graph.nodes)]


def _sentence(child: str, parent: str) -> str:
    return f"{'' if child in NAMES else 'Every '}{child} is a {parent}."
