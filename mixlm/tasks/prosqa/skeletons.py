"""The graphs of prosqa-balanced: a skeleton, which has edges without direction, and two ways to direct it.

Nodes 0 and 1 of a skeleton are the two entities, 2 and 3 the two candidates. It holds a path from either entity to
either candidate. Directed straight, it has a way from entity 0 to candidate 2 and from 1 to 3; crossed, from 0 to 3
and from 1 to 2; neither time from an entity to both: somewhere on the other two paths an edge points back. The same
nodes are entities both times, and the candidates have no children, as in ProsQA.

A path has three edges or more: a path of two that is no way would need a candidate with a child.

What could be inferred from skeleton and directions together is kept even, too: all four paths are equally long; either
entity is as near to both candidates, by as many shortest paths without direction; both have equally many below them.
"""

import itertools
import random
from collections.abc import Sequence
from typing import NamedTuple

from mixlm.errors import InputError
from mixlm.tasks.prosqa.directions import CANDIDATES, ENTITIES, Orientation, Placing, Skeleton, add_edges, join
from mixlm.tasks.prosqa.graphs import MEAN_PARENTS, Graph, Size, poisson


_LEAST_NODES, _LEAST_PATH = 10, 3
_SHARE_OF_NODES = 0.81  # of --max-nodes, to come out at ProsQA's mean of 22.8 of 28
_SHARE_OF_ENTITIES = 0.05  # of the nodes that are on no path; ProsQA's mean is 0.56 more than two
_MORE_EDGES = 0.19  # for every node, to come out at ProsQA's mean of 36
_SHARES = {3: 41, 4: 44, 5: 13, 6: 2}  # of paths of so many edges in ProsQA
_TRIES = 300


class Twins(NamedTuple):
    """A skeleton that can be directed both ways.

    Attributes:
        skeleton: The skeleton.
        orders: Its nodes in an order in which every edge points from the earlier node to the later: straight, crossed.
    """

    skeleton: Skeleton
    orders: tuple[list[int], list[int]]

    def graph(self, crossed: int, root: int) -> Graph:
        """Return one of the four questions: its nodes are numbered in the order.

        Args:
            crossed: 0 for straight, 1 for crossed.
            root: The entity to ask about, 0 or 1.
        """
        order = self.orders[crossed]
        place = {node: number for number, node in enumerate(order)}
        edges = tuple(
            (parent, place[node])
            for node in order
            for parent in sorted(place[neighbour] for neighbour in self.skeleton.neighbours[node])
            if parent < place[node]
        )
        target = root ^ crossed
        return Graph(len(order), edges, root, place[CANDIDATES[target]], place[CANDIDATES[1 - target]])


def require_room(size: Size) -> None:
    """Raise an ``InputError`` unless graphs of this size have skeletons of every length of path."""
    size.require(_LEAST_NODES, _LEAST_PATH)
    longest = (size.max_nodes - 4) // 2  # entities, candidates, two ways and a node on each of the other two paths
    if size.max_path > longest:
        raise InputError(
            f"--max-path {size.max_path}: graphs of --max-nodes {size.max_nodes} have room for {longest}; give that, "
            f"or more nodes"
        )


def draw_balanced_graph(rng: random.Random, size: Size, extra_edges: int = 0) -> Graph | None:
    """Draw a skeleton that can be directed both ways; one fair coin directs it, another chooses the root.

    Args:
        rng: Source of the draw.
        size: What the graph has to keep to.
        extra_edges: Edges to put in besides, as far as they fit.

    Returns:
        The graph; None if none was found.
    """
    twins = draw_twins(rng, size, extra_edges)
    return twins.graph(rng.randrange(2), rng.randrange(2)) if twins else None


def draw_twins(rng: random.Random, size: Size, extra_edges: int = 0) -> Twins | None:
    """Draw the length of the paths, and skeletons until one can be directed both ways; see ``draw_balanced_graph``."""
    lengths = range(size.min_path, size.max_path + 1)
    (length,) = rng.choices(lengths, [_SHARES.get(length, 1) for length in lengths])
    for _ in range(_TRIES):
        skeleton = _draw_skeleton(rng, size, length)
        straight = _orient(rng, skeleton, 0) if skeleton else None
        crossed = _orient(rng, skeleton, 1) if straight else None
        if crossed:
            number = poisson(rng, _MORE_EDGES * len(skeleton.neighbours)) + extra_edges
            if add_edges(rng, skeleton, (straight, crossed), number):
                return Twins(skeleton, (straight.order, crossed.order))
    return None


def _draw_skeleton(rng: random.Random, size: Size, length: int) -> Skeleton | None:
    ends = rng.randint(1, length - 2)
    starts = rng.randint(0, length - 2 - ends)
    paths, laid = _lay_paths(starts, length - 1 - starts - ends, ends)
    if laid > size.max_nodes:
        return None
    drawn = 2 + sum(rng.random() < _SHARE_OF_NODES for _ in range(size.max_nodes - 2))
    count = max(drawn, laid, size.min_nodes)
    neighbours: list[list[int]] = [[] for _ in range(count)]
    for pair in (pair for row in paths for path in row for pair in itertools.pairwise(path)):
        join(neighbours, *pair)
    entities = _join_nodes(rng, neighbours, range(laid, count))
    skeleton = Skeleton(neighbours, entities, paths)
    return skeleton if skeleton.is_even() else None


def _lay_paths(starts: int, between: int, ends: int) -> tuple[list[list[list[int]]], int]:
    """Return the paths and the number of nodes on them.

    Args:
        starts: Nodes after the entity, on both paths from it.
        between: Nodes on this path alone.
        ends: Nodes before the candidate, on both paths to it.
    """
    free = itertools.count(2 + len(ENTITIES))
    first, last = ([list(itertools.islice(free, number)) for _ in range(2)] for number in (starts, ends))
    paths: list[list[list[int]]] = [[], []]
    for entity, end in itertools.product((0, 1), repeat=2):
        own = itertools.islice(free, between)
        paths[entity].append([ENTITIES[entity], *first[entity], *own, *last[end], CANDIDATES[end]])
    return paths, next(free)


def _join_nodes(rng: random.Random, neighbours: list[list[int]], nodes: Sequence[int]) -> list[int]:
    """Join every node to one or more of the nodes before it but the candidates; return all entities."""
    entities = [*ENTITIES]
    for node in nodes:
        is_entity = rng.random() < _SHARE_OF_ENTITIES
        others = [other for other in range(node) if other not in CANDIDATES and not (is_entity and other in entities)]
        number = 0
        while not number:
            number = poisson(rng, MEAN_PARENTS)
        for other in rng.sample(others, min(number, len(others))):
            join(neighbours, node, other)
        if is_entity:
            entities.append(node)
    return entities


def _orient(rng: random.Random, skeleton: Skeleton, crossed: int) -> Orientation | None:
    order = Placing(skeleton, crossed).draw(rng)
    oriented = Orientation(skeleton, crossed, order) if order else None
    return oriented if oriented and oriented.is_whole() else None
