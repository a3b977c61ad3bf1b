"""What is told of a command before it runs."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from mixlm.errors import InputError
from mixlm.processes import Processes
from vqvae.stopping import Stopped


MEASURING = "measuring some steps"  # what a bar of it is called


@dataclass(frozen=True)
class Plan:
    """What a command would do.

    Attributes:
        train: Rows to learn from.
        valid: Rows held out.
        tokens: Of the former as text: prompts, traces and solutions; None: nobody counted them.
        steps: Optimizer steps; 0: nothing is trained.
        done: How many of them are made already, by an interrupted command.
        batch: Samples of a step.
        seconds: Of a step; None: there is only one, or none, and it was not measured.
        last_seconds: Of a step at the end of the method's schedule; None: it has none, or it was not measured.
        memory: Bytes that it takes at most.
        machine: Bytes that there are.
        files: What it writes, a line each.
        sizes: Of what is trained, as far as data and machine have a say in them.
    """

    train: int
    valid: int
    tokens: int | None
    steps: int
    done: int
    batch: int
    seconds: float | None
    last_seconds: float | None
    memory: int
    machine: int
    files: tuple[str, ...]
    sizes: Mapping[str, int] = field(default_factory=dict)


@contextmanager
def draft_folder() -> Iterator[Path]:
    """Yield the path of a folder that is not there, of which nothing is left afterwards.

    Raises:
        InputError: If a launcher has started several processes.
        Stopped: If an end was asked for.
    """
    if Processes.current().count > 1:
        raise InputError("--dry-run: tries the command in one process; leave out the launcher")
    with TemporaryDirectory(prefix="mixlm-plan-") as folder:
        try:
            yield Path(folder) / "draft"
        except Stopped as ended:  # which says that its work is kept
            raise Stopped("interrupted; a dry run keeps nothing", ended.status - 128) from None
        finally:
            shutil.rmtree(Path(folder) / "draft", ignore_errors=True)
