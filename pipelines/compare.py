"""mixlm compare: methods x seeds on one task, run to their end, in one table."""

from pathlib import Path

import click

from pipelines.shared.command import Failure, Results, command
from pipelines.shared.options import SEED, engine_option, positive


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@command("compare")
@click.argument("grid", type=_FILE)
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write.  [default: the grid's name, here]")
@click.option("--only", multiple=True, metavar="METHOD", help="Only this method of the grid; may be given repeatedly.")
@click.option("--seed", "seeds", multiple=True, type=SEED, help="Only this seed; may be given repeatedly.")
@click.option("--jobs", default=1, show_default=True, type=positive, help="Commands at a time.")
@engine_option
@click.option("--against", metavar="METHOD", help="Whom differences are printed against.  [default: the first method]")
@click.option("--run/--no-run", "runs", default=True, help="Run what is not done yet, or show what is.")
def main(
    grid: Path,
    out: Path | None,
    only: tuple[str, ...],
    seeds: tuple[int, ...],
    jobs: int,
    engine: str | None,
    against: str | None,
    runs: bool,
) -> Results:
    """Train and evaluate every method of GRID, a YAML file, with every seed.

    Writes results.jsonl, a line for each cell, then the table, the paired tests and a plot of accuracy over tokens. A
    finished cell is never run again, and an interrupted one goes on where it stopped when the command is given again.
    With --engine each evaluation starts an engine of its run: greedy answers are the same, and the table tells it.
    """
    from mixlm.analysis.finding import require_matplotlib
    from pipelines.grid.parse import read_grid
    from pipelines.grid.plan import Plan
    from pipelines.grid.run import run_cells
    from pipelines.reports.comparison import print_results

    require_matplotlib()
    plan = Plan(read_grid(grid), out or Path(grid.stem), engine)
    if against and against not in plan.grid.entries:
        raise click.UsageError(f"--against {against}: not in {grid}; it has {', '.join(plan.grid.entries)}")
    if engine is not None and runs:  # else each cell would report a missing engine only after its training
        from pipelines.engines.vllm import interpreter

        interpreter(engine)
    failed = run_cells(plan, plan.cells(only, seeds), jobs) if runs else []
    results = print_results(plan, against) | {"failed": [cell.name for cell in failed]}
    if failed:
        raise Failure(f"failed: {', '.join(results['failed'])}", results=results)
    return results
