"""A plain loop of training steps that goes on where it was interrupted."""

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol

import torch

from vqvae.atomic_files import whole_path
from vqvae.options import SaveEvery
from vqvae.stopping import Stop
from vqvae.training.checkpoints import due, written


class Stateful(Protocol):
    """What has a state that can be kept: a module, an optimizer, a schedule."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""

    def load_state_dict(self, state: dict[str, Any], /) -> object:
        """Take up a state."""


class KeptLoop:
    """Keeps the state of a loop in one file, with that of torch's random numbers.

    Args:
        path: The file; None: nothing is kept.
        parts: What makes up the state, by name.
        pace: How often it is kept; only seconds count.
        stop: Tells whether an end was asked for.
        mark: Tells what the loop works on; a state of another mark is not taken up.
        clock: Tells the seconds.
    """

    def __init__(
        self,
        path: Path | None,
        parts: Mapping[str, Stateful],
        pace: SaveEvery,
        stop: Stop,
        mark: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path, self.parts, self.pace, self.stop, self.mark, self.clock = path, parts, pace, stop, mark, clock
        self.kept, self.writing = clock(), 0.0

    def begin(self) -> int:
        """Take up the state that was kept; return the number of steps that made it, 0 if there is none."""
        if self.path is None or not self.path.is_file():
            return 0
        try:
            state = torch.load(self.path, "cpu", weights_only=True)
        except (RuntimeError, EOFError, UnpicklingError):  # damaged
            return 0
        if state.get("mark") != self.mark:
            return 0
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        torch.set_rng_state(state["random"])
        return state["step"]

    def after(self, step: int) -> None:
        """Keep the state after a step, if that is due.

        Raises:
            Stopped: If an end was asked for; the state is kept.
        """
        if self.path is None:
            return
        if self.stop.asked or due(self.pace, self.clock() - self.kept, self.writing):
            started = self.clock()
            self._write(step)
            self.kept = self.clock()
            self.writing = self.kept - started
        if self.stop.asked:
            raise self.stop.error(f"interrupted, and kept after step {step}; the same command goes on from there")

    def _write(self, step: int) -> None:
        state = {name: part.state_dict() for name, part in self.parts.items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_path(self.path) as draft, written(self.path):
            torch.save({**state, "random": torch.get_rng_state(), "step": step, "mark": self.mark}, draft)


def digest_of(module: torch.nn.Module) -> str:
    """Return a digest of the weights and buffers of a module."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
