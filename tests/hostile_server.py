"""A server of completions that means ill: it sends whatever a test says, byte by byte."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


COMPLETION = b'{"choices": [{"text": "4", "finish_reason": "stop"}], "usage": {"completion_tokens": 1}}'
Reply = Callable[[socket.socket], None]


@dataclass
class Hostile:
    """What the server sends and has seen.

    Attributes:
        reply: Writes the answer to a request into its connection.
        url: Its address.
        heads: Request line and headers of each request.
        ended: Set when the test is over, so that whoever waits goes on.
    """

    reply: Reply
    url: str = ""
    heads: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def attend(self, connection: socket.socket) -> None:
        """Read one request and answer it."""
        with connection, suppress(OSError):
            head = _read_request(connection)
            self.heads.append(head)
            self.reply(connection)


def _read_request(connection: socket.socket) -> str:
    read = b""
    while b"\r\n\r\n" not in read:
        read += _more(connection)
    head, _, body = read.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().splitlines() if line.startswith(b"content-length")]
    while lengths and len(body) < int(lengths[0]):
        body += _more(connection)
    return head.decode("latin-1")


def _more(connection: socket.socket) -> bytes:
    """Read on; an OSError if whoever asks has hung up, as one who only looks whether somebody listens."""
    if not (read := connection.recv(65536)):
        raise ConnectionResetError
    return read


@contextmanager
def hostile(reply: Reply) -> Iterator[Hostile]:
    """Run a server that answers every request by ``reply`` and closes the connection."""
    server = Hostile(reply)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=_serve, args=(listening, server), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listening: socket.socket, server: Hostile) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=server.attend, args=(connection,), daemon=True).start()


def sending(body: bytes = b"", status: str = "200 OK", headers: str = "", close: bool = True) -> Reply:
    """Return a reply of these bytes, with their length unless ``headers`` tell another."""
    length = "" if "ontent-" in headers or "ransfer-" in headers else f"Content-Length: {len(body)}\r\n"
    head = f"HTTP/1.1 {status}\r\n{length}{headers}{'Connection: close' if close else 'X: y'}\r\n\r\n"
    return lambda connection: connection.sendall(head.encode("latin-1") + body)


def endless(begin: bytes, block: bytes) -> Reply:
    """Return a reply that begins so, and goes on with ``block`` until nobody listens."""

    def reply(connection: socket.socket) -> None:
        connection.sendall(begin)
        while True:
            connection.sendall(block)

    return reply


def dripping(begin: bytes, drop: bytes, pause: float = 0.05, last: float = 20) -> Reply:
    """Return a reply that begins so, and goes on with a ``drop`` after every pause until nobody listens."""

    def reply(connection: socket.socket) -> None:
        connection.sendall(begin)
        waiting = threading.Event()
        for _ in range(int(last / pause)):
            waiting.wait(pause)
            connection.sendall(drop)

    return reply
