"""Workers, processes that make the batches of a training, and an end that is asked for."""

import atexit
import multiprocessing
import signal
from collections.abc import Callable
from functools import partial

from torch.utils.data import DataLoader


def undisturbed(loader: DataLoader) -> DataLoader:
    """Let the workers of a loader ignore SIGTERM.

    A scheduler, or ``timeout``, ends a whole group of processes. The training then makes its step and keeps it, and
    needs its workers for that; torch makes one that a signal has ended an error, at whatever line it is.
    """
    inner = getattr(loader, "base_dataloader", loader)  # of accelerate's
    inner.worker_init_fn = partial(_begin, inner.worker_init_fn)
    return loader


@atexit.register
def _end_left() -> None:
    """Kill workers that an error has left behind: Python would ask them to end, and wait."""
    left = [process for process in multiprocessing.active_children() if process.daemon]
    if left:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would take their end for an error
    for process in left:
        process.kill()


def _begin(prepare: Callable[[int], None] | None, number: int) -> None:
    """Begin a worker, after torch has set its own handlers."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if prepare is not None:
        prepare(number)
