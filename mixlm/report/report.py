"""A report: runs side by side, on the same rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import mixlm
from mixlm.data.tables import Row
from mixlm.errors import InputError
from mixlm.evaluation.measuring.records import Record, gold_answer
from mixlm.generation.engine import Engine
from mixlm.generation.explain import LatentReader
from mixlm.report.chips import chips_of
from mixlm.report.codebook import Codebook
from mixlm.report.runs import run_figures
from mixlm.report.stage1 import Stage1, coded, stage1_of
from mixlm.run import Run
from mixlm.shown import redacted


NO_ROWS = "no rows were given: --data FILE shows how codes are used, and answers"


@dataclass
class Report:
    """What is shown of some runs.

    Attributes:
        data: What the rows are called; None: there are none.
        commands: Commands that lead to the report, in the order in which they were run.
        say: Told of what is done, and of what is left out.
    """

    data: str | None = None
    commands: Sequence[str] = ()
    say: Callable[[str], None] = lambda line: None
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    columns: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self,
        engine: Engine,
        name: str,
        rows: Sequence[Row] | None = None,
        figures: Mapping[str, Any] | None = None,
        records: Sequence[Record] = (),
    ) -> None:
        """Add a run.

        Args:
            engine: The run.
            name: What it is called.
            rows: Tokenized rows, as of ``open_rows``; None: none were given.
            figures: Of ``evaluate``; None: it answered nothing.
            records: The answers, as of ``evaluate``.

        Raises:
            InputError: If the answers are to other rows.
        """
        run, own = engine.run, {row["row"]: row for row in rows or ()}
        if missing := sorted({one["row"] for one in records} - own.keys()) if own else ():
            raise InputError(f"{run.path}: row {missing[0]} of its answers is not in {self.data}; give the same rows")
        stage1 = stage1_of(run, self.data) if run.method.needs_codes else None
        shown = [own[number] for number in sorted({one["row"] for one in records})] if own else []
        self._note_rows(shown, engine, records)
        reader = LatentReader(engine) if run.vqvae_path and run.method.codes_mean_chunks else None
        about = run_figures(run, name, figures, stage1)
        of_codes = run.method.needs_codes and run.method.has_pure_spans()  # others have strings of their own
        about["codebook"] = self._codebook(engine, shown or rows, stage1, reader) if of_codes else None
        for mode in dict.fromkeys(one["latents"] for one in records):
            self._add_column(engine, len(self.runs), [one for one in records if one["latents"] == mode], own, reader)
        self.runs.append(about)

    def _codebook(
        self, engine: Engine, rows: Sequence[Row] | None, stage1: Stage1 | None, reader: LatentReader | None
    ) -> dict[str, Any]:
        """Return what is shown of a run's codes, with ``missing``: why some of it is not known."""
        found = coded(rows or (), engine.run, stage1.vqvae_path if stage1 else None) or []
        self.say(f"{engine.run.path}: looking at {engine.run.ids.codebook_size} codes in {len(found)} rows")
        figures = Codebook(engine, found, stage1.vqvae_path if stage1 else None).figures(reader)
        missing = [] if found else [NO_ROWS if not rows else "nobody knows the codes of these rows"]
        if not engine.run.method.codes_mean_chunks:
            missing.append(f"codes of {engine.run.method_name} stand for no text, so none is read back")
        return figures | {"missing": missing}

    def _note_rows(self, rows: Sequence[Row], engine: Engine, records: Sequence[Record]) -> None:
        """Note question, trace and right answer of what was answered; without rows as far as answers tell them."""
        for row in rows:
            self.rows.setdefault(row["row"], _shown_row(row, engine))
        for one in records:
            known = self.rows.setdefault(
                one["row"], {"row": one["row"], "question": one["question"], "gold": one["gold"], "steps": None}
            )
            if known["question"] != one["question"]:  # an answer is in the words of each run's own tokenizer
                raise InputError(
                    f"{engine.run.path}: row {one['row']} of its answers is not that of {self.data or 'the others'}; "
                    "give evaluations of the same rows"
                )

    def _add_column(
        self, engine: Engine, run: int, records: list[Record], rows: Mapping[int, Row], reader: LatentReader | None
    ) -> None:
        asked = [rows[one["row"]] for one in records] if rows else []
        chips = chips_of(engine, asked, records, reader) if asked else [{"codes": one["codes"]} for one in records]
        answers = [_shown_answer(one, own) for one, own in zip(records, chips, strict=True)]
        self.columns.append({"run": run, "mode": records[0]["latents"], "answers": answers})

    def content(self) -> dict[str, Any]:
        """Return all that the page shows, as JSON values."""
        made = {"version": mixlm.__version__, "date": datetime.now(UTC).strftime("%Y-%m-%d")}
        return {
            "made": made,
            "data": redacted(self.data) if self.data else None,
            "commands": [redacted(line) for line in self.commands],
            "rows": [self.rows[number] for number in sorted(self.rows)],
            "runs": self.runs,
            "columns": self.columns,
        }


def _shown_row(row: Row, engine: Engine) -> dict[str, Any]:
    """Return a row as it is shown: its question, the steps of its trace, its answer."""
    steps, start = [], 0
    for length in row["step_lengths"]:
        steps.append(engine.tokenizer.decode(list(row["trace_ids"][start : start + length])).strip("\n"))
        start += length
    return {
        "row": row["row"],
        "question": row.get("question"),
        "gold": gold_answer(row, engine),
        "steps": [step for step in steps if step],
    }


def _shown_answer(record: Record, chips: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return an answer as it is shown."""
    names = ("row", "sample", "text", "answer", "right", "finished")
    thoughts = record["tokens"].get("thought") or 0
    return {
        **{name: record[name] for name in names},
        "tokens": record["tokens"]["total"],
        **({"thoughts": thoughts} if thoughts else {}),
        **({"chips": chips} if chips and chips["codes"] else {}),
    }


def names_of(runs: Sequence[Run]) -> list[str]:
    """Return what runs are called: the names of their folders, or where two are the same their paths."""
    names = [run.path.resolve().name for run in runs]
    return [name if names.count(name) == 1 else str(run.path) for name, run in zip(names, runs, strict=True)]
