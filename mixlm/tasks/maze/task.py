"""Keys-Finding Maze: rooms behind coloured doors, keys to find for them, a goal to reach (Token Assorted, 2025).

Four rooms of 2 x 2 cells, ``A`` the agent, ``G`` the goal, ``r`` the red key, ``R`` the red door, ``#`` walls::

    r....
    A.#..
    R##.#
    .G#..
    ..#..

The row of this maze with a closed trace::

    {"question": "size 5 5 walls bc cb cc ce dc ec keys red aa doors red ca agent ba goal db",
     "steps": ["close ba from none none none 0 7", "close aa from ba none none 1 6",
               "close aa from aa red none 2 5", "close ba from aa red none 3 4",
               "close ba from ba none red 4 3", "close ca from ba none red 5 2",
               "close da from ca none red 6 1", "close db from da none red 7 0"],
     "answer": "aa take ba open ca da db", "length": 7}

A cell is two letters, row and column. The question names the cells that are walls, and keys and doors by colour. The
agent carries one key at a time and cannot lay it down; opening the door of its colour uses it up.

A step of the trace is an event of an A* search, always eight words: ``create`` (found) or ``close`` (went on from), a
cell, ``from`` the cell before it, the key carried, the doors opened (``redblue``: both), actions so far, actions left
at least. ``none`` stands for no cell, key or door. ``back`` events read the plan from the goal to the start. Each word
is one token of a byte-level BPE tokenizer built from the rows; with ``--separator ""`` an event is eight tokens.

The answer is a shortest plan: cells to walk to, ``take``, ``open``; ``length`` counts its actions. The check "maze"
accepts any plan that obeys the rules, reaches the goal and stops there; ``plan.verify`` says where one fails.

A question belongs to one split for good, see ``splits``.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from mixlm.data.reading import RawRow
from mixlm.errors import InputError
from mixlm.tasks.maze.draw import Layout, draw_maze
from mixlm.tasks.maze.grid import Maze, render_maze
from mixlm.tasks.maze.search import Heuristic, Search, fewest_doors, search
from mixlm.tasks.splits import SPLITS, require_split, split_of


CHECK = "maze"
_SPLITS = 50  # times as many of other splits
_PATIENCE = 20_000  # mazes drawn in vain, one after another, until there are taken to be no more


@dataclass(frozen=True)
class Options(Layout):
    """What can be chosen about the mazes and their traces, beside the layout.

    Attributes:
        needed: So many doors must be opened at least to reach the goal.
        trace: search writes every state that A* creates or closes, closed those that it closes.
        heuristic: A* counts rows and columns to the goal; keys counts them by way of the key and door still needed.
        retrace: End the trace with the states of the plan, from the goal back to the start.
    """

    needed: int = 1
    trace: Literal["search", "closed"] = "search"
    heuristic: Heuristic = "keys"
    retrace: bool = False

    def __post_init__(self) -> None:
        """Raise an ``InputError`` if there are no such mazes."""
        super().__post_init__()
        if not 0 <= self.needed <= self.doors:
            raise InputError(f"--needed {self.needed}: there are {self.doors} doors; give 0 to {self.doors}")


def generate(rows: int, split: str = "train", seed: int = 0, options: Options = Options()) -> Iterator[RawRow]:
    """Yield rows with different mazes, all solvable, and the ``length`` of their plans; see ``mixlm.tasks``.

    Raises:
        InputError: If there is no such split, or there are not that many mazes.
    """
    require_split(split, SPLITS)
    for question, maze in islice(_mazes(options, split, seed), rows):
        # The trace has draws of its own: its options have no part in which mazes are drawn.
        found = search(maze, random.Random(f"{seed} {question}"), options.heuristic)
        steps, answer = _steps(found, options), " ".join(found.plan)
        yield {"question": question, "steps": steps, "answer": answer, "length": len(found.plan)}


def _mazes(options: Options, split: str, seed: int) -> Iterator[tuple[str, Maze]]:
    """Yield different solvable mazes of a split with their questions, until no more are found."""
    rng, seen, vain, others = random.Random(seed), set(), 0, 0
    while vain < _PATIENCE and others < _SPLITS * _PATIENCE:
        maze = draw_maze(options, rng)
        question = render_maze(maze)
        if split_of(question) != split:
            others += 1
            continue
        vain += 1
        if question in seen:
            continue
        least = fewest_doors(maze)
        if least is not None and least >= options.needed:
            vain = others = 0
            seen.add(question)
            yield question, maze
    raise InputError(
        f"--split {split}: no more than {len(seen)} different mazes found that need {options.needed} doors; "
        "give fewer --rows, more or larger rooms, or a smaller --needed or --loops"
    )


def _steps(found: Search, options: Options) -> list[str]:
    events = [event for event in found.events if options.trace == "search" or event.kind == "close"]
    return [str(event) for event in [*events, *(found.back if options.retrace else ())]]
