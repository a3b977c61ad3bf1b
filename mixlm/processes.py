"""The processes that accelerate or torchrun started for one command."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixlm.errors import InputError
from vqvae.atomic_files import lock
from vqvae.errors import launched
from vqvae.one_writer import one_writer


if TYPE_CHECKING:
    from accelerate import PartialState


PATIENCE = timedelta(hours=6)  # how long processes wait for one that works alone, for example at judging codes


def pick_device(name: str = "auto") -> str:
    """Return the device called ``name``; "auto" takes the first that is there of cuda, mps and cpu.

    Of several processes each takes a GPU of its own.

    Raises:
        InputError: If there is no such device.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return Processes.current().device()
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()  # which a device that holds no values refuses
    except (RuntimeError, AssertionError, ValueError, NotImplementedError):
        raise InputError(f"--device {name}: there is no such device here; use --device auto or cpu") from None
    return name


@dataclass(frozen=True)
class Processes:
    """This process among all.

    Attributes:
        rank: Its number, from 0.
        count: How many there are.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def current(cls) -> "Processes":
        """Read who this is from the environment; without a launcher it is the only one.

        Raises:
            InputError: If it stands there in no numbers, or not among so many.
        """
        rank, count = launched("RANK", 0), launched("WORLD_SIZE", 1, least=1)
        if rank >= count:
            raise InputError(f"RANK={rank}: there are {count} processes (WORLD_SIZE), numbered from 0; unset both")
        return cls(rank, count)

    @property
    def first(self) -> bool:
        """Whether this process does what is to be done once."""
        return self.rank == 0

    def require_one(self, what: str, remedy: str = "start it without a launcher") -> None:
        """Raise an ``InputError`` if there are several, each of which would do all of ``what``."""
        if self.count > 1:
            raise InputError(f"{what}: {self.count} processes (WORLD_SIZE) would each do all of it; {remedy}")

    def share(self, things: Sequence[Any]) -> Sequence[Any]:
        """Return those of ``things`` that this process sees to; together the shares are all of them."""
        return things[self.rank :: self.count]

    def owns(self, number: int) -> bool:
        """Tell whether this process sees to the thing of a number, as ``share`` gives them out."""
        return number % self.count == self.rank

    def wait(self) -> None:
        """Wait for all others to come here."""
        if self.count > 1:
            _group().wait_for_everyone()

    @contextmanager
    def one_launch(self, folder: str | Path) -> Iterator[None]:
        """Keep other launches from writing into a folder, until the last process of this one has left the block.

        Raises:
            InputError: In the first process, as ``one_writer``.
        """
        with ExitStack() as stack:
            if self.first:
                held = stack.enter_context(one_writer(folder))
                if self.count > 1:
                    lock(held, shared=True)
            self.wait()
            if not self.first:
                held = os.open(folder, os.O_RDONLY)
                stack.callback(os.close, held)
                lock(held, shared=True)
            self.wait()
            yield

    def agree(self, value: str) -> str:
        """Return the value that the first process has; all have to come here."""
        if self.count > 1:
            from accelerate.utils import broadcast_object_list

            _group()
            return broadcast_object_list([value])[0]
        return value

    def device(self) -> str:
        """Return the device of this process."""
        import torch

        return f"cuda:{launched('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"


def _group() -> "PartialState":
    """Return the group of the processes, which is made once; the first may work alone for longer than torch waits."""
    import torch
    from accelerate import PartialState

    return PartialState(cpu=not torch.accelerator.is_available(), timeout=PATIENCE)
