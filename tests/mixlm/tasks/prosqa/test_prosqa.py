import json
import re
from collections import Counter
from itertools import islice
from statistics import fmean, stdev

import pytest

from mixlm.analysis.prosqa_graph import ConceptGraph
from mixlm.errors import InputError
from mixlm.tasks.prosqa import balanced as prosqa_balanced
from mixlm.tasks.prosqa import task as prosqa
from mixlm.tasks.prosqa.graphs import children_of, distances_from
from mixlm.tasks.prosqa.task import SPLITS, load
from mixlm.tasks.prosqa.text import CONCEPTS, NAMES, facts_of
from mixlm.tasks.splits import split_of
from tests.mixlm.tasks.generating import generator
from tests.mixlm.tasks.prosqa.prosqa_features import candidate_features


generate = generator(prosqa)
SMALL = {"min_nodes": 10, "max_nodes": 12, "min_path": 3, "max_path": 4}
TASKS = [generate, generator(prosqa_balanced)]
COLUMNS = ["question", "steps", "answer", "idx_to_symbol", "edges", "root", "target", "neg_target"]


@pytest.fixture(scope="module")
def generated() -> list[dict]:
    return list(generate(1500))


@pytest.fixture
def published(data_folder) -> list[dict]:
    return list(load("valid"))


def describe(row: dict) -> dict[str, float]:
    """What BASELINES calls the statistics of ProsQA."""
    graph = ConceptGraph.from_row(row, "row")
    nodes = range(len(graph.names))
    children = [child for _, child in graph.edges]
    ways = {graph.root: 1}
    for node in sorted(graph.distances, key=graph.distances.get):
        for child in graph.children(node):
            if graph.distances.get(child) == graph.distances.get(node) + 1:
                ways[child] = ways.get(child, 0) + ways[node]
    above = [distances_from(children_of(len(nodes), graph.edges), entity) for entity in (0, 1)]
    listed = re.search(r"a (\w+) or (\w+)\?$", row["question"]).groups()
    return {
        "nodes": len(nodes),
        "edges": len(graph.edges),
        "path": graph.distances.get(graph.target),
        "shortest paths": ways[graph.target],
        "entities": len(set(nodes) - set(children)),
        "leaves": sum(not graph.children(node) for node in nodes),
        "in-degree of 1": sum(children.count(node) == 1 for node in nodes),
        "edges from below both": sum(parent in above[0] and parent in above[1] for parent, _ in graph.edges),
        "root is node 0": graph.root == 0,
        "target listed first": listed[0] == graph.names[graph.target],
        "words": len(row["question"].split()),
    }


def read_back(row: dict) -> None:
    """Every column follows from the question alone."""
    *facts, asked = re.split(r"(?<=\.) ", row["question"])
    names = row["idx_to_symbol"]
    pairs = [re.fullmatch(r"(?:Every )?(\w+) is a (\w+)\.", fact).groups() for fact in facts]
    assert sorted(pairs) == sorted((names[one], names[other]) for one, other in row["edges"])
    assert all(fact.startswith("Every ") == (one in CONCEPTS) for fact, (one, _) in zip(facts, pairs, strict=True))
    root, *candidates = re.fullmatch(r"Is (\w+) a (\w+) or (\w+)\?", asked).groups()
    target, negative = names[row["target"]], names[row["neg_target"]]
    assert (root, set(candidates)) == (names[row["root"]], {target, negative})
    steps = [re.fullmatch(r"(?:Every )?(\w+) is a (\w+)\.", step).groups() for step in row["steps"]]
    assert set(row["steps"]) <= set(facts)
    assert [one for one, _ in steps] == [root, *[other for _, other in steps[:-1]]]
    assert row["answer"] == f"{root} is a {target}." and steps[-1][1] == target
    graph = ConceptGraph.from_row(row, "row")
    assert len(steps) == graph.distances.get(graph.target) and graph.distances.get(graph.negative) is None


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("options", [{}, SMALL])
def test_question_holds_the_graph_and_the_steps_are_its_sentences_along_a_shortest_path(task, options):
    for row in task(100, **options):
        assert list(row) == COLUMNS
        read_back(row)


def test_published_rows_read_back_by_the_same_rules_and_have_the_same_names(published):
    assert len(published) == 300
    for row in published:
        read_back(row)
    names = {name for row in published for name in row["idx_to_symbol"]}
    assert names == {*CONCEPTS, *NAMES} and len(CONCEPTS) == 38 and len(NAMES) == 17


def test_entities_are_the_nodes_without_parents_as_in_the_published_rows(generated, published):
    for row in [*generated, *published]:
        children = {child for _, child in row["edges"]}
        assert all((name in CONCEPTS) == (node in children) for node, name in enumerate(row["idx_to_symbol"]))


def test_statistics_are_those_of_the_published_rows_within_the_noise_of_sampling(generated, published):
    ours, theirs = ([*map(describe, rows)] for rows in (generated, published))
    for name in ours[0]:
        one, other = ([row[name] for row in rows] for rows in (ours, theirs))
        noise = (stdev(one) ** 2 / len(one) + stdev(other) ** 2 / len(other)) ** 0.5
        assert abs(fmean(one) - fmean(other)) < 3 * noise, name
        assert 0.8 < stdev(one) / stdev(other) < 1.25, name


def test_statistics_are_those_documented_of_all_published_rows(generated):
    rows = [*map(describe, generated)]
    mean = {name: fmean(row[name] for row in rows) for name in rows[0]}
    assert mean["nodes"] == pytest.approx(22.8, abs=0.2)
    assert mean["edges"] == pytest.approx(36.0, abs=0.6)
    assert mean["path"] == pytest.approx(3.77, abs=0.08)
    assert mean["shortest paths"] == pytest.approx(1.59, abs=0.1)
    assert mean["entities"] == pytest.approx(2.56, abs=0.08)
    assert mean["leaves"] == pytest.approx(7.4, abs=0.2)
    assert mean["root is node 0"] == pytest.approx(1 / 3, abs=0.08)
    assert mean["target listed first"] == pytest.approx(0.5, abs=0.04)
    shares = Counter(row["path"] for row in rows)
    for path, count in {3: 326, 4: 350, 5: 105, 6: 19}.items():
        assert shares[path] / 1500 == pytest.approx(count / 800, abs=0.06)


def test_the_label_leaks_as_documented(generated, published):
    documented = {"nearest_entity": 0.92, "farthest_entity": 0.72, "ancestors": 0.70, "in_degree": 0.335}
    for rows, near in [(generated, 0.04), (published, 0.01)]:
        features = [*map(candidate_features, rows)]
        for name, share in documented.items():
            right = fmean((it[name][0] > it[name][1]) + 0.5 * (it[name][0] == it[name][1]) for it in features)
            assert right == pytest.approx(share, abs=near), name


def test_rows_are_what_they_were_when_results_were_published():
    row = next(generate(1, min_nodes=7, max_nodes=9))
    assert row == {
        "question": "Every rempus is a rompus. Tom is a rompus. Every gerpus is a worpus. Every felpus is a worpus. "
        "Tom is a rempus. Stella is a rorpus. Every rorpus is a felpus. Every rorpus is a gerpus. Is Stella a worpus "
        "or rompus?",
        "steps": ["Stella is a rorpus.", "Every rorpus is a gerpus.", "Every gerpus is a worpus."],
        "answer": "Stella is a worpus.",
        "idx_to_symbol": ["Stella", "Tom", "rorpus", "felpus", "rempus", "gerpus", "worpus", "rompus"],
        "edges": [[0, 2], [2, 3], [1, 4], [2, 5], [5, 6], [3, 6], [4, 7], [1, 7]],
        "root": 0,
        "target": 6,
        "neg_target": 7,
    }


@pytest.mark.parametrize("task", TASKS)
def test_same_seed_same_rows_another_seed_others(task):
    assert list(task(20, seed=3, **SMALL)) == list(islice(task(100, seed=3, **SMALL), 20))
    assert list(task(20, seed=3, **SMALL)) != list(task(20, seed=4, **SMALL))


@pytest.mark.parametrize("task", TASKS)
def test_a_graph_is_in_one_split_whoever_asks_about_it_and_none_comes_twice(task):
    rows = {split: list(task(60, split, seed, **SMALL)) for seed, split in enumerate(SPLITS)}
    facts = {split: {facts_of(row["question"]) for row in found} for split, found in rows.items()}
    assert all(len(found) == 60 for found in facts.values())
    for split, row in ((split, row) for split, found in rows.items() for row in found):
        *sentences, _ = re.split(r"(?<=\.) ", row["question"])
        other_name = next(name for name in row["idx_to_symbol"] if name in NAMES and name not in row["answer"])
        retold = " ".join([*sentences[::-1], f"Is {other_name} a lempus or rempus?"])
        assert split_of(facts_of(retold)) == split
    assert not facts["train"] & facts["valid"] | facts["train"] & facts["test"] | facts["valid"] & facts["test"]


def test_sentences_come_in_an_order_that_tells_nothing_of_the_graph(generated):
    shares = []
    for row in generated:
        facts = re.split(r"(?<=\.) ", row["question"])[:-1]
        of_entities = [place for place, fact in enumerate(facts) if not fact.startswith("Every")]
        shares.append(fmean(of_entities) / (len(facts) - 1))
    assert fmean(shares) == pytest.approx(0.5, abs=0.02)


def test_few_names_are_enough_and_the_only_ones_used():
    rows = list(generate(50, concepts=10, **SMALL))
    assert {name for row in rows for name in row["idx_to_symbol"]} <= {*CONCEPTS[:10], *NAMES}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "dev"}, "split 'dev': there is none; choose from train, valid, test"),
        ({"concepts": 39}, "--concepts 39: there are 38"),
        ({"concepts": 25}, "--max-nodes 28: 2 entities and 26 concepts, which have 25 names"),
        ({"max_nodes": 41}, "--max-nodes 41: .* which have 38 names"),
        ({"min_nodes": 29}, "--min-nodes 29 and --max-nodes 28"),
        ({"min_path": 7}, "--min-path 7 and --max-path 6"),
        ({**SMALL, "min_path": 12, "max_path": 12}, "more (--max-)?nodes"),
    ],
)
def test_options_that_cannot_be_met_are_an_error(task, options, message):
    with pytest.raises(InputError, match=message):
        list(task(9, **options))


def test_asking_for_more_rows_than_there_are_graphs_is_an_error():
    with pytest.raises(InputError, match=r"--rows 100000: \d+ found and hardly more graphs"):
        list(generate(100_000, min_nodes=4, max_nodes=4, min_path=1, max_path=1, concepts=2))


def test_published_file_is_found_by_split_and_given_as_it_is(tmp_path, monkeypatch):
    rows = list(generate(3, **SMALL))
    (tmp_path / "prosqa").mkdir()
    (tmp_path / "prosqa" / "prosqa_test.json").write_text(json.dumps([{**row, "more": 1} for row in rows]))
    monkeypatch.setenv("MIXLM_DATA", str(tmp_path))
    assert list(load("test")) == rows
    with pytest.raises(InputError, match="prosqa_train.json: no such file"):
        list(load("train"))
    assert list(load("train", source=tmp_path / "prosqa" / "prosqa_test.json")) == rows
    monkeypatch.delenv("MIXLM_DATA")
    with pytest.raises(InputError, match="prosqa: where is prosqa/prosqa_valid.json.* or give the file as --source"):
        list(load("valid"))


@pytest.mark.parametrize(("column", "value"), [("steps", "text"), ("question", None), ("root", "0")])
def test_file_of_another_kind_is_an_error(tmp_path, column, value):
    row = {**next(generate(1, **SMALL)), column: value}
    (tmp_path / "rows.json").write_text(json.dumps([row]))
    with pytest.raises(InputError, match=rf"rows.json:1: no \w+ in column '{column}'; give ProsQA's own file"):
        list(load("test", source=tmp_path / "rows.json"))
