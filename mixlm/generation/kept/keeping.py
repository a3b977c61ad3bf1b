"""Answers that are kept as they are decoded, whoever decodes them."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from mixlm.errors import InputError
from mixlm.generation.answerer import Answerer, Pending
from mixlm.generation.answers import Answer
from mixlm.generation.kept.lines import KeptLines, Lines
from mixlm.generation.kept.part_file import Line
from mixlm.generation.options import GenerationOptions
from vqvae.advance import Advance
from vqvae.stopping import Stop, Stopped


@dataclass
class Keeping:
    """Work on lines that is done in parts.

    Attributes:
        lines: Where they go.
        total: How much there is to do.
        advance: Called with (done, total).
        stop: Asked before each batch.
        done: How many lines were made or found; of those that were found alone ``advance`` is not told.
    """

    lines: Lines
    total: int
    advance: Advance | None
    stop: Stop
    done: int = 0

    def decode(
        self,
        answerer: Answerer,
        pending: Sequence[Pending],
        options: GenerationOptions,
        line: Callable[[Pending, Answer], str],
        before: int = 0,
    ) -> None:
        """Decode what was planned together, but for batches whose lines are all there.

        A batch of which a line is missing is decoded whole, as it would have been without an interruption.

        Args:
            answerer: Who decodes.
            pending: Of the answerer's plan.
            options: Of the plan.
            line: Makes the line of an answer.
            before: Number of the line of the answer in place 0.

        Raises:
            Stopped: If an end was asked for; what was decoded is kept.
            InputError: As ``Answerer.decoded``, or if nothing can be written any more.
        """

        def wanted(batch: Sequence[Pending]) -> bool:
            """Tell whether a batch is to be decoded."""
            if self.stop.asked:
                return False
            missing = not all(self.lines.has(before + one.place) for one in batch)
            self.done += 0 if missing else len(batch)
            return missing

        if not all(self.lines.has(before + one.place) for one in pending):
            answered = answerer.decoded(pending, options, wanted)  # which may start a server first
            began = time.perf_counter()
            for batch in answered:
                texts = [line(*found) for found in batch]
                seconds, began = (time.perf_counter() - began) / len(batch), time.perf_counter()
                made = zip(batch, texts, strict=True)
                self.keep([Line(before + one.place, text, not answer.error, seconds) for (one, answer), text in made])
        else:
            self.done += len(pending)
        self.look()

    def keep(self, lines: Sequence[Line], work: int | None = None) -> None:
        """Take lines that were made together.

        Args:
            lines: The lines.
            work: How much they count; None: their number.
        """
        self.lines.keep(lines)
        self.done += len(lines) if work is None else work
        if self.advance:
            self.advance(self.done, self.total)

    def look(self) -> None:
        """Raise ``Stopped`` if an end was asked for."""
        if self.stop.asked:
            raise self.stop.error("interrupted")


@contextmanager
def telling(lines: KeptLines) -> Iterator[None]:
    """Say in the message of an error or of an end that was asked for how many answers are kept, and how to go on."""
    try:
        yield
    except Stopped as ended:
        raise Stopped(f"{ended}; {_kept(lines)}", ended.status - 128) from None
    except InputError as error:
        raise (InputError(f"{error}; {_kept(lines)}") if lines.done else error) from None
    except Exception:
        if lines.done:
            lines.say(f"note: {_kept(lines)}")
        raise


def _kept(lines: KeptLines) -> str:
    return f"{lines.done} of {lines.count} answers are kept, and the same command goes on after them"
