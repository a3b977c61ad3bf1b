import csv
import json
import os
from pathlib import Path

import pytest

from mixlm.analysis.outcomes import OUTCOMES, classify, outcome_finding, path_sentences
from mixlm.analysis.prosqa_graph import ConceptGraph
from mixlm.data.template import Template
from mixlm.errors import InputError
from mixlm.evaluation.statistics import wilson_interval


# Alex -> a -> c -> e, Alex -> b -> d -> e, a -> b, e -> g; Bob -> f. Both paths of three steps to e are shortest.
GRAPH = ConceptGraph.from_row(
    {
        "idx_to_symbol": ["Alex", "Bob", "a", "b", "c", "d", "e", "f", "g"],
        "edges": [[0, 2], [2, 4], [4, 6], [0, 3], [3, 5], [5, 6], [2, 3], [6, 8], [1, 7]],
        "root": 0,
        "target": 6,
        "neg_target": 7,
    },
    "row 0",
)
RIGHT, WRONG = "### Alex is a e.", "### Alex is a f."


def outcome(*lines, graph=GRAPH):
    text = "\n".join(lines)
    return classify(text, Template().find_answer(text), graph)


@pytest.mark.parametrize(
    "steps",
    [
        ["Alex is a a.", "Every a is a c.", "Every c is a e."],
        ["Alex is a b.", "Every b is a d.", "Every d is a e."],  # the other shortest path
        ["Every a is a c.", "Every c is a e."],  # completed by Alex -> a
        ["Every d is a e."],
    ],
)
def test_correct_path(steps):
    assert outcome(*steps, RIGHT) == "correct path"


@pytest.mark.parametrize(
    "steps",
    [
        ["Alex is a a.", "Every a is a b.", "Every b is a d.", "Every d is a e."],
        ["Every a is a b.", "Every b is a d.", "Every d is a e."],  # one step to a, so four in all
    ],
)
def test_longer_path(steps):
    assert outcome(*steps, RIGHT) == "longer path"


def test_a_partial_path_is_measured_from_its_first_node():
    # The detour over a is not part of the text, and b is one hop away.
    assert outcome("Every b is a d.", "Every d is a e.", RIGHT) == "correct path"


@pytest.mark.parametrize(
    "steps",
    [
        ["Alex is a c.", "Every c is a e."],  # no such edge
        ["Alex is a a.", "Every c is a e."],  # disconnected
        ["Alex is a a.", "Every a is a zumpus."],  # unknown name
        ["Every zumpus is a e."],
        ["Every a is a Alex.", "Every a is a c."],  # an edge read backwards
        ["Alex is a a.", "So it goes.", "Every a is a c.", "Every c is a e."],
        ["Bob is a f."],  # an edge that nothing leads to
        ["Alex is a a.", "Alex is a a.", "Every a is a c.", "Every c is a e."],
        ["Alex is a a and a b."],
    ],
)
@pytest.mark.parametrize("conclusion", [RIGHT, WRONG, ""])
def test_hallucination(steps, conclusion):
    assert outcome(*steps, conclusion) == "hallucination"


@pytest.mark.parametrize(
    ("steps", "conclusion"),
    [
        (["Alex is a a.", "Every a is a c."], RIGHT),  # stops too early
        (["Alex is a a.", "Every a is a c.", "Every c is a e.", "Every e is a g."], RIGHT),  # goes on
        (["Alex is a a.", "Every a is a c."], WRONG),
        (["Alex is a a.", "Every a is a c."], ""),
        (["Alex is a a.", "Every a is a c.", "Every c is a e."], WRONG),  # the conclusion contradicts
        (["Alex is a a.", "Every a is a c.", "Every c is a e."], "###"),
    ],
)
def test_wrong_target(steps, conclusion):
    assert outcome(*steps, conclusion) == "wrong target"


def test_a_path_without_conclusion_is_judged_as_a_path():
    steps = ["Alex is a a.", "Every a is a c.", "Every c is a e."]
    assert outcome(*steps) == "correct path"
    assert outcome(*steps, "Alex is") == "correct path"  # cut off
    assert outcome(*steps, "Alex is a f") == "correct path"


@pytest.mark.parametrize("text", [RIGHT, "\n " + RIGHT, "### Alex  is an e", "###Alex is a e ."])
def test_correct_label(text):
    assert outcome(text) == "correct label"


def test_the_last_of_several_markers_begins_the_conclusion():
    assert outcome("Every d is a e.", "###", "### Alex is a e.") == "hallucination"  # the first is no step


@pytest.mark.parametrize(
    "text", [WRONG, "", "Alex is a", "###", "### Bob is a e.", "### e", "### Alex is a e. Or f.", "### Alex is a E."]
)
def test_incorrect_label(text):
    assert outcome(text) == "incorrect label"


def test_form_of_sentences_is_read_kindly():
    assert outcome("Every Alex is an a. a  is a\nc.  c is a e", RIGHT) == "correct path"


def test_another_marker():
    text = "Alex is a a.\nEvery a is a c.\nEvery c is a e.\nSo: Alex is a e."
    answer = Template(solution="\nSo: {answer}").find_answer(text)
    assert classify(text, answer, GRAPH, marker="\nSo: ") == "correct path"
    assert path_sentences("Alex is a e.", "Alex is a e.", marker="") == []


@pytest.fixture(scope="module")
def prosqa():
    if "MIXLM_DATA" not in os.environ:
        pytest.skip("MIXLM_DATA is not set")
    path = Path(os.environ["MIXLM_DATA"]) / "prosqa" / "prosqa_valid.json"
    return json.loads(path.read_text(encoding="utf-8"))


def test_gold_steps_of_prosqa_are_correct_paths(prosqa):
    for number, row in enumerate(prosqa):
        graph = ConceptGraph.from_row(row, f"row {number}")
        for left_out in range(len(row["steps"])):
            assert outcome(*row["steps"][left_out:], f"### {row['answer']}", graph=graph) == "correct path"
        assert outcome(f"### {row['answer']}", graph=graph) == "correct label"
        wrong = f"### {graph.names[graph.root]} is a {graph.names[graph.negative]}."
        assert outcome(*row["steps"], wrong, graph=graph) == "wrong target"


def record(row, text, latents="free"):
    return {"row": row, "text": text, "answer": Template().find_answer(text), "latents": latents}


def test_table_counts_every_class_of_every_mode(tmp_path):
    records = [record(0, RIGHT), record(1, WRONG), record(2, RIGHT), record(3, "Every d is a e.\n" + RIGHT)]
    records += [record(0, "Bob is a f.\n" + RIGHT, "text")]
    finding = outcome_finding(records, {row: GRAPH for row in range(4)})

    assert list(finding.rows[0]) == ["latents", "outcome", "count", "share", "low", "high", "answers"]
    assert [(row["latents"], row["outcome"]) for row in finding.rows] == [
        (mode, name) for mode in ("free", "text") for name in OUTCOMES
    ]
    assert [row["count"] for row in finding.rows] == [1, 0, 0, 0, 2, 1, 0, 0, 1, 0, 0, 0]
    label = finding.rows[4]
    assert (label["share"], label["low"], label["high"]) == wilson_interval(2, 4)
    assert label["answers"] == 4
    assert_written(finding, tmp_path)


def test_several_answers_to_a_row_count_as_one():
    records = [record(0, RIGHT), record(0, WRONG), record(1, RIGHT), record(1, RIGHT)]
    row = outcome_finding(records, {0: GRAPH, 1: GRAPH}).rows[4]
    assert (row["count"], row["answers"]) == (3, 4)
    assert (row["share"], row["low"], row["high"]) == wilson_interval(1.5, 2)


def test_marker_of_the_table():
    row = {"row": 0, "text": "Every d is a e. So: Alex is a e.", "answer": "Alex is a e.", "latents": "free"}
    assert [found["count"] for found in outcome_finding([row], {0: GRAPH}, marker="So:").rows] == [1, 0, 0, 0, 0, 0]


def test_refusals():
    with pytest.raises(InputError, match="no answers to classify; give another file"):
        outcome_finding([], {})
    with pytest.raises(InputError, match="row 7: has no graph; take the rows"):
        outcome_finding([record(7, RIGHT)], {0: GRAPH})


def assert_written(finding, folder):
    table, picture = finding.write(folder)
    with table.open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert len(read) == len(finding.rows) and list(read[0]) == list(finding.rows[0])
    assert picture.stat().st_size > 5000
