import random
from collections import Counter
from itertools import product

import pytest

from mixlm.errors import InputError
from mixlm.tasks.prosqa import balanced as prosqa_balanced
from mixlm.tasks.prosqa.graphs import Graph, Size, children_of, distances_from, shortest_ways
from mixlm.tasks.prosqa.skeletons import Twins, draw_balanced_graph, draw_twins
from mixlm.tasks.prosqa.text import search_edges
from tests.mixlm.tasks.generating import generator


generate = generator(prosqa_balanced)
OFFICIAL, SMALL = Size(14, 28, 3, 6), Size(10, 12, 3, 4)
QUESTIONS = list(product((0, 1), repeat=2))  # crossed, root


def draw_many(count: int, size: Size, extra_edges: int = 0, seed: int = 0) -> list[Twins]:
    rng, found = random.Random(seed), []
    while len(found) < count:
        found += [twins for twins in [draw_twins(rng, size, extra_edges)] if twins]
    return found


def below(graph: Graph, node: int) -> dict[int, int]:
    return distances_from(children_of(graph.nodes, graph.edges), node)


def in_skeleton(twins: Twins, crossed: int, graph: Graph) -> dict:
    """The graph with its nodes named as in the skeleton."""
    order = twins.orders[crossed]
    children = {child for _, child in graph.edges}
    return {
        "edges": {frozenset((order[parent], order[child])) for parent, child in graph.edges},
        "entities": {order[node] for node in range(graph.nodes)} - {order[child] for child in children},
        "root": order[graph.root],
        "candidates": {order[graph.target], order[graph.negative]},
        "target": order[graph.target],
    }


@pytest.mark.parametrize(("size", "extra_edges"), [(OFFICIAL, 0), (OFFICIAL, 8), (SMALL, 0), (SMALL, 3)])
def test_root_reaches_the_target_alone_and_the_other_entity_the_negative_as_far_away(size, extra_edges):
    for twins in draw_many(50, size, extra_edges):
        for crossed, root in QUESTIONS:
            graph = twins.graph(crossed, root)
            of_root, of_other = below(graph, graph.root), below(graph, 1 - graph.root)
            assert of_root[graph.target] == of_other[graph.negative]
            assert size.min_path <= of_root[graph.target] <= size.max_path
            assert graph.negative not in of_root and graph.target not in of_other


@pytest.mark.parametrize(("size", "extra_edges"), [(OFFICIAL, 0), (SMALL, 0), (SMALL, 3)])
def test_without_directions_the_same_question_has_both_answers(size, extra_edges):
    """Edges, entities, root and candidates are equal, and the answer is not: they cannot tell it."""
    for twins in draw_many(50, size, extra_edges):
        for root in (0, 1):
            one, other = (in_skeleton(twins, crossed, twins.graph(crossed, root)) for crossed in (0, 1))
            assert one.pop("target") != other.pop("target")
            assert one == other


@pytest.mark.parametrize("size", [OFFICIAL, SMALL])
def test_without_the_root_the_same_graph_has_both_answers(size):
    for twins in draw_many(50, size):
        for crossed in (0, 1):
            one, other = twins.graph(crossed, 0), twins.graph(crossed, 1)
            assert (one.nodes, one.edges) == (other.nodes, other.edges)
            assert (one.root, one.target, one.negative) == (1 - other.root, other.negative, other.target)


@pytest.mark.parametrize(("size", "extra_edges"), [(OFFICIAL, 0), (OFFICIAL, 8), (SMALL, 3)])
def test_what_directions_and_skeleton_tell_together_is_even(size, extra_edges):
    for twins in draw_many(40, size, extra_edges):
        for crossed, root in QUESTIONS:
            graph = twins.graph(crossed, root)
            assert len(below(graph, 0)) == len(below(graph, 1))
            around = children_of(graph.nodes, [*graph.edges, *((child, parent) for parent, child in graph.edges)])
            for found in shortest_ways(around, graph.root):
                assert found[graph.target] == found[graph.negative]
            assert len(twins.skeleton.paths[0][0]) == len(twins.skeleton.paths[0][1])


def test_graph_drawn_is_one_of_its_twins_four_each_as_often():
    counts = Counter()
    for seed in range(600):
        twins = draw_twins(random.Random(seed), SMALL)
        drawn = draw_balanced_graph(random.Random(seed), SMALL)
        assert (twins is None) == (drawn is None)
        if twins:
            counts[[twins.graph(*question) for question in QUESTIONS].index(drawn)] += 1
    total = sum(counts.values())
    assert total > 550
    assert all(abs(counts[number] - total / 4) < 4 * (total * 3 / 16) ** 0.5 for number in range(4))


def test_edges_lead_to_later_nodes_once_and_only_entities_have_no_parents():
    for twins in draw_many(100, OFFICIAL, extra_edges=5):
        graph = twins.graph(1, 0)
        assert all(parent < child for parent, child in graph.edges)
        assert len(set(graph.edges)) == len(graph.edges)
        assert set(range(graph.nodes)) - {child for _, child in graph.edges} == set(
            range(len(twins.skeleton.entities))
        )


@pytest.mark.parametrize("size", [OFFICIAL, SMALL])
def test_candidates_have_no_children(size):
    for twins in draw_many(100, size, extra_edges=3):
        for crossed in (0, 1):
            graph = twins.graph(crossed, 0)
            assert not {graph.target, graph.negative} & {parent for parent, _ in graph.edges}


@pytest.mark.parametrize(
    "size", [OFFICIAL, SMALL, Size(10, 10, 3, 3), Size(12, 12, 4, 4), Size(10, 34, 3, 3), Size(25, 28, 5, 6)]
)
def test_size_is_kept_to_and_used(size):
    graphs = [twins.graph(0, 0) for twins in draw_many(100, size)]
    assert {below(graph, 0)[graph.target] for graph in graphs} == set(range(size.min_path, size.max_path + 1))
    nodes = {graph.nodes for graph in graphs}
    assert size.min_nodes <= min(nodes) <= max(nodes) <= size.max_nodes
    assert (len(nodes) > 1) == (size.min_nodes < size.max_nodes)


def test_extra_edges_are_so_many_more():
    counts = [
        sum(len(twins.graph(0, 0).edges) for twins in draw_many(100, OFFICIAL, extra_edges, seed=5)) / 100
        for extra_edges in (0, 6)
    ]
    assert counts[1] - counts[0] == pytest.approx(6, abs=1.5)


def test_sizes_and_paths_are_those_of_prosqa():
    graphs = [twins.graph(0, 0) for twins in draw_many(400, OFFICIAL)]
    paths = Counter(below(graph, 0)[graph.target] for graph in graphs)
    assert sum(graph.nodes for graph in graphs) / 400 == pytest.approx(22.8, abs=0.4)
    assert sum(len(graph.edges) for graph in graphs) / 400 == pytest.approx(36.0, abs=1.5)
    for path, share in {3: 0.41, 4: 0.44, 5: 0.13, 6: 0.02}.items():
        assert paths[path] / 400 == pytest.approx(share, abs=0.09)


def test_small_rows_are_short():
    rows = list(generate(300, min_nodes=10, max_nodes=12, min_path=3, max_path=4))
    words = [len(row["question"].split()) for row in rows]
    assert sum(words) / 300 < 80 and sorted(words)[270] <= 90
    # "Tom is a lempus." and "Every lempus is a rempus."
    assert all([len(step.split()) for step in row["steps"]] == [4, *[5] * (len(row["steps"]) - 1)] for row in rows)


def test_rows_are_what_they_were_when_results_were_published():
    row = next(generate(1, min_nodes=10, max_nodes=10, max_path=3))
    assert row["question"].startswith("Carol is a brimpus. Every brimpus is a bompus. Every bompus is a sterpus. ")
    assert row["question"].endswith("Every gorpus is a quimpus. Is Carol a sterpus or gwompus?")
    assert row["steps"] == ["Carol is a brimpus.", "Every brimpus is a bompus.", "Every bompus is a sterpus."]
    assert row["answer"] == "Carol is a sterpus."
    assert (row["root"], row["target"], row["neg_target"]) == (0, 9, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"extra_edges": -1}, "--extra-edges -1: give a whole number from 0"),
        ({"min_path": 2}, "--min-path 2 and --max-path 6: give 3 or more"),
        ({"min_nodes": 9}, "--min-nodes 9 and --max-nodes 28: give 10 or more"),
        ({"min_nodes": 10, "max_nodes": 13}, "--max-path 6: graphs of --max-nodes 13 have room for 4; give that, or"),
    ],
)
def test_options_that_cannot_be_met_are_an_error(options, message):
    with pytest.raises(InputError, match=message):
        next(generate(1, **options))


def test_a_search_is_told_in_the_questions_own_sentences_and_ends_at_the_answer():
    options = {"min_nodes": 10, "max_nodes": 12, "max_path": 4}
    paths, searches = (list(generate(200, "valid", 3, trace=trace, **options)) for trace in ("path", "search"))
    longer = 0
    for path, found in zip(paths, searches, strict=True):
        assert {**found, "steps": path["steps"]} == path  # the trace apart the same rows
        told = found["question"].split(". ")
        words = [step.removeprefix("Every ").removesuffix(".").split() for step in found["steps"]]
        root, target, other = (found["idx_to_symbol"][found[name]] for name in ("root", "target", "neg_target"))
        seen = {root}
        for step, (parent, *_, child) in zip(found["steps"], words, strict=True):
            assert step.removesuffix(".") in told
            assert parent in seen
            assert child not in seen
            seen.add(child)
        assert words[-1][-1] == target
        assert other not in seen
        longer += len(found["steps"]) > len(path["steps"])
    assert longer > 50


def test_a_search_by_hand():
    """0 leads to 1, 2 and 4 in this order; 1 leads to 3, a dead end; 2 leads to 1, where it has been, and to 5."""
    edges = [(0, 1), (2, 1), (0, 2), (1, 3), (0, 4), (2, 5), (4, 5)]
    assert search_edges(edges, root=0, target=5) == [(0, 1), (1, 3), (0, 2), (2, 5)]
    assert search_edges(edges, root=0, target=1) == [(0, 1)]
