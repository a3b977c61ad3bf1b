import random
from collections import Counter

import pytest

from mixlm.errors import InputError
from mixlm.tasks.prosqa.graphs import (
    Graph,
    Size,
    children_of,
    distances_from,
    draw_graph,
    draw_shortest_path,
    poisson,
    shortest_ways,
)


OFFICIAL = Size(14, 28, 3, 6)
#   0 -> 2 -> 4 -> 6     two shortest ways from 0 to 6; 1 -> 5 is the other entity's
#   0 -> 3 -> 4          and 2 -> 5 joins the two
BRANCHED = Graph(7, ((0, 2), (0, 3), (2, 4), (3, 4), (1, 5), (2, 5), (4, 6)), 0, 6, 5)


def draw_many(count: int, size: Size = OFFICIAL, seed: int = 0) -> list[Graph]:
    rng, graphs = random.Random(seed), []
    while len(graphs) < count:
        graphs += [graph for graph in [draw_graph(rng, size)] if graph]
    return graphs


def below(graph: Graph, node: int) -> dict[int, int]:
    return distances_from(children_of(graph.nodes, graph.edges), node)


def test_distances_count_the_fewest_edges_and_leave_out_what_is_not_reached():
    assert below(BRANCHED, 0) == {0: 0, 2: 1, 3: 1, 4: 2, 5: 2, 6: 3}
    assert below(BRANCHED, 1) == {1: 0, 5: 1}


def test_shortest_ways_are_counted():
    distances, ways = shortest_ways(children_of(7, BRANCHED.edges), 0)
    assert distances == {0: 0, 2: 1, 3: 1, 4: 2, 5: 2, 6: 3}
    assert ways == {0: 1, 2: 1, 3: 1, 4: 2, 5: 1, 6: 2}
    detour = children_of(4, [(0, 2), (2, 3), (0, 3)])
    assert shortest_ways(detour, 0)[1] == {0: 1, 2: 1, 3: 1}


def test_shortest_path_is_any_of_the_shortest():
    rng = random.Random(0)
    paths = Counter(tuple(draw_shortest_path(rng, BRANCHED)) for _ in range(400))
    assert set(paths) == {(0, 2, 4, 6), (0, 3, 4, 6)}
    assert 150 < paths[0, 2, 4, 6] < 250


def test_longer_way_is_no_shortest_path():
    detour = Graph(4, ((0, 2), (2, 3), (0, 3)), 0, 3, 1)
    assert draw_shortest_path(random.Random(0), detour) == [0, 3]


def test_poisson_has_the_mean_variance_and_share_of_zeros_of_its_definition():
    rng = random.Random(0)
    numbers = [poisson(rng, 1.5) for _ in range(20_000)]
    mean = sum(numbers) / 20_000
    assert mean == pytest.approx(1.5, abs=0.04)
    assert sum((number - mean) ** 2 for number in numbers) / 20_000 == pytest.approx(1.5, abs=0.07)
    assert numbers.count(0) / 20_000 == pytest.approx(0.2231, abs=0.012)


def test_candidates_descend_from_one_entity_each_and_are_leaves():
    for graph in draw_many(300):
        of_root, of_other = below(graph, graph.root), below(graph, 1 - graph.root)
        parents = {parent for parent, _ in graph.edges}
        assert graph.target in of_root and graph.target not in of_other
        assert graph.negative in of_other and graph.negative not in of_root
        assert not {graph.target, graph.negative} & parents


def test_no_entity_is_a_candidate_even_if_it_is_a_leaf():
    for graph in draw_many(300, Size(4, 8, 1, 3)):
        assert graph.target > 1 and graph.negative > 1


def test_root_is_either_entity_as_often_if_their_leaves_are_equally_far():
    roots = []
    for graph in draw_many(1200):
        parents = {parent for parent, _ in graph.edges}
        reached = [below(graph, entity) for entity in (0, 1)]
        farthest = [
            max(distance for node, distance in own.items() if node not in other and node not in parents)
            for own, other in (reached, reached[::-1])
        ]
        if farthest[0] == farthest[1]:
            roots.append(graph.root)
    assert len(roots) > 150
    assert 0.38 < sum(roots) / len(roots) < 0.62


def test_target_is_the_farthest_leaf_that_descends_from_one_of_the_two_entities_alone():
    for graph in draw_many(300):
        first, second = below(graph, 0), below(graph, 1)
        parents = {parent for parent, _ in graph.edges}
        lone = [distance for node, distance in first.items() if node not in second and node not in parents]
        lone += [distance for node, distance in second.items() if node not in first and node not in parents]
        assert below(graph, graph.root)[graph.target] == max(lone)


def test_edges_lead_to_later_nodes_once_and_every_node_has_one():
    for graph in draw_many(300):
        assert all(parent < child for parent, child in graph.edges)
        assert len(set(graph.edges)) == len(graph.edges)
        assert {node for edge in graph.edges for node in edge} == set(range(graph.nodes))


@pytest.mark.parametrize("size", [Size(8, 12, 2, 3), Size(4, 5, 1, 1), Size(20, 22, 4, 5), Size(24, 32, 5, 6)])
def test_size_is_kept_to_and_used(size):
    graphs = draw_many(100, size)
    nodes = {graph.nodes for graph in graphs}
    paths = {below(graph, graph.root)[graph.target] for graph in graphs}
    assert size.min_nodes <= min(nodes) < max(nodes) <= size.max_nodes
    assert paths == set(range(size.min_path, size.max_path + 1))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (Size(3, 28, 3, 6), "--min-nodes 3 and --max-nodes 28: give 4 or more, and in this order"),
        (Size(20, 19, 3, 6), "--min-nodes 20 and --max-nodes 19: give 4 or more"),
        (Size(14, 28, 0, 6), "--min-path 0 and --max-path 6: give 1 or more, and in this order"),
        (Size(14, 28, 5, 4), "--min-path 5 and --max-path 4: give 1 or more"),
    ],
)
def test_size_that_cannot_be_is_an_error(size, message):
    with pytest.raises(InputError, match=message):
        size.require(least_nodes=4, least_path=1)
