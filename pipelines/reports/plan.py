"""What is printed of a plan."""

from collections.abc import Iterable, Mapping
from typing import Any

from mixlm.planning.plan import Plan
from pipelines.shared.progress import SHORT, time_of
from pipelines.shared.terminal import echo, notice


def print_plan(plan: Plan, after: str = "") -> Mapping[str, Any]:
    """Print what a command would do.

    Args:
        plan: Of the command.
        after: What comes after the steps, and was not measured.

    Returns:
        The plan as the command's results.
    """
    echo(f"rows      {plan.train:,} to learn from, {plan.valid:,} held out")
    if plan.tokens is not None:
        echo(f"tokens    {plan.tokens:,} in one pass over the former, as text")
    for line in _times(plan, after):
        echo(line)
    echo(f"memory    about {_gib(plan.memory)} of {_gib(plan.machine)}")
    echo(f"files     {'; '.join(plan.files)}")
    notice("nothing was written")
    return vars(plan)


def _times(plan: Plan, after: str) -> Iterable[str]:
    """Yield how long the steps take, and what would be shorter."""
    if not plan.steps:
        yield f"steps     none: the model is trained{after and '; '}{after}"
        return
    steps = f"steps     {plan.steps:,} of {plan.batch} samples"
    if plan.seconds is None:
        yield steps
        return
    whole = plan.seconds * plan.steps
    yield f"{steps}, {plan.seconds:.2g} s each: about {time_of(whole)}{after and ', '}{after}"
    if whole > SHORT:
        yield f"shorter   --steps {max(int(SHORT / plan.seconds), 1)} takes about {time_of(SHORT)}"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
