"""Mazes of rooms with coloured keys and doors, and the text that stands for them.

A cell is written as two letters, its row and its column: ``bd`` is row 2, column 4. So a cell is one word in a maze of
any size, and no word of the format other than a cell has two letters.
"""

import re
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from typing import NamedTuple

from mixlm.errors import InputError


Cell = tuple[int, int]
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")
LONGEST = 26  # rows or columns: letters
NONE = "none"
_CELL = "[a-z]{2}"
_PLACES = rf"(?: (?:{'|'.join(COLOURS)}) {_CELL})*"
_QUESTION = re.compile(
    rf"size ([0-9]{{1,2}}) ([0-9]{{1,2}}) walls((?: {_CELL})*) keys({_PLACES}) doors({_PLACES})"
    rf" agent ({_CELL}) goal ({_CELL})"
)


class State(NamedTuple):
    """Where the agent stands.

    Attributes:
        cell: Its place.
        key: Colour of the key it carries; empty if it carries none.
        opened: Colours of the doors it has opened, in the order of ``COLOURS``. Their keys are used up.
    """

    cell: Cell
    key: str
    opened: tuple[str, ...]


@dataclass(frozen=True)
class Maze:
    """A maze; every key, door, wall, the agent and the goal has a cell of its own.

    Attributes:
        rows: Cells from top to bottom.
        columns: Cells from left to right.
        walls: Cells that cannot be entered.
        keys: Place of each key by its colour, in the order of ``COLOURS``.
        doors: Place of each door by its colour, in the order of ``COLOURS``.
        agent: Where the agent starts.
        goal: Where it has to stop.
    """

    rows: int
    columns: int
    walls: frozenset[Cell]
    keys: dict[str, Cell]
    doors: dict[str, Cell]
    agent: Cell
    goal: Cell

    @property
    def first(self) -> State:
        """The state before the first action."""
        return State(self.agent, "", ())

    @cached_property
    def beside(self) -> dict[Cell, list[Cell]]:
        """The neighbours of each cell that is no wall; of a door too, open or shut."""
        floor = set(product(range(self.rows), range(self.columns))) - self.walls
        return {cell: [other for other in neighbours(cell) if other in floor] for cell in floor}

    @cached_property
    def things(self) -> dict[Cell, tuple[str, str]]:
        """What lies in a cell: "key" or "door", and its colour."""
        kinds = (("key", self.keys), ("door", self.doors))
        return {cell: (kind, colour) for kind, places in kinds for colour, cell in places.items()}


def neighbours(cell: Cell) -> list[Cell]:
    """Return the cells above, below, left and right of ``cell``, also those outside a maze."""
    row, column = cell
    return [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]


@cache
def cell_name(cell: Cell) -> str:
    """Return the word for a cell.

    >>> cell_name((1, 3))
    'bd'
    """
    return "".join(chr(ord("a") + number) for number in cell)


def cell_at(word: str) -> Cell | None:
    """Return the cell for which ``word`` stands; None if it stands for none."""
    return _cell(word) if re.fullmatch(_CELL, word) else None


def render_maze(maze: Maze) -> str:
    """Return the question that describes ``maze``: walls row by row, keys and doors in the order of ``COLOURS``."""
    parts = [f"size {maze.rows} {maze.columns} walls", *map(cell_name, sorted(maze.walls))]
    for heading, places in (("keys", maze.keys), ("doors", maze.doors)):
        parts += [heading, *(f"{colour} {cell_name(places[colour])}" for colour in COLOURS if colour in places)]
    return " ".join([*parts, f"agent {cell_name(maze.agent)} goal {cell_name(maze.goal)}"])


def parse_maze(question: str) -> Maze:
    """Return the maze that a question describes; white space is free.

    Raises:
        InputError: If the text is no question of this task, a cell is outside the maze or holds two things, or a
            colour has two keys or two doors.
    """
    words = " ".join(question.split())
    found = _QUESTION.fullmatch(words)
    if not found:
        wanted = "'size R C walls .. keys .. doors .. agent .. goal ..' with cells like bd"
        raise InputError(f"maze '{words[:40]}': not {wanted}")
    rows, columns, walls, keys, doors, agent, goal = found.groups()
    cells = [_cell(word) for word in walls.split()]
    maze = Maze(int(rows), int(columns), frozenset(cells), _places(keys), _places(doors), _cell(agent), _cell(goal))
    _require_own_cells(maze, [*cells, *maze.keys.values(), *maze.doors.values(), maze.agent, maze.goal])
    return maze


def _cell(word: str) -> Cell:
    row, column = (ord(letter) - ord("a") for letter in word)
    return row, column


def _places(text: str) -> dict[str, Cell]:
    """Return cells by colour, in the order of ``COLOURS``."""
    words = text.split()
    found = dict(zip(words[::2], map(_cell, words[1::2]), strict=True))
    if 2 * len(found) < len(words):
        raise InputError(f"maze: a colour stands twice in '{text.strip()}'; give one key and one door of each")
    return {colour: found[colour] for colour in COLOURS if colour in found}


def _require_own_cells(maze: Maze, cells: list[Cell]) -> None:
    seen = set()
    for cell in cells:
        name = cell_name(cell)
        if cell[0] >= maze.rows or cell[1] >= maze.columns:
            raise InputError(f"maze: {name} is outside its {maze.rows} rows and {maze.columns} columns")
        if cell in seen:
            raise InputError(f"maze: two things in {name}; give each wall, key, door, agent and goal its own cell")
        seen.add(cell)
