"""An end that is asked for, by Ctrl-C or by the system, and waits for what is being done."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """An end that was asked for; the message says what was kept, and how to go on.

    Attributes:
        status: Exit status that a shell gives to a process that the signal ends.
    """

    def __init__(self, message: str = "interrupted", signum: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.status = 128 + signum


class Stop:
    """Whether an end was asked for.

    Attributes:
        signum: The signal that asked; None: nobody did.
    """

    def __init__(self) -> None:
        self.signum: int | None = None

    @property
    def asked(self) -> bool:
        """Whether an end was asked for."""
        return self.signum is not None

    def error(self, message: str) -> Stopped:
        """Return what to raise once everything is kept."""
        return Stopped(message, self.signum or signal.SIGINT)

    def _take(self, signum: int, frame: FrameType | None) -> None:
        """Remember the first signal; the second ends at once."""
        if self.asked:
            raise Stopped("interrupted at once", signum)
        self.signum = signum


@contextmanager
def stop_when_asked() -> Iterator[Stop]:
    """Yield a ``Stop`` that takes Ctrl-C and SIGTERM while the block runs; a second one raises ``Stopped`` in it.

    Only the main thread of a program can take signals; in others nothing is changed, and nobody asks.
    """
    stop = Stop()
    with _taken_by(stop._take):
        yield stop


@contextmanager
def ended_at_once() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM raise ``Stopped`` at once while the block runs, which does nothing that could be kept."""

    def end(signum: int, frame: FrameType | None) -> None:
        """End what runs."""
        raise Stopped("interrupted", signum)

    with _taken_by(end):
        yield


@contextmanager
def _taken_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Let a function take the signals while the block runs, if this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signum: signal.signal(signum, handler) for signum in SIGNALS}
    try:
        yield
    finally:
        for signum, former in before.items():
            signal.signal(signum, former)
