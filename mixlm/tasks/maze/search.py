"""Nondeterministic A* through a maze with keys and doors, every step of it written down.

Every action costs 1: to walk to a cell beside, to ``take`` the key that lies there with an empty hand, to ``open`` the
door beside with the key of its colour, which is then used up.

Two heuristics, both blind to walls, tell how many actions are left at least:

- "manhattan": rows and columns to the goal.
- "keys": where every way from the start to the goal passes a certain door, and the agent is on this side of it, rows
  and columns to its key, from there to the door and on to the goal, and 1 each to take and to open; less what is done.
  The greatest number over these doors and "manhattan".

Neither is more than what is left, nor falls by more than the 1 that an action costs: a step changes a distance by at
most 1, and what is left by way of a door falls by 1 when its key is taken, when it is opened and when it is entered.
So a state is closed only when it has been reached in the cheapest way, and the plan is a shortest one.
"""

import heapq
import random
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from mixlm.tasks.maze.grid import COLOURS, NONE, Cell, Maze, State, cell_name


Heuristic = Literal["keys", "manhattan"]
TAKE, OPEN = "take", "open"


class Event(NamedTuple):
    """Something the search did.

    Attributes:
        kind: "create": found the state, or a cheaper way to it; "close": went on from it; "back": read it again as
            part of the plan.
        state: The state.
        parent: Cell of the state it was reached from; None for the first state.
        cost: Actions from the start.
        left: The heuristic: at least so many actions are left.
    """

    kind: str
    state: State
    parent: Cell | None
    cost: int
    left: int

    def __str__(self) -> str:
        """Return the event as eight words.

        >>> str(Event("close", State((1, 2), "", ("red", "blue")), (1, 1), 4, 7))
        'close bc from bb none redblue 4 7'
        """
        parent = cell_name(self.parent) if self.parent else NONE
        state = f"{self.state.key or NONE} {''.join(self.state.opened) or NONE}"
        return f"{self.kind} {cell_name(self.state.cell)} from {parent} {state} {self.cost} {self.left}"


class Search(NamedTuple):
    """A finished search.

    Attributes:
        events: "create" and "close", in their order.
        back: "back": the states of the plan from the goal to the start.
        plan: The actions.
    """

    events: list[Event]
    back: list[Event]
    plan: list[str]


class _Node(NamedTuple):
    cost: int
    parent: State | None
    action: str


def successors(maze: Maze, state: State) -> Iterator[tuple[str, State]]:
    """Yield every action that can be done in ``state`` with the state it leads to."""
    cell, key, opened = state
    kind, colour = maze.things.get(cell, ("", ""))
    if kind == "key" and not key and colour not in opened:
        yield TAKE, State(cell, colour, opened)
    for other in maze.beside[cell]:
        kind, colour = maze.things.get(other, ("", ""))
        if kind != "door" or colour in opened:
            yield cell_name(other), State(other, key, opened)
        elif colour == key:
            yield OPEN, State(cell, "", tuple(it for it in COLOURS if it == colour or it in opened))


def fewest_doors(maze: Maze) -> int | None:
    """Return how many doors must be opened to reach the goal; None if it cannot be reached."""
    layer, seen = [maze.first], {maze.first}  # a layer: states with equally many doors open
    while layer:
        beyond: list[State] = []
        for state in layer:  # grows meanwhile
            if state.cell == maze.goal:
                return len(state.opened)
            for _, after in successors(maze, state):
                if after not in seen:
                    seen.add(after)
                    (layer if after.opened == state.opened else beyond).append(after)
        layer = beyond
    return None


def least_left(maze: Maze, heuristic: Heuristic) -> Callable[[State], int]:
    """Return the function that says how many actions are left at least; the heuristics are described above."""

    def to_goal(state: State) -> int:
        """Count rows and columns to the goal."""
        return _distance(state.cell, maze.goal)

    def by_keys(state: State) -> int:
        """Count them by way of every key and door that the goal lies behind."""
        return max([to_goal(state), *(_through(maze, it, state) for it in shut if state.cell in shut[it])])

    shut = {colour: _before(maze, door) for colour, door in maze.doors.items() if colour in maze.keys}
    shut = {colour: cells for colour, cells in shut.items() if maze.goal not in cells}
    return by_keys if shut and heuristic == "keys" else to_goal


def _distance(one: Cell, other: Cell) -> int:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def _before(maze: Maze, door: Cell) -> set[Cell]:
    """Return the cells to which steps lead from the start with this door shut and all others open."""
    found, queue = {maze.agent}, [maze.agent]
    for cell in queue:  # grows meanwhile
        new = [other for other in maze.beside[cell] if other != door and other not in found]
        found.update(new)
        queue += new
    return found


def _through(maze: Maze, colour: str, state: State) -> int:
    """Return the least number of actions to the goal by way of a door, and of its key if that is still needed."""
    key, door = maze.keys[colour], maze.doors[colour]
    rest = _distance(door, maze.goal)
    if colour in state.opened:
        return _distance(state.cell, door) + rest
    if state.key == colour:
        return _distance(state.cell, door) + 1 + rest
    return _distance(state.cell, key) + 1 + _distance(key, door) + 1 + rest


def search(maze: Maze, rng: random.Random, heuristic: Heuristic = "keys") -> Search | None:
    """Return a shortest plan and how it was found; None if there is none.

    Args:
        maze: The maze.
        rng: Decides between states of equal cost so far plus heuristic, and the order in which actions are looked at.
        heuristic: "keys" or "manhattan".
    """
    left = least_left(maze, heuristic)
    nodes = {maze.first: _Node(0, None, "")}
    frontier = [(0, 0.0, maze.first)]
    events, closed = [_event("create", maze.first, nodes, left)], set()
    while frontier:
        state = heapq.heappop(frontier)[-1]
        if state in closed:  # put in again when a cheaper way to it was found
            continue
        closed.add(state)
        events.append(_event("close", state, nodes, left))
        if state.cell == maze.goal:
            return _found(state, nodes, left, events)
        actions = list(successors(maze, state))
        rng.shuffle(actions)
        cost = nodes[state].cost + 1
        for action, after in actions:
            if after not in nodes or cost < nodes[after].cost:
                nodes[after] = _Node(cost, state, action)
                events.append(_event("create", after, nodes, left))
                heapq.heappush(frontier, (cost + left(after), rng.random(), after))
    return None


def _event(kind: str, state: State, nodes: dict[State, _Node], left: Callable[[State], int]) -> Event:
    cost, parent, _ = nodes[state]
    return Event(kind, state, parent.cell if parent else None, cost, left(state))


def _found(goal: State, nodes: dict[State, _Node], left: Callable[[State], int], events: list[Event]) -> Search:
    back, plan = [], []
    state: State | None = goal
    while state:
        back.append(_event("back", state, nodes, left))
        plan.append(nodes[state].action)
        state = nodes[state].parent
    return Search(events, back, plan[-2::-1])
