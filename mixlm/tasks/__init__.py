"""Data sets and generated tasks: where their rows come from, and how their answers are checked.

A task is a module, or an object with the same names:

- ``SPLITS``: names of its splits, which share no question; ``CHECK``: the name of the check of its answers.
- ``generate(rows, split, seed, options)`` and the dataclass ``Options`` of a synthetic task: yields so many rows with
  different questions of the split, always the same ones for the same seed and options;
- ``load(split, *, ..)`` of a published one. Both yield rows with ``question``, ``steps``, ``answer`` and columns of
  their own.

Which answers are right is known in one place for all tasks, ``mixlm.evaluation.checks``.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Protocol

from mixlm.data.samples import CheckName
from mixlm.errors import InputError


__all__ = ["TASKS", "CheckName", "Task", "open_task"]


class Task(Protocol):
    """What every task has beside that which gives its rows."""

    SPLITS: Sequence[str]
    CHECK: CheckName


TASKS = {
    "chain-arithmetic": "mixlm.tasks.chain_arithmetic",
    "maze": "mixlm.tasks.maze.task",
    "multiplication": "mixlm.tasks.multiplication",
    "prontoqa": "mixlm.tasks.prontoqa.task",
    "prosqa": "mixlm.tasks.prosqa.task",
    "prosqa-balanced": "mixlm.tasks.prosqa.balanced",
    "word-problems": "mixlm.tasks.word_problems.task",
    "gsm8k": "mixlm.tasks.mathematics.gsm8k",
    "gsm8k-aug": "mixlm.tasks.mathematics.gsm8k_aug",
    "math": "mixlm.tasks.mathematics.competition",
    "metamath": "mixlm.tasks.mathematics.metamath",
    "dart-math": "mixlm.tasks.mathematics.dart",
    "math500": "mixlm.tasks.mathematics.question_sets:MATH500",
    "fresh-gaokao-math-2023": "mixlm.tasks.mathematics.question_sets:FRESH_GAOKAO_MATH_2023",
    "deepmind-math": "mixlm.tasks.mathematics.question_sets:DEEPMIND_MATH",
    "college-math": "mixlm.tasks.mathematics.question_sets:COLLEGE_MATH",
    "olympiad-bench": "mixlm.tasks.mathematics.question_sets:OLYMPIAD_BENCH",
    "theorem-qa": "mixlm.tasks.mathematics.question_sets:THEOREM_QA",
    "svamp": "mixlm.tasks.mathematics.question_sets:SVAMP",
    "multiarith": "mixlm.tasks.mathematics.question_sets:MULTIARITH",
    "gsm-hard": "mixlm.tasks.mathematics.question_sets:GSM_HARD",
}


def open_task(name: str) -> Task:
    """Return the task called ``name``, imported only now; an ``InputError`` if there is no such task."""
    if name not in TASKS:
        raise InputError(f"task '{name}': there is no such task; choose from {', '.join(TASKS)}")
    module, _, attribute = TASKS[name].partition(":")
    task = import_module(module)
    return getattr(task, attribute) if attribute else task
