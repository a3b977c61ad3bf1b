"""An evaluation in parts: every row is checked before the first answer, and what is measured is kept as it comes."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from mixlm.data.tables import Row
from mixlm.errors import InputError
from mixlm.evaluation.checks import CheckName, require_check
from mixlm.evaluation.losses import LossSum, added_losses, batches_of, loss_of, reference_sequences, served_loss
from mixlm.evaluation.measuring.records import record_of, summarize
from mixlm.evaluation.measuring.requests import requests_of, require_codes, with_length
from mixlm.generation.answerer import Answerer, Pending
from mixlm.generation.answers import Answer
from mixlm.generation.kept.answer_file import identity_of
from mixlm.generation.kept.keeping import Keeping
from mixlm.generation.kept.lines import Lines
from mixlm.generation.kept.part_file import Line
from mixlm.generation.options import GenerationOptions, LatentMode
from mixlm.generation.questions import WINDOW
from mixlm.generation.server.endpoint import Endpoint
from mixlm.methods.base import Trainable, recoded
from mixlm.processes import Processes


@dataclass
class Evaluation:
    """Answers to rows in several modes, and losses on the reference answers.

    Its lines are the records of all answers, mode after mode, and behind them what each batch of losses adds up to.

    Attributes:
        answerer: An engine, or a server; one that does not tell how likely given tokens are leaves losses out.
        rows: Tokenized rows, a list or a ``datasets.Dataset``.
        options: How to decode, but for the latents.
        modes: How latents are decoded.
        check: How an answer is compared with the right one.
        processes: Who share the work.
    """

    answerer: Answerer
    rows: Sequence[Row]
    options: GenerationOptions
    modes: Sequence[LatentMode]
    check: CheckName
    processes: Processes = field(default_factory=Processes)

    def __post_init__(self) -> None:
        """Give the rows the codes that the run's method has for them, and answers a length.

        Raises:
            InputError: If there is no row, or the check cannot be had of one.
        """
        if not len(self.rows):
            raise InputError("there are no rows to evaluate; give another file, split or --limit")
        require_check(self.check, (row.get("question") or "" for row in self.rows))
        rows = self.rows if hasattr(self.rows, "select") else list(self.rows)
        self.rows = recoded(rows, self.answerer.run.method)
        self.options = with_length(self.options, self.rows)

    def look(self) -> None:
        """Look at every row in every mode, and keep none: nothing is lost to a mistake that shows in the last mode.

        Raises:
            InputError: As ``Answerer.plan``, or if shares of latents are asked for where no row has a code.
        """
        require_codes(self.modes, (row for _, rows in self._windows() for row in rows), self.answerer.run)
        digest, self.references, self.batches = hashlib.sha256(), 0, 0
        for first, rows in self._windows():
            for mode in self.modes:
                self._plan(rows, mode, first)
            for _, batch in self._references(rows, first):
                self.references += len(batch) if self.processes.owns(self.batches) else 0
                self.batches += 1
            digest.update(json.dumps(rows, default=str).encode())
        self.digest = digest.hexdigest()

    @property
    def answers(self) -> int:
        """Number of answers in one mode."""
        return len(self.rows) * self.options.samples

    @property
    def count(self) -> int:
        """Number of answers."""
        return len(self.modes) * self.answers

    @property
    def total(self) -> int:
        """Number of answers and of reference answers of this process."""
        rows = len(self.processes.share(range(len(self.rows))))
        return len(self.modes) * rows * self.options.samples + self.references

    def identity(self, **more: Any) -> dict[str, Any]:
        """Return what decides answers and losses, as JSON values."""
        modes = [str(mode) for mode in self.modes]
        more |= {"rows": self.digest, "modes": modes, "check": self.check}
        more["template"] = self.answerer.run.template.to_dict()
        return identity_of(self.answerer, self.options, self.processes, **more)

    def run(self, keeping: Keeping) -> None:
        """Measure what is not there yet of this process's share.

        Raises:
            Stopped: If an end was asked for.
            InputError: If a server is gone, or the disk is full.
        """
        served = isinstance(self.answerer, Endpoint)  # of which the answers tell whether it means the run's tokens
        if not served:
            self._measure_losses(keeping)
        for number, mode in enumerate(self.modes):
            for first, rows in self._windows():
                asked = replace(self.options, latents=mode)
                record = partial(self._record, rows, str(mode), first)
                before = number * self.answers
                pending = [
                    one
                    for one in self._plan(rows, mode, first)
                    if self.processes.owns(one.place // self.options.samples)
                ]
                keeping.decode(self.answerer, pending, asked, record, before)
        if served:
            self._measure_losses(keeping)

    def figures(self, lines: Lines) -> dict[str, Any]:
        """Return what was measured, as ``evaluate`` does, but for the records.

        Raises:
            InputError: If a server has left out an answer.
        """
        self._require_all(lines)
        modes = {}
        for number, mode in enumerate(self.modes):
            own = range(number * self.answers, (number + 1) * self.answers)
            modes[str(mode)] = summarize(map(lines.read, own), len(self.rows)) | {"seconds": lines.seconds(own)}
        settings = {
            "samples": self.options.samples,
            "check": self.check,
            "max_new_tokens": self.options.max_new_tokens,
        }
        settings |= {"decoding": self.answerer.decoding(self.options)}
        settings |= {"engine": self.answerer.model.software if isinstance(self.answerer, Endpoint) else None}
        sums = [LossSum(*lines.read(self.count + number)) for number in range(self.batches)]
        result = {"method": self.answerer.run.method_name, "rows": len(self.rows), **settings}
        return result | {"modes": modes, "loss": added_losses(sums)}

    def _measure_losses(self, keeping: Keeping) -> None:
        batches = (found for first, rows in self._windows() for found in self._references(rows, first))
        for number, (name, batch) in enumerate(batches):
            if self.processes.owns(number):
                keeping.look()
                if keeping.lines.has(self.count + number):
                    keeping.done += len(batch)
                else:
                    loss = self._loss(name, batch)
                    keeping.keep([Line(self.count + number, json.dumps(loss), loss.nats is not None)], len(batch))

    def _loss(self, name: str, batch: Sequence[Trainable]) -> LossSum:
        """Measure a loss where answers are decoded, but with thoughts here, where they are computed in any case."""
        answerer = self.answerer
        if not isinstance(answerer, Endpoint):
            return loss_of(answerer.model, name, batch)
        if answerer.run.method.uses_thoughts:
            return loss_of(answerer.engine.model, name, batch)
        return served_loss(answerer, name, batch)

    def _require_all(self, lines: Lines) -> None:
        """Raise an ``InputError`` if an answer is missing: figures without some of them would mislead."""
        missing = [number for number in range(self.count) if not lines.has(number)]
        if missing:
            row = self.rows[missing[0] % self.answers // self.options.samples]
            raise InputError(
                f"{len(missing)} of {self.count} answers are missing, the first for row {row['row']}: "
                f"{lines.read(missing[0])['error']}"
            )

    def _windows(self) -> Iterator[tuple[int, list[Row]]]:
        """Yield the rows, some at a time, with the number of the first answer to them in a mode."""
        for start in range(0, len(self.rows), WINDOW):
            chosen = range(start, min(start + WINDOW, len(self.rows)))
            rows = self.rows[chosen.start : chosen.stop] if isinstance(self.rows, list) else self.rows.select(chosen)
            yield start * self.options.samples, list(rows)

    def _plan(self, rows: list[Row], mode: LatentMode, first: int) -> list[Pending]:
        asked = replace(self.options, latents=mode)
        return self.answerer.plan(requests_of(self.answerer, rows, mode), asked, first)

    def _references(self, rows: list[Row], first: int) -> Iterator[tuple[str, Sequence[Trainable]]]:
        """Yield the batches of reference answers to rows, each with the name of its form."""
        run, before = self.answerer.run, first // self.options.samples
        forms = reference_sequences(run.method, rows, self.answerer.context, run.progress, before)
        for name, sequences in forms.items():
            yield from ((name, batch) for batch in batches_of(sequences))

    def _record(self, rows: list[Row], mode: str, first: int, one: Pending, answer: Answer) -> str:
        """Return the record of the answer to one of some rows as JSON, or why there is none."""
        if answer.error:
            return json.dumps({"error": answer.error}, ensure_ascii=False)
        row, sample = divmod(one.place - first, self.options.samples)
        record = record_of(self.answerer, answer, (rows[row], sample, mode), self.check)
        return json.dumps(record, ensure_ascii=False)
