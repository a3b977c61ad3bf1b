"""Cues by which the right candidate of a ProsQA question may be told without reasoning.

Features of a candidate are those of its node and name, and what ties it to the entity asked about when directions are
left out. None needs a path of "is a" from the entity. ``prosqa_balanced`` is built so that they do not help.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mixlm.tasks.prosqa.graphs import children_of, distances_from, shortest_ways
from mixlm.tasks.prosqa.text import CONCEPTS


_WALK = 6  # edges, ProsQA's longest path


def candidate_features(row: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Return features of the right and of the wrong candidate.

    Args:
        row: A row of ProsQA's columns.

    Returns:
        By name of the feature. Features of the node: ``nearest_entity`` and ``farthest_entity``, edges of the shortest
        and of the longest path from a node without parents; ``in_degree``, ``out_degree``, ``ancestors``,
        ``descendants``; ``entities``, those among the ancestors; ``siblings``; ``neighbourhood``, the degrees of its
        neighbours added up; ``parents_in`` and ``parents_out``, the degrees of its parents; ``component``, nodes that
        hang together with it.

        Of the text: ``listed_first``, ``first_mention``, ``last_mention``, ``name``.

        With the root, whatever the directions: ``distance``, ``shortest_paths``, ``common_neighbours``, ``walks`` of
        six edges; ``other_distance``, to the nearest of the other entities; ``text_gap``, the fewest sentences from
        one that names the root to one that names the candidate.
    """
    graph = _Views(row)
    nodes = (row["target"], row["neg_target"])
    features = [{**graph.of_node(node), **graph.of_text(node), **graph.with_root(node)} for node in nodes]
    return {name: (float(features[0][name]), float(features[1][name])) for name in features[0]}


def root_features(row: Mapping[str, Any]) -> dict[str, float]:
    """Return features of the entity asked about and of the graph, alone no cue, for classifiers that combine all.

    Args:
        row: A row of ProsQA's columns.

    Returns:
        ``root_children``; ``root_reach``, nodes below it; ``root_height``, edges to the farthest of them; ``nodes``,
        ``edges``, ``all_entities``.
    """
    graph = _Views(row)
    distances = distances_from(graph.children, row["root"])
    return {
        "root_children": float(len(graph.children[row["root"]])),
        "root_reach": float(len(distances)),
        "root_height": float(max(distances.values())),
        "nodes": float(len(graph.children)),
        "edges": float(len(row["edges"])),
        "all_entities": float(len(graph.entities)),
    }


class _Views:
    """A row's graph with, against and without its directions, and its text."""

    def __init__(self, row: Mapping[str, Any]):
        self.root, self.names = row["root"], row["idx_to_symbol"]
        count, edges = len(self.names), row["edges"]
        self.children = children_of(count, edges)
        self.parents = children_of(count, ((child, parent) for parent, child in edges))
        self.around = [above + below for above, below in zip(self.parents, self.children, strict=True)]
        self.entities = [node for node in range(count) if not self.parents[node]]
        _, self.ways = shortest_ways(self.around, self.root)
        self.walks = _count_walks(self.around, self.root, _WALK)
        *facts, self.asked = re.split(r"(?<=\.) ", row["question"])
        self.mentions: dict[str, list[int]] = {}
        for number, fact in enumerate(facts):
            for word in re.findall(r"\w+", fact):
                self.mentions.setdefault(word, []).append(number)

    def of_node(self, node: int) -> dict[str, float]:
        """Return the features of the node itself."""
        above, below = distances_from(self.parents, node), distances_from(self.children, node)
        entities = [entity for entity in self.entities if entity in above]
        return {
            "nearest_entity": min(above[entity] for entity in entities),
            "farthest_entity": self._longest(node),
            "in_degree": len(self.parents[node]),
            "out_degree": len(self.children[node]),
            "ancestors": len(above) - 1,
            "descendants": len(below) - 1,
            "entities": len(entities),
            "siblings": len({child for parent in self.parents[node] for child in self.children[parent]}) - 1,
            "neighbourhood": sum(len(self.around[other]) for other in self.around[node]),
            "parents_in": sum(len(self.parents[parent]) for parent in self.parents[node]),
            "parents_out": sum(len(self.children[parent]) for parent in self.parents[node]),
            "component": len(distances_from(self.around, node)),
        }

    def of_text(self, node: int) -> dict[str, float]:
        """Return the features of the candidate's name and places."""
        name = self.names[node]
        return {
            "listed_first": f"a {name} or " in self.asked,
            "first_mention": self.mentions[name][0],
            "last_mention": self.mentions[name][-1],
            "name": CONCEPTS.index(name) if name in CONCEPTS else -1,
        }

    def with_root(self, node: int) -> dict[str, float]:
        """Return what ties the candidate to the root without directions."""
        near = distances_from(self.around, node)
        apart = len(self.names)
        roots, own = self.mentions[self.names[self.root]], self.mentions[self.names[node]]
        return {
            "distance": near.get(self.root, apart),
            "shortest_paths": self.ways.get(node, 0),
            "common_neighbours": len({*self.around[node]} & {*self.around[self.root]}),
            "walks": self.walks[node],
            "other_distance": min(near.get(entity, apart) for entity in self.entities if entity != self.root),
            "text_gap": min(abs(one - other) for one in roots for other in own),
        }

    def _longest(self, node: int) -> int:
        """Return the most edges from a node without parents."""
        level, edges = {node}, -1
        while level:
            level, edges = {parent for child in level for parent in self.parents[child]}, edges + 1
        return edges


def _count_walks(around: Sequence[Sequence[int]], start: int, edges: int) -> list[int]:
    """Return how many walks of so many edges lead from ``start`` to every node."""
    walks = [int(node == start) for node in range(len(around))]
    for _ in range(edges):
        walks = [sum(walks[other] for other in near) for near in around]
    return walks
