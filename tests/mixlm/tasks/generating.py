"""Rows of a generated task by the names of its options."""

from collections.abc import Callable, Iterator
from typing import Any


def generator(task: Any) -> Callable[..., Iterator[dict[str, Any]]]:
    """Return the ``generate`` of a task with its options as arguments."""

    def generate(rows: int, split: str = "train", seed: int = 0, **options: Any) -> Iterator[dict[str, Any]]:
        return task.generate(rows, split, seed, task.Options(**options))

    return generate
