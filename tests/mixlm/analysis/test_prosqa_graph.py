import json

import pytest

from mixlm.analysis.prosqa_graph import GRAPH_COLUMNS, ConceptGraph
from mixlm.errors import InputError


NAMES = ["Alex", "Bob", "a", "b", "c", "d", "e", "f"]
ROW = {
    "question": "Is Alex a e or f?",
    "idx_to_symbol": NAMES,
    # Alex -> a -> c -> e, Alex -> b -> d -> e, Alex -> d (a detour and a short cut), a -> b; Bob -> f
    "edges": [[0, 2], [2, 4], [4, 6], [0, 3], [3, 5], [5, 6], [0, 5], [2, 3], [1, 7]],
    "root": 0,
    "target": 6,
    "neg_target": 7,
}
GRAPH = ConceptGraph.from_row(ROW, "row 0")


def test_columns_become_the_graph():
    assert (GRAPH.names, GRAPH.root, GRAPH.target, GRAPH.negative) == (tuple(NAMES), 0, 6, 7)
    assert GRAPH.edges[:2] == ((0, 2), (2, 4))
    assert GRAPH.nodes["d"] == 5


def test_columns_of_tokenized_rows_are_json_text():
    text = {name: json.dumps(ROW[name]) for name in GRAPH_COLUMNS}
    assert ConceptGraph.from_row(text, "row 0") == GRAPH


def test_children_have_the_order_of_the_edges():
    assert [GRAPH.children(node) for node in range(8)] == [(2, 3, 5), (7,), (4, 3), (5,), (6,), (6,), (), ()]


def test_distance_is_that_of_the_shortest_path():
    assert [GRAPH.distances.get(node) for node in range(8)] == [0, None, 1, 1, 2, 1, 2, None]


def test_height_is_the_distance_to_the_nearest_leaf():
    assert [GRAPH.height(node) for node in range(8)] == [2, 1, 2, 2, 1, 1, 0, 0]


def test_height_takes_the_nearest_of_several_leaves():
    edges = [[0, 1], [1, 2], [2, 3], [0, 4], [4, 5], [1, 6]]
    row = {"idx_to_symbol": list("rabcdef"), "edges": edges, "root": 0, "target": 3, "neg_target": 5}
    graph = ConceptGraph.from_row(row, "row 0")
    assert [graph.height(node) for node in range(7)] == [2, 1, 1, 0, 1, 0, 0]


def test_frontier_has_each_node_once_at_its_shortest_distance():
    assert [GRAPH.frontier(hops) for hops in range(4)] == [(0,), (2, 3, 5), (4, 6), ()]


def test_what_leads_to_the_target():
    assert [GRAPH.leads_to_target(node) for node in range(8)] == [True, False, True, True, True, True, True, False]


@pytest.mark.parametrize("column", GRAPH_COLUMNS)
def test_a_missing_column_is_named(column):
    for row in ({**ROW, column: None}, {name: value for name, value in ROW.items() if name != column}):
        with pytest.raises(InputError, match=rf"^x.json:3: has no column '{column}'; take rows of ProsQA's form"):
            ConceptGraph.from_row(row, "x.json:3")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"idx_to_symbol": 3}, "idx_to_symbol is no list of names"),
        ({"idx_to_symbol": [*range(8)]}, "idx_to_symbol is no list of names"),
        ({"idx_to_symbol": "Alex"}, "idx_to_symbol is no JSON"),
        ({"idx_to_symbol": [*NAMES[:7], "a"]}, "idx_to_symbol has a name twice"),
        ({"edges": {"0": 1}}, "edges is no list of pairs"),
        ({"edges": [0, 1]}, "edges is no list of pairs"),
        ({"edges": [[0, 1, 2]]}, "edges is no list of pairs"),
        ({"edges": [[0, 8]]}, "edges has 8, which is no place in idx_to_symbol"),
        ({"edges": [[-1, 0]]}, "edges has -1, which is no place"),
        ({"edges": [["Alex", "a"]]}, "edges has 'Alex', which is no place"),
        ({"root": 8}, "root has 8, which is no place"),
        ({"root": [0]}, r"root has \[0\], which is no place"),
        ({"target": 6.0}, "target has 6.0, which is no place"),
        ({"neg_target": True}, "neg_target has True, which is no place"),
        ({"edges": [*ROW["edges"], [6, 0]]}, "its edges form a cycle"),
        ({"edges": [*ROW["edges"], [7, 7]]}, "its edges form a cycle"),
        ({"target": 7}, "its target cannot be reached from its root"),
    ],
)
def test_a_malformed_column_is_one_line_with_a_remedy(change, message):
    with pytest.raises(InputError, match=f"^row 5: {message}.*; take rows of ProsQA's form") as error:
        ConceptGraph.from_row({**ROW, **change}, "row 5")
    assert "\n" not in str(error.value)
