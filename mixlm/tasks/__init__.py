"""Data sets and generated tasks, one file each: load or generate rows, find an answer in a text, check it.

A task is a module, or an object with the same names:

- ``SPLITS``: names of its splits, which share no question; ``CHECK``: how its answers are compared.
- ``generate(rows, split, seed, *, option=..)`` of a synthetic task, ``load(split, *, option=..)`` of a published one;
  both yield rows with ``question``, ``steps``, ``answer`` and the task's own columns.
- ``extract_answer(text)`` and ``check``.
"""

from importlib import import_module
from typing import Any

from mixlm.errors import InputError


TASKS = {
    "chain-arithmetic": "mixlm.tasks.chain_arithmetic",
    "gsm8k": "mixlm.tasks.gsm8k",
}


def open_task(name: str) -> Any:
    """Return the task called ``name``, imported only now.

    Raises:
        InputError: If there is no such task.
    """
    if name not in TASKS:
        raise InputError(f"task '{name}': there is no such task; choose from {', '.join(TASKS)}")
    module, _, attribute = TASKS[name].partition(":")
    task = import_module(module)
    return getattr(task, attribute) if attribute else task
