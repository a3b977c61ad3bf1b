import json

import pytest

from mixlm.data.samples import to_sample
from mixlm.data.template import Template
from mixlm.data.tokenization import tokenize_samples
from mixlm.errors import InputError
from mixlm.model.tokenizers import build_tokenizer
from mixlm.tasks.maze import task as maze
from mixlm.tasks.maze.grid import parse_maze
from mixlm.tasks.maze.plan import verify
from mixlm.tasks.maze.search import fewest_doors
from mixlm.tasks.maze.task import SPLITS
from mixlm.tasks.splits import split_of
from tests.mixlm.tasks.generating import generator


generate = generator(maze)
SMALL = {"room_rows": 2, "room_columns": 2, "room_size": 2, "doors": 1}


@pytest.mark.parametrize(
    ("options", "cells"),
    [
        ({"room_rows": 1, "room_columns": 2, "room_size": 2, "doors": 1}, (2, 5)),
        (SMALL, (5, 5)),
        ({"room_size": 1, "doors": 2, "needed": 2, "loops": 0.0}, (5, 5)),
        ({"room_rows": 4, "room_columns": 4, "room_size": 1, "doors": 2, "loops": 0.5}, (7, 7)),
        ({"room_rows": 1, "room_columns": 1, "room_size": 2, "doors": 0, "needed": 0}, (2, 2)),
        ({}, (11, 11)),
    ],
)
@pytest.mark.parametrize("trace", ["search", "closed"])
def test_rows_of_every_size_are_solved_and_an_event_is_eight_words(options, cells, trace):
    rows = [*generate(8, **options, trace=trace)]
    assert len({row["question"] for row in rows}) == 8
    for row in rows:
        drawn = parse_maze(row["question"])
        assert (drawn.rows, drawn.columns) == cells
        assert len(drawn.doors) == len(drawn.keys) == options.get("doors", 3)
        assert fewest_doors(drawn) >= options.get("needed", 1)
        assert verify(row["question"], row["answer"]).feasible
        assert row["length"] == len(row["answer"].split()) == verify(row["question"], row["answer"]).actions
        assert {len(step.split(" ")) for step in row["steps"]} == {8}
        assert {step.split()[0] for step in row["steps"]} == ({"create", "close"} if trace == "search" else {"close"})


def test_rooms_walls_openings_and_doors_stand_where_the_layout_says():
    openings, loops = set(), {0.0: set(), 1.0: set()}
    for chance, counts in loops.items():
        for row in generate(30, room_rows=2, room_columns=3, room_size=2, doors=2, loops=chance):
            drawn = parse_maze(row["question"])
            between = {(r, c) for r in range(5) for c in range(8) if r == 2 or c in (2, 5)}
            assert drawn.walls < between
            holes = between - drawn.walls
            assert set(drawn.doors.values()) <= holes
            assert not holes & {(2, 2), (2, 5)}  # corners
            assert not between & {drawn.agent, drawn.goal, *drawn.keys.values()}
            assert set(drawn.beside) == flood(drawn)
            counts.add(len(holes))
            openings |= holes
    assert loops == {0.0: {5}, 1.0: {7}}  # 6 rooms: a tree has 5 openings, the grid 7 walls between rooms
    assert len(openings) == 7 * 2


def flood(drawn) -> set:
    """Cells within reach if all doors were open."""
    found, queue = {drawn.agent}, [drawn.agent]
    for cell in queue:
        new = [other for other in drawn.beside[cell] if other not in found]
        found.update(new)
        queue += new
    return found


@pytest.mark.parametrize("needed", [0, 1, 2])
def test_needed_doors_are_the_least_that_any_way_opens(needed):
    least = {fewest_doors(parse_maze(row["question"])) for row in generate(60, room_size=1, doors=2, needed=needed)}
    assert least == set(range(needed, 3))


def test_sample_row_of_the_documentation():
    drawn, row = (text.split("\n\n")[0] for text in maze.__doc__.split("::\n\n")[1:])
    marks = {(r, c): mark for r, line in enumerate(drawn.split()) for c, mark in enumerate(line)}
    assert json.loads(row) == next(generate(1, seed=4, **SMALL, trace="closed"))
    parsed = parse_maze(json.loads(row)["question"])
    things = {parsed.agent: "A", parsed.goal: "G", parsed.keys["red"]: "r", parsed.doors["red"]: "R"}
    assert marks == {cell: "#" if cell in parsed.walls else things.get(cell, ".") for cell in marks}


def test_same_seed_same_bytes_another_seed_others():
    def lines(rows: int, **options) -> list[str]:
        return [json.dumps(row) for row in generate(rows, **options)]

    assert lines(12, seed=3) == lines(12, seed=3) == lines(20, seed=3)[:12]
    assert not set(lines(12, seed=3)) & set(lines(12, seed=4))


def test_options_of_the_trace_change_neither_mazes_nor_search():
    full, closed, retraced, plain = (
        [*generate(10, **SMALL, **options)]
        for options in ({}, {"trace": "closed"}, {"retrace": True}, {"heuristic": "manhattan"})
    )
    for one, two, three, four in zip(full, closed, retraced, plain, strict=True):
        assert one["question"] == two["question"] == three["question"] == four["question"]
        assert one["answer"] == two["answer"] == three["answer"]
        assert [step for step in one["steps"] if step.startswith("close")] == two["steps"]
        assert three["steps"][: len(one["steps"])] == one["steps"]
        assert len(three["steps"]) == len(one["steps"]) + one["length"] + 1
    assert [row["steps"] for row in full] != [row["steps"] for row in plain]


def test_no_question_is_in_two_splits_whatever_the_seed_and_none_twice_in_one():
    questions = [[row["question"] for row in generate(60, split, n, **SMALL)] for n, split in enumerate(SPLITS)]
    for split, drawn in zip(SPLITS, questions, strict=True):
        assert len(set(drawn)) == 60
        assert {split_of(question) for question in drawn} == {split}


def test_splits_together_hold_every_maze_once(monkeypatch):
    monkeypatch.setattr(maze, "_PATIENCE", 1500)
    found = []
    for split in SPLITS:
        with pytest.raises(InputError, match=f"--split {split}: no more than .* mazes found that need 1 doors; give"):
            for row in generate(1000, split, room_rows=1, room_columns=2, room_size=2, doors=1):
                found.append(row["question"])
    # agent and key in one of two rooms, the goal in the other, the door in one of two cells of the wall between
    assert len(found) == len(set(found)) == 2 * (4 * 3) * 4 * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"room_rows": 0}, "--room-rows 0: give 1 or more"),
        ({"room_size": 0}, "--room-size 0: give 1 or more"),
        ({"room_size": 9}, "--room-size 9: the maze has 29 x 29 cells, at most 26 a side can be named"),
        ({"doors": 7}, "--doors 7: 9 rooms of 81 cells take 0 to 6; give more rooms"),
        ({"room_rows": 1, "room_columns": 2}, "--doors 3: 2 rooms of 18 cells take 0 to 1; give more rooms"),
        ({"room_rows": 1, "room_size": 1, "doors": 2}, "--doors 2: 3 rooms of 3 cells take 0 to 1"),
        ({"doors": -1}, "--doors -1: give a whole number from 0"),
        ({"room_rows": 1, "room_columns": 1, "room_size": 1, "doors": 0, "needed": 0}, "one cell cannot hold"),
        ({"needed": 4}, "--needed 4: there are 3 doors; give 0 to 3"),
        ({"needed": -1}, "--needed -1: give a whole number from 0"),
        ({"loops": 1.5}, "--loops 1.5: a chance; give 0 to 1"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(options, message):
    with pytest.raises(InputError) as caught:
        next(generate(1, **options))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{"room_size": 1, "retrace": True}, {"room_size": 2, "doors": 2}])
def test_a_word_is_a_token_and_an_event_eight_of_them(options):
    rows = [to_sample(row) for row in generate(40, **options)]
    template = Template(separator="")
    tokenizer = build_tokenizer("".join(template.render(row)) for row in rows)
    for row, tokens in zip(rows, tokenize_samples(tokenizer, template, rows), strict=True):
        assert set(tokens["step_lengths"]) == {8}
        assert len(tokens["prompt_ids"]) == len(row.question.split()) + 1  # and the end of the line
        assert len(tokens["solution_ids"]) == len(row.answer.split()) + 3  # line, ###, end of sequence


def test_where_a_split_has_no_maze_the_search_ends(monkeypatch):
    monkeypatch.setattr(maze, "_PATIENCE", 20)
    found = []
    for split in SPLITS:
        with pytest.raises(InputError, match="different mazes found"):
            for row in generate(3, split, room_rows=1, room_columns=2, room_size=1, doors=0, needed=0):
                found.append(row["question"])
    assert len(found) == len(set(found)) == 2  # the agent in one of two cells, the goal in the other
