"""Requests that are under way together."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar


Thing, Found = TypeVar("Thing"), TypeVar("Found")


def as_they_come(
    ask: Callable[[Thing], Found], things: Iterable[Thing], at_once: int
) -> Iterator[tuple[Thing, Found]]:
    """Yield each thing with what ``ask`` makes of it, in the order in which that comes.

    No thing is taken before its turn. The threads keep no program from ending.

    Args:
        ask: Called by the threads; what it raises is raised here.
        things: Taken by the caller's thread.
        at_once: The most that are under way.
    """
    todo: SimpleQueue[tuple[Thing] | None] = SimpleQueue()
    found: SimpleQueue[tuple[Thing, Found | None, BaseException | None]] = SimpleQueue()

    def work() -> None:
        """Ask until there is no more."""
        while task := todo.get():
            try:
                found.put((*task, ask(*task), None))
            except BaseException as error:
                found.put((*task, None, error))

    things = iter(things)
    first = [(thing,) for thing in islice(things, at_once)]
    for task in first:
        todo.put(task)
        Thread(target=work, daemon=True).start()
    under_way = len(first)
    try:
        while under_way:
            thing, answer, error = found.get()
            if error is not None:
                raise error
            under_way -= 1
            for more in islice(things, 1):
                todo.put((more,))
                under_way += 1
            yield thing, answer
    finally:
        for _ in first:
            todo.put(None)
