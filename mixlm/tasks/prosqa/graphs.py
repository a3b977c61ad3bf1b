"""Graphs of concepts for ProsQA: the size of one, walks on it, and Algorithm 1 of Coconut (Hao et al. 2024, A.2).

Nodes are numbers; an edge (a, b) says "every a is a b". Nodes 0 and 1 have no parents: they are the two entities that
the two candidates descend from, each candidate from one of them alone.

Algorithm 1 draws the nodes in turn, each with a Poisson number of parents among the nodes before it, deep ones more
often. The paper leaves open how many nodes and which leaves. With these choices, and no constant fitted, the nodes,
edges, entities, leaves, in-degrees and paths are those of the published rows within the noise of sampling: 28 nodes
drawn and those without an edge dropped; parents from below node 0 alone with probability 0.35, else from below node 1
alone with probability 0.7, else from all nodes; root and target by the farthest leaf.
"""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mixlm.errors import InputError


MEAN_PARENTS = 1.5
_WEIGHT_OF_DEPTH = 1.5
_FIRST, _SECOND, _BOTH = 1, 2, 3
_SHARE_OF_FIRST, _SHARE_OF_SECOND = 0.35, 0.7  # the latter among the nodes that are not the first's


class Graph(NamedTuple):
    """A graph and the question asked about it.

    Attributes:
        nodes: Their number.
        edges: Pairs of nodes (parent, child).
        root: The entity asked about, 0 or 1.
        target: The candidate that descends from it.
        negative: The candidate that does not.
    """

    nodes: int
    edges: tuple[tuple[int, int], ...]
    root: int
    target: int
    negative: int


@dataclass(frozen=True)
class Size:
    """How large a graph may be.

    Attributes:
        min_nodes: Entities and concepts of a graph at least.
        max_nodes: Entities and concepts of a graph at most; a fifth fewer on average.
        min_path: Steps from the entity to the right concept at least, going the shortest way.
        max_path: Steps from the entity to the right concept at most.
    """

    min_nodes: int = 14
    max_nodes: int = 28
    min_path: int = 3
    max_path: int = 6

    def require(self, least_nodes: int, least_path: int) -> None:
        """Find out whether there are such graphs.

        Args:
            least_nodes: Nodes of the smallest graph there is.
            least_path: Edges of the shortest path there is.

        Raises:
            InputError: If there are none.
        """
        if not least_nodes <= self.min_nodes <= self.max_nodes:
            raise InputError(
                f"--min-nodes {self.min_nodes} and --max-nodes {self.max_nodes}: give {least_nodes} or more, and in "
                "this order"
            )
        if not least_path <= self.min_path <= self.max_path:
            raise InputError(
                f"--min-path {self.min_path} and --max-path {self.max_path}: give {least_path} or more, and in this "
                "order"
            )


Draw = Callable[[random.Random], Graph | None]


def draw_graph(rng: random.Random, size: Size) -> Graph | None:
    """Draw a graph by Algorithm 1 and choose root and candidates as the published rows show it was done.

    ``size.max_nodes`` nodes are drawn; those that remain without an edge are dropped. The root is the entity whose
    farthest leaf, of those that descend from this entity alone, is farther than the other entity's; that leaf is the
    target. The negative is any leaf that descends from the other entity alone.

    Args:
        rng: Source of the draw.
        size: What it has to keep to.

    Returns:
        The graph; None if the one drawn is of another size or has no candidates.
    """
    parents, labels = _draw_parents(rng, size.max_nodes)
    used = sorted({0, 1}.union(*(({child, *found}) for child, found in enumerate(parents) if found)))
    place = {node: number for number, node in enumerate(used)}
    edges = tuple((place[parent], place[child]) for child in used for parent in parents[child])
    if len(used) < size.min_nodes:
        return None
    choice = _choose(rng, children_of(len(used), edges), [labels[node] for node in used], size)
    return Graph(len(used), edges, *choice) if choice else None


def _draw_parents(rng: random.Random, count: int) -> tuple[list[list[int]], list[int]]:
    """Return the parents of every node, and whether node 0 (1), node 1 (2), both (3) or none (0) is its ancestor."""
    parents: list[list[int]] = [[], []]
    labels, depths = [_FIRST, _SECOND], [0, 0]
    for _ in range(2, count):
        number = poisson(rng, MEAN_PARENTS)
        pool = _pool(rng, labels)
        found = _sample_weighted(rng, pool, [1 + _WEIGHT_OF_DEPTH * depths[node] for node in pool], number)
        label = 0
        for parent in found:
            label |= labels[parent]
        parents.append(found)
        labels.append(label)
        # The rows' nodes below both entities have few children: they count as no deeper than an entity.
        depths.append(0 if label == _BOTH else min((depths[parent] + 1 for parent in found), default=0))
    return parents, labels


def _pool(rng: random.Random, labels: Sequence[int]) -> Sequence[int]:
    if rng.random() <= _SHARE_OF_FIRST:
        return [node for node, label in enumerate(labels) if label == _FIRST]
    if rng.random() <= _SHARE_OF_SECOND:
        return [node for node, label in enumerate(labels) if label == _SECOND]
    return range(len(labels))


def _sample_weighted(rng: random.Random, pool: Iterable[int], weights: list[float], count: int) -> list[int]:
    """Draw up to ``count`` different members of ``pool``, one after another."""
    rest, found = list(pool), []
    for _ in range(min(count, len(rest))):
        (chosen,) = rng.choices(range(len(rest)), weights)
        found.append(rest.pop(chosen))
        weights.pop(chosen)
    return found


def _choose(
    rng: random.Random, children: Sequence[Sequence[int]], labels: Sequence[int], size: Size
) -> tuple[int, int, int] | None:
    """Return root, target and negative."""
    distances = [distances_from(children, entity) for entity in (0, 1)]
    leaves = [
        [node for node in distances[entity] if labels[node] == label and not children[node]]
        for entity, label in ((0, _FIRST), (1, _SECOND))
    ]
    farthest = [max(distances[entity][leaf] for leaf in leaves[entity]) if leaves[entity] else 0 for entity in (0, 1)]
    root = rng.randrange(2) if farthest[0] == farthest[1] else farthest.index(max(farthest))
    # An entity without children is a leaf at distance 0.
    others = [leaf for leaf in leaves[1 - root] if leaf > 1]
    if not size.min_path <= farthest[root] <= size.max_path or not others:
        return None
    target = rng.choice([leaf for leaf in leaves[root] if distances[root][leaf] == farthest[root]])
    return root, target, rng.choice(others)


def poisson(rng: random.Random, mean: float) -> int:
    """Draw a number from a Poisson distribution (Knuth's product of uniform draws)."""
    limit, number, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        number += 1
        product *= rng.random()
    return number


def children_of(nodes: int, edges: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Return the children of every node, in the order of the edges."""
    children: list[list[int]] = [[] for _ in range(nodes)]
    for parent, child in edges:
        children[parent].append(child)
    return children


def distances_from(children: Sequence[Sequence[int]], start: int) -> dict[int, int]:
    """Return the fewest edges from ``start`` to every node that it reaches, nearest first."""
    found, waiting = {start: 0}, [start]
    for node in waiting:
        for child in children[node]:
            if child not in found:
                found[child] = found[node] + 1
                waiting.append(child)
    return found


def shortest_ways(children: Sequence[Sequence[int]], start: int) -> tuple[dict[int, int], dict[int, int]]:
    """Return the fewest edges from ``start`` to every node that it reaches, and the number of paths of so many."""
    distances, ways, waiting = {start: 0}, {start: 1}, [start]
    for node in waiting:
        distance, count = distances[node] + 1, ways[node]
        for child in children[node]:
            if child not in distances:
                distances[child], ways[child] = distance, count
                waiting.append(child)
            elif distances[child] == distance:
                ways[child] += count
    return distances, ways


def draw_shortest_path(rng: random.Random, graph: Graph) -> list[int]:
    """Return the nodes of a shortest path from the root to the target, each time any."""
    distances = distances_from(children_of(graph.nodes, graph.edges), graph.root)
    parents = children_of(graph.nodes, ((child, parent) for parent, child in graph.edges))
    path = [graph.target]
    while path[-1] != graph.root:
        nearer = distances[path[-1]] - 1
        path.append(rng.choice([parent for parent in parents[path[-1]] if distances.get(parent) == nearer]))
    return path[::-1]
