"""An end that is asked for, by Ctrl-C or by the system, and waits for what is being done."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType


HANGUP = signal.SIGHUP  # a terminal was closed, or a connection lost
ENDS = (signal.SIGTERM, HANGUP)  # how the system asks
SIGNALS = (signal.SIGINT, *ENDS)
_PASSED_ON = 2.0  # seconds within which a second SIGTERM is the first one, passed on
Handler = Callable[[int, FrameType | None], None]


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
        self.taken = 0.0  # when

    @property
    def asked(self) -> bool:
        """Whether an end was asked for."""
        return self.signum is not None

    def error(self, message: str) -> Stopped:
        """Return what to raise once everything is kept."""
        return Stopped(message, self.signum or signal.SIGINT)

    def _take(self, signum: int, frame: FrameType | None) -> None:
        """Remember the first signal; the second ends at once, unless nobody is impatient.

        So it is with a hang-up, and with a SIGTERM that a launcher passes on which its group has been sent as well.
        """
        again = signum == HANGUP or (signum == signal.SIGTERM and time.monotonic() - self.taken < _PASSED_ON)
        if self.signum in (None, HANGUP):
            self.signum, self.taken = signum, time.monotonic()
        elif not again:
            raise Stopped("interrupted at once", signum)


@contextmanager
def stop_when_asked() -> Iterator[Stop]:
    """Yield a ``Stop`` that takes ``SIGNALS`` while the block runs; a second one raises ``Stopped`` in it.

    See ``taken_by``; where nothing can be taken, nobody asks.
    """
    stop = Stop()
    with taken_by(stop._take):
        yield stop


@contextmanager
def ended_at_once() -> Iterator[None]:
    """Let ``SIGNALS`` raise ``Stopped`` at once while the block runs, which does nothing that could be kept."""

    def end(signum: int, frame: FrameType | None) -> None:
        """End what runs."""
        raise Stopped("interrupted", signum)

    with taken_by(end):
        yield


@contextmanager
def taken_by(handler: Handler, signals: Sequence[signal.Signals] = SIGNALS) -> Iterator[None]:
    """Let a function take signals while the block runs.

    A hang-up that is ignored, as ``nohup`` has it, stays so, and the first that is taken is the last: shell and system
    both send one, and the second must not end what the first has begun. Only the main thread of a program can take
    signals; in others nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def take(signum: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if signum == HANGUP:
            signal.signal(signum, signal.SIG_IGN)
        handler(signum, frame)

    before = {one: signal.signal(one, take) for one in signals if one != HANGUP or not hangups_ignored()}
    try:
        yield
    finally:
        for signum, former in before.items():
            if signal.getsignal(signum) is take:
                signal.signal(signum, former)


def hangups_ignored() -> bool:
    """Tell whether the terminal may go, or has gone, while work goes on."""
    return signal.getsignal(HANGUP) is signal.SIG_IGN
