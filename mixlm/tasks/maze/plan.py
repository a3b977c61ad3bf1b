"""Replaying a plan through a maze by the text of its question alone, to see whether it holds or where it fails."""

from dataclasses import dataclass

from mixlm.tasks.maze.grid import COLOURS, Cell, Maze, State, cell_at, cell_name, neighbours, parse_maze


@dataclass(frozen=True)
class Verdict:
    """What came of a plan.

    Attributes:
        feasible: It obeys all rules and stops at the goal; it may be longer than need be.
        actions: How many of its actions obeyed the rules.
        failure: What is wrong with the action after those; None if nothing is.
    """

    feasible: bool
    actions: int
    failure: str | None = None


class _Refused(Exception):
    """An action against the rules."""


def verify(question: str, plan: str) -> Verdict:
    """Replay a plan.

    Args:
        question: The text of the question.
        plan: Words: cells to walk to, ``take``, ``open``.

    Returns:
        The verdict; actions are counted from 1.

    Raises:
        InputError: If the question describes no maze. A bad plan is never an error.
    """
    maze = parse_maze(question)
    state, actions = maze.first, plan.split()
    for number, action in enumerate(actions, 1):
        try:
            state = _after(maze, state, action)
        except _Refused as refused:
            return Verdict(False, number - 1, f"action {number}, '{action}': {refused}")
    if state.cell != maze.goal:
        end = f"after {len(actions)} actions: at {_place(state.cell)}, not at the goal, {_place(maze.goal)}"
        return Verdict(False, len(actions), end)
    return Verdict(True, len(actions))


def _after(maze: Maze, state: State, action: str) -> State:
    if state.cell == maze.goal:
        raise _Refused("the goal is reached, nothing may follow")
    if action == "take":
        return _take(maze, state)
    if action == "open":
        return _open(maze, state)
    return _walk(maze, state, action)


def _walk(maze: Maze, state: State, word: str) -> State:
    cell = cell_at(word)
    if cell is None:
        raise _Refused("neither a cell nor 'take' nor 'open'")
    if cell[0] >= maze.rows or cell[1] >= maze.columns:
        raise _Refused(f"{_place(cell)} is outside the maze of {maze.rows} rows and {maze.columns} columns")
    if cell not in neighbours(state.cell):
        raise _Refused(f"{_place(cell)} is not beside {_place(state.cell)}")
    if cell in maze.walls:
        raise _Refused(f"a wall at {_place(cell)}")
    for colour, door in maze.doors.items():
        if cell == door and colour not in state.opened:
            raise _Refused(f"the {colour} door at {_place(cell)} is shut")
    return state._replace(cell=cell)


def _take(maze: Maze, state: State) -> State:
    gone = {state.key, *state.opened}
    here = [colour for colour, cell in maze.keys.items() if cell == state.cell and colour not in gone]
    if not here:
        raise _Refused(f"no key at {_place(state.cell)}")
    if state.key:
        raise _Refused(f"the hand holds the {state.key} key")
    return state._replace(key=here[0])


def _open(maze: Maze, state: State) -> State:
    if not state.key:
        raise _Refused("no key in hand")
    if maze.doors.get(state.key) not in neighbours(state.cell):
        raise _Refused(f"no {state.key} door beside {_place(state.cell)}")
    opened = {state.key, *state.opened}
    return State(state.cell, "", tuple(colour for colour in COLOURS if colour in opened))


def _place(cell: Cell) -> str:
    return f"{cell_name(cell)} (row {cell[0] + 1}, column {cell[1] + 1})"
