"""How long an answer of a server is waited for: not for ever, and not of one that has closed its door."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

from urllib3.connection import HTTPConnection, HTTPSConnection


PATIENCE = 600  # seconds for one answer, from its first byte to its last
LOOK = 30  # seconds between two looks at a server that one waits for


class Deadline:
    """Hangs up whatever the thread that enters it reads, once ``PATIENCE`` is over or the server is gone.

    The time limits of sockets begin anew with every byte, and a server that sends one now and then would never end.
    One that is told to end may close its door and hold on to the connections that it has, without a word.

    Args:
        is_open: Asked now and then whether the server takes connections.
        waited: Told then for how many seconds there has been no answer.

    Attributes:
        why: Why it was hung up; "" if it was not.
    """

    current = threading.local()

    def __init__(self, is_open: Callable[[], bool], waited: Callable[[float], None]) -> None:
        self.is_open, self.waited, self.why = is_open, waited, ""
        self.sockets: list[socket.socket] = []
        self.begun, self.done, self.lock = time.monotonic(), threading.Event(), threading.Lock()

    def __enter__(self) -> Self:
        """Begin to look."""
        self.current.deadline = self
        threading.Thread(target=self._look, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        """Look no more."""
        with self.lock:
            self.done.set()
        self.current.deadline = None

    def watch(self, opened: socket.socket) -> None:
        """Watch one more socket."""
        self.sockets.append(opened)
        if self.why:
            self._hang_up(self.why)

    def _look(self) -> None:
        left = PATIENCE
        while not self.done.wait(min(LOOK, left)):
            passed = time.monotonic() - self.begun
            left = max(PATIENCE - passed, 0)
            if not left:
                remedy = "give a smaller --concurrency or --max-new-tokens"
                self._hang_up(f"no whole answer within {PATIENCE} seconds; {remedy}")
            elif not self.is_open():
                self._hang_up("it takes no connections any more")
            else:
                self.waited(passed)
            if self.why:
                return

    def _hang_up(self, why: str) -> None:
        """End what is read, unless that has come to its end meanwhile: its socket may be another's by now."""
        with self.lock:
            if not self.done.is_set():
                self.why = why
                for opened in self.sockets:
                    with suppress(OSError):
                        socket.socket.shutdown(opened, socket.SHUT_RDWR)  # below TLS, which would wait for the other


def takes_connections(host: str, port: int) -> bool:
    """Tell whether somebody listens at an address; if that cannot be told, it is taken for granted."""
    try:
        socket.create_connection((host, port), timeout=LOOK).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        pass
    return True


class _Watched:
    """What makes a connection of urllib3 one whose answers have a deadline."""

    def getresponse(self) -> Any:
        """Read an answer's headers."""
        if deadline := getattr(Deadline.current, "deadline", None):
            deadline.watch(self.sock)
        return super().getresponse()


class Http(_Watched, HTTPConnection):
    """A connection without TLS."""


class Https(_Watched, HTTPSConnection):
    """A connection with TLS."""
