"""A file of answers to many questions: every question is checked before the first answer, and each answer is kept."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

from mixlm.errors import InputError
from mixlm.generation.answerer import Answerer, Pending, Request
from mixlm.generation.answers import Answer
from mixlm.generation.explain import LatentReader
from mixlm.generation.kept.finished import Finished, disown, is_whole, require_no_figures, run_mark, write_seal
from mixlm.generation.kept.keeping import Keeping
from mixlm.generation.kept.lines import KeptLines
from mixlm.generation.options import GenerationOptions
from mixlm.generation.questions import Question, answered
from mixlm.generation.server.endpoint import Endpoint
from mixlm.processes import Processes


FORMAT = 1  # of the lines; of others none is taken


def identity_of(answerer: Answerer, options: GenerationOptions, processes: Processes, **more: Any) -> dict[str, Any]:
    """Return what decides answers, as JSON values.

    How greedy answers are batched and shared decides nothing, so a smaller batch goes on with those of a larger one.

    Args:
        answerer: Who answers.
        options: How.
        processes: Who share the questions.
        **more: What else there is, the questions above all.
    """
    told = asdict(options) | {"latents": str(options.latents), "decoding": answerer.decoding(options)}
    told |= {"processes": processes.count} if options.sampling else {"batch_size": None, "seed": None}
    server = answerer.given_name or "its only model" if isinstance(answerer, Endpoint) else None
    return {"format": FORMAT, "run": run_mark(answerer.run.path), "server": server, "options": told, **more}


@dataclass
class AnswerFile:
    """Answers to questions, in a file.

    Attributes:
        path: The file.
        questions: Windows of questions, as ``Questions``; gone through twice.
        answerer: Who answers.
        options: How.
        reader: Reads the latents back; None: nobody asked.
        processes: Who share the questions.
    """

    path: Path
    questions: Iterable[list[Question]]
    answerer: Answerer
    options: GenerationOptions
    reader: LatentReader | None = None
    processes: Processes = field(default_factory=Processes)

    def check(self) -> None:
        """Look at every question, and keep none of them.

        Raises:
            InputError: As ``Answerer.plan``, and as reading them does; or if an evaluation's answers are there.
        """
        require_no_figures(self.path)
        self.windows, self.asked = [], 0
        for window in self.questions:
            self._plan(window)
            self.windows.append(_digest(window))
            self.asked += len(window)
        digest = hashlib.sha256("".join(self.windows).encode()).hexdigest()
        more = {"questions": digest, "explained": self.reader is not None}
        self.identity = identity_of(self.answerer, self.options, self.processes, **more)

    @property
    def count(self) -> int:
        """Number of answers of all processes."""
        return self.asked * self.options.samples

    @property
    def share(self) -> int:
        """Number of answers of this process."""
        return len(self.processes.share(range(self.asked))) * self.options.samples

    def finished(self) -> bool:
        """Tell whether the answers are there already, whole."""
        return is_whole(self.path, self.identity)

    def answer(self, keeping: Keeping) -> None:
        """Answer what is not answered yet of this process's share.

        Raises:
            Stopped: If an end was asked for.
            InputError: If the questions have changed since they were checked, a server is gone, or the disk is full.
        """
        for window, digest in zip_longest(self.questions, self.windows):
            if window is None or _digest(window) != digest:
                raise InputError(f"{self.path}: the questions have changed meanwhile; give the command again")
            keeping.decode(self.answerer, self._share(window), self.options, partial(self._line, window))

    def finish(self, kept: KeptLines) -> bool:
        """Write the file if this process is the last, and say beside it that it is whole if no answer is missing.

        Returns:
            Whether the file was written.

        Raises:
            InputError: If answers are missing, of which the file says why.
        """
        if not kept.complete():
            return False
        missing = [number for number in range(self.count) if not kept.has(number)]
        why = "" if not missing else kept.read(missing[0])
        if len(missing) == self.count:
            kept.discard()
            raise InputError(f"none of {self.count} answers was given: {why['error']}")
        digest = kept.join(partial(disown, self.path))
        finished = Finished(self.identity, self.count, digest, kept.header["arguments"])
        if missing:
            name = self._name(missing[0] // self.options.samples)
            raise InputError(
                f"{len(missing)} of {self.count} answers are missing, the first for {name}: {why['error']}; the same "
                "command asks for them again"
            )
        write_seal(self.path, finished)
        kept.discard()
        return True

    def _name(self, row: int) -> str:
        """Return what messages call a question."""
        return next(question.name for window in self.questions for question in window if question.row == row)

    def _plan(self, window: list[Question]) -> list[Pending]:
        asked = [Request(question.prompt_ids, question.name) for question in window]
        return self.answerer.plan(asked, self.options, window[0].row * self.options.samples)

    def _share(self, window: list[Question]) -> list[Pending]:
        """Return the answers that this process sees to."""
        return [one for one in self._plan(window) if self.processes.owns(one.place // self.options.samples)]

    def _line(self, window: list[Question], one: Pending, answer: Answer) -> str:
        """Return the line of an answer to one of a window of questions, without its end."""
        row, sample = divmod(one.place, self.options.samples)
        found = answered(window[row - window[0].row], sample, answer, self.reader)
        return json.dumps(found.record(self.options.latents, self.answerer.run.template), ensure_ascii=False)


def _digest(window: list[Question]) -> str:
    """Return what tells one window of questions from others."""
    asked = [(question.row, question.text, question.prompt_ids) for question in window]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()
