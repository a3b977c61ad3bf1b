"""A server of chats for tests, whose answers a test writes."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


Body = dict[str, Any]


def message(content: str | None, ending: str | None = "stop", **more: Any) -> tuple[int, Body]:
    """Return what a server of chats answers."""
    turn = {"role": "assistant", "content": content, **more}
    return 200, {"choices": [{"index": 0, "message": turn, "finish_reason": ending}]}


class ChatStub:
    """What the server does and has seen.

    Attributes:
        reply: Makes status and body of the answer to a request.
        models: The names of its models.
        asked: Path and body of each request.
        url: Its address, while it runs.
    """

    def __init__(self, reply: Callable[[Body], tuple[int, Body]]) -> None:
        self.reply, self.models, self.asked, self.url = reply, ["served"], [], ""

    @property
    def bodies(self) -> list[Body]:
        """The requests, by question and seed."""
        return sorted((body for _, body in self.asked), key=lambda body: (question_in(body), body.get("seed", 0)))


def question_in(body: Body) -> str:
    """Return what is asked last."""
    return body["messages"][-1]["content"] if "messages" in body else body["prompt"]


@contextmanager
def chatting(stub: ChatStub) -> Iterator[str]:
    """Run a server; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version, wbufsize = "HTTP/1.1", -1  # an answer in one packet

        def log_message(self, *args: Any) -> None:
            pass

        def send(self, status: int, body: Body | bytes) -> None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if status == 307:
                self.send_header("Location", "http://127.0.0.1:1/v1")
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self.send(200, {"data": [{"id": name} for name in stub.models]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            stub.asked.append((self.path, body))
            self.send(*stub.reply(body))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        stub.url = f"http://127.0.0.1:{server.server_port}"
        yield stub.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
