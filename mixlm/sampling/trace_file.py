"""A file of traces from a served model: questions are checked before the first is asked, and each answer is kept."""

import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from mixlm.data.samples import CHECKED_ROWS, CheckName, widest_check
from mixlm.data.texts.responses import compile_pattern, count_rules
from mixlm.errors import InputError
from mixlm.evaluation.checks import require_check, unread_answers
from mixlm.generation.kept.finished import Finished, disown, read_finished, require_no_figures, write_seal
from mixlm.generation.kept.keeping import Keeping
from mixlm.generation.kept.lines import KeptLines, require_place
from mixlm.generation.kept.part_file import Line
from mixlm.sampling.answering import AnsweringModel, Wanted
from mixlm.sampling.asking import Asking
from mixlm.sampling.counts import KEPT, MISSING, Counts, Sorting
from mixlm.sampling.judging import judged
from mixlm.sampling.problems import Problem, Problems
from vqvae.atomic_files import whole_file


FORMAT = 1  # of the lines; of others none is taken


def check_of(problems: Problems) -> CheckName:
    """Return how answers to questions are compared if nobody says otherwise."""
    return widest_check(problem.sample for problem in islice(problems, CHECKED_ROWS))


@dataclass
class TraceFile:
    """Traces of questions, in a file.

    Attributes:
        path: The file.
        problems: The questions; gone through several times.
        asking: How they are asked.
        answer_pattern: Regular expression that finds the answer in what the model writes, in place of the marks.
        digests: Tells each question from others, once they are checked.
        rules: How many right answers were found by each rule, as ``mixlm.data.texts.responses.count_rules`` has it.
    """

    path: Path
    problems: Problems
    asking: Asking
    answer_pattern: str | None = None
    digests: array = field(default_factory=lambda: array("Q"))
    rules: Counter[str] = field(default_factory=Counter)

    @property
    def samples(self) -> int:
        """Number of answers to each question."""
        return self.asking.options.samples

    @property
    def count(self) -> int:
        """Number of answers to all questions."""
        return len(self.digests) * self.samples

    @property
    def counts_path(self) -> Path:
        """The file beside it of counts by question."""
        return self.path.with_name(f"{self.path.stem}.counts.jsonl")

    def check(self, say: Callable[[str], None] = lambda line: None) -> None:
        """Look at every question, and keep none of them.

        Args:
            say: Told if the check does not suit the right answers.

        Raises:
            InputError: If one cannot be read, asked or checked, or there is none.
        """
        self.pattern, check = compile_pattern(self.answer_pattern), self.asking.check
        require_check(check)
        require_place(self.counts_path)
        require_no_figures(self.path)
        golds: list[tuple[str, str]] = []
        for problem in self.problems:
            require_check(check, [problem.sample.question])
            self.digests.append(self._digest(problem))
            self.rules += count_rules([problem.sample.rule])
            golds += [(problem.sample.answer, problem.name)][: CHECKED_ROWS - len(golds)]
        if not self.digests:
            left = self.problems.skipped
            left_out = f"; {left} left out, malformed or without an answer" if left else ""
            raise InputError(f"{self.problems.source}: holds no questions with answers{left_out}")
        _tell_about(golds, check, say)

    def identity(self, model: str | None) -> dict[str, Any]:
        """Return what decides the lines, as JSON values.

        Args:
            model: What the server calls the model.
        """
        options = self.asking.options
        told = {"max_new_tokens": options.max_new_tokens, "temperature": options.temperature, "top_p": options.top_p}
        told |= {"samples": options.samples} | ({"seed": options.seed} if options.sampling else {})
        asked = {name: getattr(self.asking, name) for name in ("check", "prompt", "completions", "stop")}
        asked |= {"answer_pattern": self.answer_pattern}
        questions = sha256(self.digests.tobytes()).hexdigest()
        return {"format": FORMAT, "model": model, "asked": asked | {"options": told}, "questions": questions}

    def finished(self, model: str | None) -> Finished | None:
        """Return what says that the traces are there already, whole; None if nothing does.

        Args:
            model: What the server is to call the model; None: whatever it did.
        """
        try:
            found = read_finished(self.path)
        except InputError:
            return None
        known = found and found.identity == self.identity(model or found.identity.get("model"))
        return found if known and not found.faults(self.path) else None

    def sample(self, model: AnsweringModel, keeping: Keeping) -> None:
        """Ask for all answers that are not there yet.

        Raises:
            Stopped: If an end was asked for.
            InputError: If the questions have changed since they were checked, or as ``AnsweringModel.answers``.
        """
        for one, said in model.answers(self._wanted(keeping)):
            line = judged(one, said, self.asking.check, self.pattern)
            keeping.keep([Line(one.place, json.dumps(line, ensure_ascii=False, default=str), said.error is None)])
        keeping.look()

    def finish(self, kept: KeptLines) -> Counts:
        """Write the file and the counts beside it, and say that it is whole if no answer is missing.

        Returns:
            What became of the answers; if none is kept, nothing is written.

        Raises:
            InputError: If the questions have changed since they were checked.
        """
        counts, sorting, rows, own = Counts(), Sorting(), [], []
        for number, problem in enumerate(self._same()):
            places = range(number * self.samples, (number + 1) * self.samples)
            lines = [kept.read(place) for place in places]
            fates = [sorting.fate(line) for line in lines]
            rows += [place for place, fate in zip(places, fates, strict=True) if fate == KEPT]
            own.append(json.dumps(counts.add(problem, lines, fates), ensure_ascii=False))
        if rows:
            self._write(kept, rows, own, whole=not counts.fates[MISSING])
        return counts

    def _write(self, kept: KeptLines, rows: list[int], counts: list[str], whole: bool) -> None:
        def before() -> None:
            """Take away what tells of former traces, and tell of these."""
            disown(self.path)
            with whole_file(self.counts_path) as file:
                file.writelines(f"{line}\n" for line in counts)

        made = (json.dumps(kept.read(place)["row"], ensure_ascii=False).encode() for place in rows)
        digest = kept.join(before, made)
        if whole:
            header = kept.header
            write_seal(self.path, Finished(header["identity"], len(rows), digest, header["arguments"]))
            kept.discard()

    def _wanted(self, keeping: Keeping) -> Iterator[Wanted]:
        """Yield what is to be asked for, until an end is asked for."""
        for number, problem in enumerate(self._same()):
            for sample in range(self.samples):
                place = number * self.samples + sample
                if keeping.stop.asked:
                    return
                if keeping.lines.has(place):
                    keeping.done += 1
                else:
                    yield Wanted(place, problem, sample)

    def _same(self) -> Iterator[Problem]:
        """Yield the questions, as long as they are those that were checked."""
        number = -1
        for number, problem in enumerate(self.problems):
            if number >= len(self.digests) or self._digest(problem) != self.digests[number]:
                raise self._changed()
            yield problem
        if number + 1 < len(self.digests):
            raise self._changed()

    def _digest(self, problem: Problem) -> int:
        """Return what tells a question, and how it is asked, from others."""
        told = [problem.row, self.asking.question(problem), problem.solved("", 0, self.asking.check)]
        text = json.dumps(told, default=str)
        return int.from_bytes(sha256(text.encode()).digest()[:8])

    def _changed(self) -> InputError:
        return InputError(f"{self.problems.source}: the questions have changed meanwhile; give the command again")


def _tell_about(golds: list[tuple[str, str]], check: CheckName, say: Callable[[str], None]) -> None:
    """Say of the first right answers how many the check cannot read, or that another one reads them better."""
    texts = [gold for gold, _ in golds]
    if unread := unread_answers(texts, check):
        gold, name = golds[unread[0]]
        say(
            f"warning: --check {check} cannot read {len(unread)} of the first {len(golds)} right answers, such as "
            f"{gold[:60]!r} in {name}; there only the same words are right"
        )
    elif check == "exact" and not unread_answers(texts, "number"):
        say("note: all answers are numbers; with --check number '72 clips', '$72' and '72.0' are 72, too")
