"""What is printed of a plan."""

from collections.abc import Iterable, Mapping
from typing import Any

from mixlm.model.sizes import gib
from mixlm.planning.plan import Plan
from pipelines.shared.progress import SHORT, time_of
from pipelines.shared.terminal import echo, notice


def print_plan(plan: Plan | None, after: str = "") -> Mapping[str, Any]:
    """Print what a command would do.

    Args:
        plan: Of the command; None: it has nothing left to do, which was said.
        after: What comes after the steps, and was not measured.

    Returns:
        The plan as the command's results.
    """
    if plan is None:
        return {"finished": True}
    echo(f"rows      {plan.train:,} to learn from, {plan.valid:,} held out")
    if plan.tokens is not None:
        echo(f"tokens    {plan.tokens:,} in one pass over the former, as text")
    if plan.sizes:
        echo(f"sizes     {', '.join(f'{name} {size}' for name, size in plan.sizes.items())}")
    for line in _times(plan, after):
        echo(line)
    echo(f"memory    about {gib(plan.memory)} of {gib(plan.machine)}")
    echo(f"files     {'; '.join(plan.files)}")
    notice("nothing was written")
    return {"finished": False} | vars(plan)


def _times(plan: Plan, after: str) -> Iterable[str]:
    """Yield how long the steps take, and what would be shorter."""
    if not plan.steps:
        yield f"steps     none: the model is trained{after and '; '}{after}"
        return
    steps = f"steps     {plan.steps:,} of {plan.batch} samples"
    left, ending = plan.steps - plan.done, f"{after and ', '}{after}"
    if plan.done:
        steps += f", {plan.done:,} of them made"
    if plan.seconds is None or not left:
        yield steps + (ending if plan.done else "")
        return
    each = sorted({plan.seconds, plan.last_seconds or plan.seconds})
    times = list(dict.fromkeys(time_of(left * seconds) for seconds in each))
    rate = f"{plan.seconds:.2g} s each"
    if plan.last_seconds is not None:
        rate += f" at first, {plan.last_seconds:.2g} s in the last stage"
    yield f"{steps}, {rate}: about {' to '.join(times)}{' for the others' * bool(plan.done)}{ending}"
    if left * each[-1] > SHORT:
        yield f"shorter   --steps {max(int(SHORT / each[-1]), 1)} takes about {time_of(SHORT)}"
