"""The graph of concepts behind a row of ProsQA."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any

from mixlm.data.values import read_json
from mixlm.errors import InputError
from mixlm.tasks.prosqa.graphs import distances_from


GRAPH_COLUMNS = ("idx_to_symbol", "edges", "root", "target", "neg_target")
_REMEDY = "take rows of ProsQA's form, with the columns idx_to_symbol, edges, root, target and neg_target"


@dataclass(frozen=True)
class ConceptGraph:
    """A directed graph without cycles whose nodes are entities and concepts and whose edges are "is a".

    Attributes:
        names: Name of every node, each only once.
        edges: Pairs of nodes (a, b): "Every a is a b.", or "a is a b." for an entity a.
        root: The entity that the question is about.
        target: The node that the root is, reachable from it.
        negative: The other node that the question offers.
    """

    names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    root: int
    target: int
    negative: int

    @classmethod
    def from_row(cls, row: Mapping[str, Any], where: str) -> "ConceptGraph":
        """Read a graph out of a row's columns; any of them may be JSON text, as in tokenized rows.

        Args:
            row: Has ``idx_to_symbol``, a list of names; ``edges``, a list of pairs of nodes; and the nodes ``root``,
                ``target`` and ``neg_target``. A node is a place in the list of names.
            where: What an error message calls the row, for example ``valid.json:17``.

        Raises:
            InputError: If a column is missing or holds something else, two nodes share a name, the edges form a cycle,
                or the target cannot be reached from the root.
        """
        names, edges, *nodes = (_column(row, name, where) for name in GRAPH_COLUMNS)
        if not _is_list(names) or not all(isinstance(name, str) for name in names):
            raise _refusal(where, "idx_to_symbol is no list of names")
        if len(set(names)) < len(names):
            raise _refusal(where, "idx_to_symbol has a name twice")
        if not _is_list(edges) or not all(_is_list(edge) and len(edge) == 2 for edge in edges):
            raise _refusal(where, "edges is no list of pairs")
        for name, values in [("edges", [node for edge in edges for node in edge]), *_alone(nodes)]:
            strays = [value for value in values if not _is_node(value, len(names))]
            if strays:
                raise _refusal(where, f"{name} has {strays[0]!r}, which is no place in idx_to_symbol")
        graph = cls(tuple(names), tuple((start, end) for start, end in edges), *nodes)
        graph._check(where)
        return graph

    def _check(self, where: str) -> None:
        try:
            TopologicalSorter(dict(enumerate(self._children))).prepare()
        except CycleError:
            raise _refusal(where, "its edges form a cycle") from None
        if self.target not in self.distances:
            raise _refusal(where, "its target cannot be reached from its root")

    @cached_property
    def _children(self) -> tuple[tuple[int, ...], ...]:
        found: list[list[int]] = [[] for _ in self.names]
        for start, end in self.edges:
            found[start].append(end)
        return tuple(tuple(nodes) for nodes in found)

    @cached_property
    def nodes(self) -> dict[str, int]:
        """The node of every name."""
        return {name: node for node, name in enumerate(self.names)}

    @cached_property
    def distances(self) -> dict[int, int]:
        """Fewest edges from the root to every node that can be reached from it; the root's is 0."""
        return distances_from(self._children, self.root)

    def children(self, node: int) -> tuple[int, ...]:
        """Return the nodes that an edge leads to from ``node``, in the order of the edges."""
        return self._children[node]

    def height(self, node: int) -> int:
        """Return the fewest edges from ``node`` to a leaf, a node without children; a leaf's is 0 (Coconut, 5)."""
        reached = distances_from(self._children, node)
        return min(distance for other, distance in reached.items() if not self._children[other])

    def frontier(self, hops: int) -> tuple[int, ...]:
        """Return the nodes whose distance from the root is exactly ``hops``, in ascending order.

        A node that can be reached both in one edge and by a detour is one hop away, and in no other frontier.
        """
        return tuple(sorted(node for node, distance in self.distances.items() if distance == hops))

    def leads_to_target(self, node: int) -> bool:
        """Tell whether ``node`` is the target or the target can be reached from it."""
        return self.target in distances_from(self._children, node)


def _column(row: Mapping[str, Any], name: str, where: str) -> Any:
    value = row.get(name)
    if value is None:
        raise _refusal(where, f"has no column '{name}'")
    if not isinstance(value, str):
        return value
    try:
        return read_json(value)
    except ValueError:
        raise _refusal(where, f"{name} is no JSON") from None


def _alone(nodes: Sequence[Any]) -> list[tuple[str, list[Any]]]:
    return [(name, [node]) for name, node in zip(GRAPH_COLUMNS[2:], nodes, strict=True)]


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _is_node(value: Any, count: int) -> bool:
    # JSON's true would pass as 1.
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < count


def _refusal(where: str, reason: str) -> InputError:
    return InputError(f"{where}: {reason}; {_REMEDY}")
