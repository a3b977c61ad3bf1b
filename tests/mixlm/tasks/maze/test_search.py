import random
from itertools import product

import pytest

from mixlm.tasks.maze import task as maze
from mixlm.tasks.maze.draw import Layout, draw_maze
from mixlm.tasks.maze.grid import parse_maze, render_maze
from mixlm.tasks.maze.search import Event, fewest_doors, least_left, search
from tests.mixlm.tasks.generating import generator


generate = generator(maze)
STORY = "size 2 8 walls af bc keys red ad blue ba doors red bf blue ac agent aa goal ah"  # drawn in test_maze_plan.py
CORRIDOR = "size 1 5 walls keys red aa doors red ad agent ab goal ae"  # r A . R G
SIZES = [(1, 3, 2, 1), (2, 2, 2, 2), (3, 3, 1, 2), (2, 3, 3, 3)]
HEURISTICS = ["keys", "manhattan"]


def distances(question: str, start: tuple | None = None) -> tuple[dict[tuple, int], int | None]:
    """Breadth first, sharing nothing with the solver: actions from ``start`` to every state, and to the goal."""
    words = question.split()
    heads = [words.index(it) for it in ("walls", "keys", "doors", "agent")]
    walls = set(words[heads[0] + 1 : heads[1]])
    keys = dict(zip(words[heads[1] + 2 : heads[2] : 2], words[heads[1] + 1 : heads[2] : 2], strict=True))
    doors = dict(zip(words[heads[2] + 2 : heads[3] : 2], words[heads[2] + 1 : heads[3] : 2], strict=True))
    floor = {chr(97 + r) + chr(97 + c) for r, c in product(range(int(words[1])), range(int(words[2])))} - walls
    first = start or (words[heads[3] + 1], "none", frozenset())
    found, queue = {first: 0}, [first]
    for cell, key, opened in queue:
        near = [chr(ord(cell[0]) + r) + chr(ord(cell[1]) + c) for r, c in ((0, 1), (0, -1), (1, 0), (-1, 0))]
        after = [(it, key, opened) for it in near if it in floor and (it not in doors or doors[it] in opened)]
        after += [(cell, "none", opened | {key}) for it in near if it in doors and doors[it] == key]
        if key == "none" and cell in keys and keys[cell] not in opened:
            after.append((cell, keys[cell], opened))
        for state in after:
            if state not in found:
                found[state] = found[cell, key, opened] + 1
                queue.append(state)
    return found, min((cost for (cell, *_), cost in found.items() if cell == words[-1]), default=None)


def mazes(count: int, *size: int) -> list[str]:
    """Questions, solvable or not."""
    rng, layout = random.Random(0), Layout(*size, loops=0.3)
    return [render_maze(draw_maze(layout, rng)) for _ in range(count)]


def state_of(words: list[str]) -> tuple:
    colours = ("red", "green", "blue", "yellow", "purple", "orange")
    return words[1], words[4], frozenset(it for it in colours if it in words[5])


@pytest.mark.parametrize("heuristic", HEURISTICS)
def test_the_story_is_solved_as_by_hand(heuristic):
    found = search(parse_maze(STORY), random.Random(0), heuristic)
    assert len(found.plan) == 15
    landmarks = [it for it in found.plan if it in ("ba", "take", "open", "ac", "ad", "bf", "ah")]
    assert landmarks == ["ba", "take", "open", "ac", "ad", "take", "open", "bf", "ah"]


def test_heuristics_by_hand():
    maze = parse_maze(STORY)
    # to the blue key 1, take, to its door 3, open, on to the goal 5; or to the red key 3, take, 3, open, 3
    assert least_left(maze, "keys")(maze.first) == 1 + 1 + 3 + 1 + 5 == 3 + 1 + 3 + 1 + 3
    assert least_left(maze, "manhattan")(maze.first) == 7
    loop = parse_maze(STORY.replace("walls af bc", "walls af"))  # a way round the blue door
    assert least_left(loop, "keys")(loop.first) == 3 + 1 + 3 + 1 + 3
    free = parse_maze(STORY.replace("walls af bc", "walls"))
    assert least_left(free, "keys")(free.first) == 7


def test_trace_of_a_corridor_by_hand():
    found = search(parse_maze(CORRIDOR), random.Random(0))
    closed = [
        "close ab from none none none 0 7",
        "close aa from ab none none 1 6",
        "close aa from aa red none 2 5",
        "close ab from aa red none 3 4",
        "close ac from ab red none 4 3",
        "close ac from ac none red 5 2",
        "close ad from ac none red 6 1",
        "close ae from ad none red 7 0",
    ]
    assert [str(it) for it in found.events if it.kind == "close"] == closed
    aside = ["create ab from ac none red 6 3", "create ac from ab none none 1 8"]  # f = 9
    created = [str(it) for it in found.events if it.kind == "create"]
    assert sorted(created) == sorted([*(line.replace("close", "create") for line in closed), *aside])
    assert [str(it) for it in found.back] == [line.replace("close", "back") for line in reversed(closed)]
    assert found.plan == "aa take ab ac open ad ae".split()


@pytest.mark.parametrize("heuristic", HEURISTICS)
@pytest.mark.parametrize("size", SIZES)
def test_plans_are_as_short_as_breadth_first_finds_them_or_there_are_none(size, heuristic):
    solved = 0
    for seed, question in enumerate(mazes(60, *size)):
        found, (_, least) = search(parse_maze(question), random.Random(seed), heuristic), distances(question)
        assert (len(found.plan) if found else None) == least
        closed = [it.state for it in found.events if it.kind == "close"] if found else []
        assert len(set(closed)) == len(closed)
        solved += found is not None
    assert 10 < solved < 60


@pytest.mark.parametrize("size", SIZES)
def test_fewest_doors(size):
    counts = set()
    for question in mazes(100, *size):
        goal = question.split()[-1]
        opened = [len(doors) for cell, _, doors in distances(question)[0] if cell == goal]
        assert fewest_doors(parse_maze(question)) == min(opened, default=None)
        counts.add(min(opened, default=None))
    assert counts >= {None, 0, 1}


@pytest.mark.parametrize("heuristic", HEURISTICS)
def test_heuristics_never_say_too_much_nor_fall_by_more_than_an_action_costs(heuristic):
    exact = 0
    for question in mazes(12, 2, 2, 2, 2):
        maze = parse_maze(question)
        left, found = least_left(maze, heuristic), search(maze, random.Random(0), heuristic)
        if not found:
            continue
        for event in found.events:
            _, true = distances(question, state_of(str(event).split()))
            assert event.left == left(event.state)
            assert true is None or event.left <= true
            exact += event.left == true
        costs = {event.state: event.cost + event.left for event in found.events if event.kind == "close"}
        assert list(costs.values()) == sorted(costs.values())  # a consistent heuristic closes in this order
    assert exact


@pytest.mark.parametrize("heuristic", HEURISTICS)
def test_every_event_is_true(heuristic):
    for row in generate(15, room_size=2, doors=2, heuristic=heuristic):
        costs, least = distances(row["question"])
        events = [step.split() for step in row["steps"]]
        created, closed, expanded = {}, {}, ["", "none"]
        for words in events:
            state, cost = state_of(words), int(words[6])
            if words[0] == "create":
                assert state not in closed
                assert cost < created.get(state, cost + 1)
                assert words[3] == expanded[1]
                assert not closed or cost == int(expanded[6]) + 1
                created[state] = cost
            else:
                assert state not in closed
                assert created[state] == cost == costs[state]
                assert cost + int(words[7]) <= least
                closed[state], expanded = cost, words
        assert events[0][0] == "create"
        assert int(events[-1][6]) == least == row["length"]
        assert events[-1][1] == row["question"].split()[-1]


def test_the_way_back_is_the_plan_in_reverse():
    for row in generate(15, room_size=2, retrace=True):
        back = [words for words in map(str.split, row["steps"]) if words[0] == "back"]
        assert [int(words[6]) for words in back] == [*range(row["length"], -1, -1)]
        plan = []
        for after, before in zip(back, back[1:], strict=False):
            assert after[3] == before[1]
            took, opened = after[4] != "none" and before[4] == "none", after[5] != before[5]
            plan.insert(0, "take" if took else "open" if opened else after[1])
        assert " ".join(plan) == row["answer"]


def test_one_maze_many_traces_and_the_same_for_the_same_seed():
    maze = parse_maze(next(generate(1, room_size=2, doors=1))["question"])
    found = [search(maze, random.Random(seed)) for seed in range(20)]
    assert search(maze, random.Random(3)) == found[3]
    assert len({tuple(one.events) for one in found}) == 20
    assert len({tuple(it.state for it in one.events if it.kind == "close") for one in found}) > 10  # ties
    assert len({tuple(one.plan) for one in found}) > 1
    assert len({len(one.plan) for one in found}) == 1
    story = [search(parse_maze(STORY), random.Random(seed)) for seed in range(20)]
    first = {tuple(str(it).split()[1] for it in one.events[2:4]) for one in story}  # right and down of the start
    assert first == {("ab", "ba"), ("ba", "ab")}


def test_colours_of_open_doors_are_one_word_in_a_fixed_order():
    rows = generate(30, doors=3, needed=2, room_size=1, trace="closed")
    words = {step.split()[5] for row in rows for step in row["steps"]}
    assert words <= {"none", "red", "green", "blue", "redgreen", "redblue", "greenblue", "redgreenblue"}
    assert "redgreen" in words
    assert len(str(Event("close", parse_maze(STORY).first, None, 0, 7)).split()) == 8
