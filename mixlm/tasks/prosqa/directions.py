"""Directing a skeleton of prosqa-balanced: an order of its nodes, and further edges that fit two orders of it at once.

Entities 0 and 1 are above everything, candidates 2 and 3 below; see ``skeletons``.
"""

import itertools
import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

from mixlm.tasks.prosqa.graphs import distances_from, shortest_ways


Item = TypeVar("Item")
ENTITIES, CANDIDATES = (0, 1), (2, 3)


class Skeleton(NamedTuple):
    """Edges without direction, and the paths laid in them.

    Attributes:
        neighbours: Of every node.
        entities: The nodes that have no parents, whichever way the edges are directed.
        paths: The nodes from entity ``e`` to candidate ``2 + c`` as ``paths[e][c]``, all equally long. ``paths[0][0]``
            and ``paths[1][1]`` share no node, nor do ``paths[0][1]`` and ``paths[1][0]``.
    """

    neighbours: list[list[int]]
    entities: list[int]
    paths: list[list[list[int]]]

    def ways(self, crossed: int) -> list[list[int]]:
        """Return the paths that are ways when it is directed straight (0) or crossed (1): from entity 0, from 1."""
        return [self.paths[entity][entity ^ crossed] for entity in (0, 1)]

    def is_even(self) -> bool:
        """Tell whether either entity is as near to both candidates, by as many shortest paths."""
        one, other = CANDIDATES
        for entity in ENTITIES:
            distances, ways = shortest_ways(self.neighbours, entity)
            if distances[one] != distances[other] or ways[one] != ways[other]:
                return False
        return True

    def join_evenly(self, one: int, other: int) -> bool:
        """Add an edge if it remains even; tell whether it was added."""
        join(self.neighbours, one, other)
        if self.is_even():
            return True
        self.neighbours[one].remove(other)
        self.neighbours[other].remove(one)
        return False


def join(neighbours: list[list[int]], one: int, other: int) -> None:
    """Make two nodes neighbours if they are not."""
    if other not in neighbours[one]:
        neighbours[one].append(other)
        neighbours[other].append(one)


class Placing:
    """Placing the nodes of a skeleton one after another, entities first, each other node below one placed before it.

    A label tells which of the two entities are above a node, in two bits. What is above a candidate must not have the
    wrong entity above it, so a node waits as long as it would hand that on. Nodes of the entity that has fewer below
    it come first, for both are to have equally many.
    """

    def __init__(self, skeleton: Skeleton, crossed: int):
        self.neighbours = skeleton.neighbours
        ways = skeleton.ways(crossed)
        self.before = {node: parent for way in ways for parent, node in itertools.pairwise(way)}
        self.barred = [0] * len(self.neighbours)
        for way, wrong in zip(ways, (2, 1), strict=True):
            for node in [*way[1:], *self.neighbours[way[-1]]]:
                self.barred[node] |= wrong
        self.order = [*skeleton.entities]
        self.labels = dict(zip(self.order, [1, 2, *[0] * len(self.order)], strict=False))
        self.below = [0, 1, 1, 0]  # nodes placed, by label

    def draw(self, rng: random.Random) -> list[int] | None:
        """Return the order; None if it cannot be completed or one entity has more below it than the other."""
        waiting = list(dict.fromkeys(node for entity in self.order for node in self.neighbours[entity]))
        seen = {*self.order, *waiting}
        while waiting:
            first = int(rng.random() * len(waiting))
            turned = waiting[first:] + waiting[:first]
            more = 1 if self.below[1] > self.below[2] else 2 if self.below[1] < self.below[2] else None
            node = next((node for later in (more, None) for node in turned if self._place(node, later)), None)
            if node is None:
                return None
            waiting.remove(node)
            fresh = [neighbour for neighbour in self.neighbours[node] if neighbour not in seen]
            waiting += fresh
            seen.update(fresh)
        return self.order

    def _place(self, node: int, later: int | None) -> bool:
        """Place the node if it can be placed now and does not get the label ``later``."""
        if node in self.before and self.before[node] not in self.labels:
            return False
        if node in CANDIDATES and len(self.order) < len(self.neighbours) - len(CANDIDATES):
            return False
        label, barred = 0, self.barred[node]
        for neighbour in self.neighbours[node]:
            if neighbour in self.labels:
                label |= self.labels[neighbour]
            else:
                barred |= self.barred[neighbour]
        if barred & label or label == later:
            return False
        self.labels[node] = label
        self.below[label] += 1
        self.order.append(node)
        return True


class Orientation:
    """A skeleton directed one way by an order of its nodes, to which edges can be added.

    Attributes:
        order: The nodes; every edge points from an earlier one to a later.
    """

    def __init__(self, skeleton: Skeleton, crossed: int, order: list[int]):
        self.order = order
        self._entities = {*skeleton.entities}
        self._ends = [way[-1] for way in skeleton.ways(crossed)]
        self._length = len(skeleton.paths[0][0]) - 1
        self._place = {node: number for number, node in enumerate(order)}
        self._children: list[list[int]] = [
            [other for other in near if self._place[other] > self._place[node]]
            for node, near in enumerate(skeleton.neighbours)
        ]
        self._parents: list[list[int]] = [
            [other for other in near if self._place[other] < self._place[node]]
            for node, near in enumerate(skeleton.neighbours)
        ]
        self._measure()

    def _measure(self) -> None:
        """Find the distances down from either entity, and up from its candidate."""
        self._down = [distances_from(self._children, entity) for entity in ENTITIES]
        self._up = [distances_from(self._parents, end) for end in self._ends]

    def is_whole(self) -> bool:
        """Tell whether each entity leads to its own candidate alone, by no shorter way than the one laid."""
        ends = zip(self._down, self._ends, self._ends[::-1], strict=True)
        return all(down[own] == self._length and other not in down for down, own, other in ends)

    def lead(self) -> int:
        """Return how many more nodes are below entity 0 than below entity 1."""
        return len(self._down[0]) - len(self._down[1])

    def lead_with(self, one: int, other: int) -> int | None:
        """Return what ``lead`` would be with another edge; None if it cannot be added.

        Entities remain entities, and it remains whole. Candidates, last in the order, remain leaves.
        """
        parent, child = self._directed(one, other)
        if child in self._entities:
            return None
        lead = self.lead()
        for entity, sign in ((0, 1), (1, -1)):
            down, up, up_other = self._down[entity], self._up[entity], self._up[1 - entity]
            if parent not in down:
                continue
            if child in up_other or (child in up and down[parent] + 1 + up[child] < self._length):
                return None
            if child not in down:
                lead += sign * sum(node not in down for node in distances_from(self._children, child))
        return lead

    def add(self, one: int, other: int) -> None:
        """Add an edge in the direction that the order gives it."""
        parent, child = self._directed(one, other)
        self._children[parent].append(child)
        self._parents[child].append(parent)
        self._measure()

    def _directed(self, one: int, other: int) -> tuple[int, int]:
        return (one, other) if self._place[one] < self._place[other] else (other, one)


def add_edges(rng: random.Random, skeleton: Skeleton, orientations: Sequence[Orientation], number: int) -> bool:
    """Join pairs of nodes until both entities have equally many below them in either orientation.

    Args:
        rng: Source of the draw.
        skeleton: To which the edges are added.
        orientations: It, directed one way and another; they remain whole.
        number: Of edges to add, or more if it takes more, or as many as there is room for.

    Returns:
        Whether the entities came to have equally many below them.
    """
    pairs = shuffled(rng, itertools.combinations(range(len(skeleton.neighbours)), 2))
    waiting = dict.fromkeys(pair for pair in pairs if pair[1] not in skeleton.neighbours[pair[0]])
    gap, added = sum(abs(orientation.lead()) for orientation in orientations), True
    while added:
        added = False
        for pair in [*waiting]:
            if number <= 0 and not gap:
                return True
            after = _gap_with(orientations, pair)
            if after is None:  # nor can it be added when there are more edges
                del waiting[pair]
            elif (after < gap or after == gap < number) and skeleton.join_evenly(*pair):
                for orientation in orientations:
                    orientation.add(*pair)
                del waiting[pair]
                number, gap, added = number - 1, after, True
    return not gap


def _gap_with(orientations: Sequence[Orientation], pair: tuple[int, int]) -> int | None:
    gap = 0
    for orientation in orientations:
        lead = orientation.lead_with(*pair)
        if lead is None:
            return None
        gap += abs(lead)
    return gap


def shuffled(rng: random.Random, items: Iterable[Item]) -> list[Item]:
    """Return the items in random order."""
    return sorted(items, key=lambda _: rng.random())  # several times faster than rng.shuffle
