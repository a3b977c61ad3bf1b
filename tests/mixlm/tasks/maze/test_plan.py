import random

import pytest

from mixlm.errors import InputError
from mixlm.tasks.maze import task as maze
from mixlm.tasks.maze.grid import cell_name, parse_maze, render_maze
from mixlm.tasks.maze.plan import Verdict, verify
from mixlm.tasks.maze.search import successors
from tests.mixlm.tasks.generating import generator


generate = generator(maze)
# A r # b        A agent, b blue key, B blue door, r red key, R red door, G goal:
#
#   A . B r . # . G
#   b . # . . R . .
STORY = "size 2 8 walls af bc keys red ad blue ba doors red bf blue ac agent aa goal ah"
PLAN = "ba take bb ab open ac ad take ae be open bf bg ag ah"
# Two keys and two doors within reach: A r b B . R . G
ROW = "size 1 8 walls keys red ab blue ac doors red af blue ad agent aa goal ah"


def failure(question: str, plan: str) -> tuple[int, str]:
    verdict = verify(question, plan)
    assert not verdict.feasible
    return verdict.actions, verdict.failure


def test_blue_key_blue_door_red_key_red_door_goal():
    assert verify(STORY, PLAN) == Verdict(feasible=True, actions=15, failure=None)


def test_a_plan_with_detours_is_feasible_and_white_space_is_free():
    assert verify(STORY, "ab aa " + PLAN) == Verdict(True, 17)
    assert verify(f" {STORY}\n", "\n ".join(PLAN.split())) == Verdict(True, 15)


def test_an_opened_door_can_be_passed_both_ways():
    assert verify(STORY, "ba take bb ab open ac ad ac ab ac ad take ae be open bf bg ag ah").feasible


@pytest.mark.parametrize(
    ("plan", "obeyed", "reason"),
    [
        ("ba grab", 1, "action 2, 'grab': neither a cell nor 'take' nor 'open'"),
        ("BA", 0, "action 1, 'BA': neither a cell nor 'take' nor 'open'"),
        ("ba ca", 1, "action 2, 'ca': ca (row 3, column 1) is outside the maze of 2 rows and 8 columns"),
        ("ai", 0, "action 1, 'ai': ai (row 1, column 9) is outside the maze of 2 rows and 8 columns"),
        ("aa", 0, "action 1, 'aa': aa (row 1, column 1) is not beside aa (row 1, column 1)"),
        ("bb", 0, "action 1, 'bb': bb (row 2, column 2) is not beside aa (row 1, column 1)"),
        ("ab ad", 1, "action 2, 'ad': ad (row 1, column 4) is not beside ab (row 1, column 2)"),
        ("ab bb bc", 2, "action 3, 'bc': a wall at bc (row 2, column 3)"),
        ("ab ac", 1, "action 2, 'ac': the blue door at ac (row 1, column 3) is shut"),
        ("take", 0, "action 1, 'take': no key at aa (row 1, column 1)"),
        ("ba take take", 2, "action 3, 'take': no key at ba (row 2, column 1)"),
        ("ba take bb ab open bb ba take", 7, "action 8, 'take': no key at ba (row 2, column 1)"),
        ("ab open", 1, "action 2, 'open': no key in hand"),
        ("ba take open", 2, "action 3, 'open': no blue door beside ba (row 2, column 1)"),
        ("ba take bb ab open open", 5, "action 6, 'open': no key in hand"),
        (PLAN + " ag", 15, "action 16, 'ag': the goal is reached, nothing may follow"),
        (PLAN + " take", 15, "action 16, 'take': the goal is reached, nothing may follow"),
        ("ba take", 2, "after 2 actions: at ba (row 2, column 1), not at the goal, ah (row 1, column 8)"),
        ("", 0, "after 0 actions: at aa (row 1, column 1), not at the goal, ah (row 1, column 8)"),
    ],
)
def test_every_rule_broken_alone(plan, obeyed, reason):
    assert failure(STORY, plan) == (obeyed, reason)


def test_one_key_at_a_time_and_each_for_its_own_door():
    assert failure(ROW, "ab take ac take") == (
        3,
        "action 4, 'take': the hand holds the red key",
    )
    assert failure(ROW, "ab take ac open") == (3, "action 4, 'open': no red door beside ac (row 1, column 3)")
    assert failure(ROW, "ab ac take open ad ae open") == (6, "action 7, 'open': no key in hand")
    assert verify(ROW, "ab ac take open ab take ac ad ae open af ag ah").feasible


def test_a_question_of_another_task_is_an_error():
    with pytest.raises(InputError, match="maze 'start 3 ; . 4': not 'size R C walls"):
        verify("start 3 ; + 4", "ba")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("size 2 8", "size 2", "not 'size R C"),
        ("walls af", "walls f", "not 'size R C"),
        ("red ad", "pink ad", "not 'size R C"),
        (" agent aa", "", "not 'size R C"),
        ("goal ah", "goal ah ag", "not 'size R C"),
        ("size 2 8", "size 2 7", "ah is outside its 2 rows and 7 columns"),
        ("size 2 8", "size 1 8", "bc is outside its 1 rows and 8 columns"),
        ("goal ah", "goal af", "two things in af"),
        ("walls af bc", "walls af af", "two things in af"),
        ("agent aa", "agent ba", "two things in ba"),
        ("red ad blue ba", "red ad red ba", "a colour stands twice in 'red ad red ba'"),
    ],
)
def test_a_question_that_describes_no_maze_is_an_error_of_one_line(old, new, problem):
    assert old in STORY
    with pytest.raises(InputError) as caught:
        parse_maze(STORY.replace(old, new))
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parsed_by_hand():
    maze = parse_maze(STORY)
    assert (maze.rows, maze.columns, maze.walls) == (2, 8, {(0, 5), (1, 2)})
    assert (maze.keys, maze.doors) == ({"red": (0, 3), "blue": (1, 0)}, {"red": (1, 5), "blue": (0, 2)})
    assert (maze.agent, maze.goal) == ((0, 0), (0, 7))


@pytest.mark.parametrize("options", [{}, {"room_size": 1, "doors": 0, "needed": 0}, {"room_columns": 6, "doors": 6}])
def test_parsing_undoes_rendering_and_rendering_parsing(options):
    for row in generate(20, **options):
        maze = parse_maze(row["question"])
        assert render_maze(maze) == row["question"]
        assert parse_maze(render_maze(maze)) == maze


def test_verifier_allows_exactly_what_the_search_does():
    rng = random.Random(0)
    for row in generate(4, doors=2, room_size=1):
        maze = parse_maze(row["question"])
        words = ["take", "open", *map(cell_name, [*maze.beside, *maze.walls])]
        state, plan = maze.first, []
        while state.cell != maze.goal and len(plan) < 60:
            moves = dict(successors(maze, state))
            allowed = {it for it in words if verify(row["question"], " ".join([*plan, it])).actions > len(plan)}
            assert allowed == set(moves)
            # what is rare in a random walk is done whenever it can be
            action = next((it for it in ("open", "take") if it in moves), rng.choice(sorted(moves)))
            state = moves[action]
            plan.append(action)
