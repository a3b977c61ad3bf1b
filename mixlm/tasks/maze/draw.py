"""Drawing mazes of rooms at random."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from mixlm.errors import InputError
from mixlm.tasks.maze.grid import COLOURS, LONGEST, Cell, Maze
from vqvae.option_types import require_types


Room = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """A grid of rooms, each with a wall of one cell to the next.

    Attributes:
        room_rows: Rooms from top to bottom.
        room_columns: Rooms from left to right.
        room_size: Cells of a room's side. The walls between rooms are one cell thick.
        doors: Doors, each of its own colour, with as many keys.
        loops: Chance of an opening between neighbouring rooms, beside those that join all rooms in a tree.
    """

    room_rows: int = 3
    room_columns: int = 3
    room_size: int = 3
    doors: int = 3
    loops: float = 0.25

    def __post_init__(self) -> None:
        """Raise an ``InputError`` if there are no such mazes."""
        require_types(self)
        for name in ("room_rows", "room_columns", "room_size"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} {getattr(self, name)}: give 1 or more")
        if max(self.rows, self.columns) > LONGEST:
            size = f"{self.rows} x {self.columns} cells"
            raise InputError(
                f"--room-size {self.room_size}: the maze has {size}, at most {LONGEST} a side can be named"
            )
        rooms = self.room_rows * self.room_columns
        cells = rooms * self.room_size**2
        most = max(min(len(COLOURS), rooms - 1, cells - 2), 0)
        if not 0 <= self.doors <= most:
            raise InputError(f"--doors {self.doors}: {rooms} rooms of {cells} cells take 0 to {most}; give more rooms")
        if cells < 2:
            raise InputError("--room-size 1: one cell cannot hold agent and goal; give more rooms")
        if not 0 <= self.loops <= 1:
            raise InputError(f"--loops {self.loops}: a chance; give 0 to 1")

    @property
    def rows(self) -> int:
        """Cells from top to bottom."""
        return self.room_rows * (self.room_size + 1) - 1

    @property
    def columns(self) -> int:
        """Cells from left to right."""
        return self.room_columns * (self.room_size + 1) - 1


def draw_maze(layout: Layout, rng: random.Random) -> Maze:
    """Draw a maze: openings that join all rooms, doors in some of them, keys, agent and goal in the rooms.

    It need not be solvable.
    """
    openings = [_opening(layout, pair, rng) for pair in _joined(layout, rng)]
    within = [cell for cell in product(range(layout.rows), range(layout.columns)) if _in_room(layout, cell)]
    between = set(product(range(layout.rows), range(layout.columns))) - set(within)
    colours = COLOURS[: layout.doors]
    doors = rng.sample(openings, layout.doors)
    agent, goal, *keys = rng.sample(within, layout.doors + 2)
    walls = frozenset(between - set(openings))
    things = (dict(zip(colours, cells, strict=True)) for cells in (keys, doors))
    return Maze(layout.rows, layout.columns, walls, *things, agent, goal)


def _joined(layout: Layout, rng: random.Random) -> Iterator[tuple[Room, Room]]:
    """Yield the pairs of neighbouring rooms with an opening: a random tree of all rooms, and some others."""
    pairs = [*_pairs(layout)]
    rng.shuffle(pairs)
    part = {room: {room} for pair in pairs for room in pair}  # the rooms joined to each so far
    for one, other in pairs:
        if part[one] is not part[other]:
            part[one] |= part[other]
            part.update(dict.fromkeys(part[other], part[one]))
            yield one, other
        elif rng.random() < layout.loops:
            yield one, other


def _pairs(layout: Layout) -> Iterator[tuple[Room, Room]]:
    for row, column in product(range(layout.room_rows), range(layout.room_columns)):
        if row + 1 < layout.room_rows:
            yield (row, column), (row + 1, column)
        if column + 1 < layout.room_columns:
            yield (row, column), (row, column + 1)


def _opening(layout: Layout, pair: tuple[Room, Room], rng: random.Random) -> Cell:
    """Return a cell of the wall between two rooms, the first above or left of the second."""
    (row, column), (below, _) = pair
    side = layout.room_size + 1
    along = rng.randrange(layout.room_size)
    if below > row:
        return below * side - 1, column * side + along
    return row * side + along, (column + 1) * side - 1


def _in_room(layout: Layout, cell: Cell) -> bool:
    side = layout.room_size + 1
    return cell[0] % side < layout.room_size and cell[1] % side < layout.room_size
