"""Answers for a report: those of an evaluation that is there, or new ones, kept as they come."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mixlm.data.reading import read_rows
from mixlm.data.samples import CheckName
from mixlm.errors import InputError
from mixlm.evaluation.inputs import OpenedRows, open_rows
from mixlm.evaluation.measuring.evaluation import Evaluation
from mixlm.evaluation.measuring.records import Record
from mixlm.evaluation.measuring.requests import read_modes
from mixlm.generation.engine import Engine
from mixlm.generation.kept.finished import KEY, faults_of, read_figures, run_mark
from mixlm.generation.kept.keeping import Keeping, telling
from mixlm.generation.kept.lines import KeptLines
from mixlm.generation.options import GenerationOptions
from mixlm.run import Run
from vqvae.advance import Advance
from vqvae.stopping import stop_when_asked


LIMIT = 500  # rows that are answered unless it is said how many
Answers = tuple[dict[str, Any], list[Record]]


@dataclass
class Answering:
    """How the runs of a report answer.

    Attributes:
        out: The page, beside which answers are kept until it is written.
        data: The rows: an encoded dataset, or a file of samples; None: nothing is answered.
        split: Which part of it; None: as of ``open_rows``.
        limit: Rows that are answered, and of an evaluation shown; None: ``LIMIT``, and all of an evaluation.
        check: How answers are compared; None: as the rows mean it.
        batch_size: Answers decoded at once.
        bar: Makes what shows how far answering is, of a title.
        say: Told of what the user should know.
    """

    out: Path
    data: str | None
    split: str | None
    limit: int | None
    check: CheckName | None
    batch_size: int
    bar: Callable[[str], AbstractContextManager[Advance]]
    say: Callable[[str], None]
    kept: list[KeptLines] = field(default_factory=list)

    def rows(self, engine: Engine, evaluated: bool) -> OpenedRows | None:
        """Open the rows for a run; None if there are none.

        Args:
            engine: The run.
            evaluated: Whether there are answers already, which may be to more rows than would be answered.
        """
        if self.data is None:
            return None
        limit = self.limit or (None if evaluated else LIMIT)
        rows = open_rows(self.data, engine, self.split, limit, say=self.say)
        return replace(rows, rows=list(rows))

    def answers(self, engine: Engine, name: str, rows: OpenedRows) -> Answers:
        """Let a run answer the rows, freely and, where it writes latents, as text; what was answered before is kept.

        Raises:
            InputError: If a prompt does not fit, or a check cannot be had.
            Stopped: If an end was asked for.
        """
        rows, check = rows[: self.limit or LIMIT], self.check or rows.check
        modes = read_modes("free,text" if engine.run.method.writes_latents() else "free", engine.run)
        evaluation = Evaluation(engine, rows, GenerationOptions(batch_size=self.batch_size), modes, check)
        evaluation.look()
        beside = f"{self.out.stem}-{name.replace(os.sep, '-')}.jsonl"
        place, header = self.out.with_name(beside), {"identity": evaluation.identity()}
        kept = KeptLines(place, header, evaluation.count, evaluation.batches, say=self.say)
        with stop_when_asked() as stop, kept:
            with self.bar(f"{name} answers") as advance, telling(kept):
                evaluation.run(Keeping(kept, evaluation.total, advance, stop))
            self.kept.append(kept)
            return evaluation.figures(kept), [kept.read(number) for number in range(evaluation.count)]

    def forget(self) -> None:
        """Remove the answers that were kept beside the page."""
        for kept in self.kept:
            kept.discard()


def read_evaluations(files: Sequence[Path], runs: Sequence[Run], limit: int | None = None) -> dict[Path, Answers]:
    """Read what ``mixlm evaluate --out`` wrote of some runs.

    Args:
        files: Those of figures; the answers lie beside them.
        runs: The runs.
        limit: Of how many rows, the first, records are read; None: of all.

    Returns:
        Figures, of all rows, and records by the path of the run.

    Raises:
        InputError: If a file is none of an evaluation, its answers have changed, or its run is none of these.
    """
    found = {}
    for file in files:
        figures, answers = _read_figures(file), file.with_suffix(".jsonl")
        mark = figures[KEY]["identity"]["run"]
        run = next((one for one in runs if run_mark(one.path) == mark), None)
        if run is None:
            raise InputError(
                f"{file}: is of another run ({figures.get('run')}) than those that are shown; leave it out"
            )
        for fault in faults_of(answers):
            raise InputError(f"{fault}; evaluate the run again, or leave {file} out")
        if run.path in found:
            raise InputError(f"{file}: a second evaluation of {run.path}; give one for each run")
        records = [record for _, record in read_rows(answers)]
        first = {*sorted({one["row"] for one in records})[:limit]}
        found[run.path] = figures, [one for one in records if one["row"] in first]
    return found


def _read_figures(file: Path) -> dict[str, Any]:
    """Read the figures of an evaluation; an ``InputError`` if the file holds none, or is damaged."""
    try:
        return read_figures(file)
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; give the .json that mixlm evaluate --out wrote") from None
    except ValueError as error:
        raise InputError(f"{file}: no figures of mixlm evaluate ({error}); give the .json of its --out") from None
