"""An end that is asked for, by Ctrl-C or by the system, and waits for what is being done."""

import signal
import threading
from collections.abc import Iterator
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
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {signum: signal.signal(signum, stop._take) for signum in SIGNALS}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
