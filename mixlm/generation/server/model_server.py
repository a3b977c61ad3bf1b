"""A server of models, whoever asks it: what it calls them, whether it still answers, and what it says of a refusal."""

import json
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from mixlm.errors import InputError
from mixlm.generation.server.transport import deadline
from mixlm.generation.server.transport.connection import PASSING, Connection, NoAnswer, Reply


GONE = (502, 503, 504)  # what a server, or whatever stands before it, says when nobody is there
REFUSED = (400, 404, 422)  # statuses of a server that does not know what it is asked for
CLOSED = (401, 403, 404)  # statuses that no question will change
_SILENCE = 60  # seconds without any answer, of which is told
_LONGEST_NAME = 1000  # letters of a model's


class NoServer(InputError):
    """A server that answers nobody."""


class ModelServer:
    """A server of models, for several threads.

    Args:
        url: Its address, with or without ``/v1``.
        concurrency: Requests under way at once.
        retries: How often a request is repeated, after 0.5, 1, 2 .. seconds or as long as the server says.
        say: Told in a line if the server does not answer and is tried again.

    Attributes:
        heard: When it last answered anybody, by the clock of ``time.monotonic``.
        unlisted: What it said if it refused to list its models; "" if it did not.

    Raises:
        InputError: If the address is none.
    """

    def __init__(self, url: str, concurrency: int, retries: int, say: Callable[[str], None]) -> None:
        self.say, self.heard, self.missed, self.unlisted = say, 0.0, False, ""
        self.connection = Connection(url, concurrency, retries, self._tell, self._waited)
        self.url = self.connection.url

    @cached_property
    def models(self) -> dict[str, str]:
        """What it calls its models, and where it has each of them from ("" if it keeps that to itself, as most do).

        Empty if it does not say, in texts that can be names.

        Raises:
            NoServer: If it does not answer.
        """
        try:
            reply = self.connection.get("/models")
        except NoAnswer as error:
            raise self.gone(error) from None
        self.unlisted, found = "" if reply.ok else self.message(reply), reply.json()
        try:
            listed = [(model["id"], model.get("root") or "") for model in found["data"]]
        except (KeyError, TypeError, AttributeError):
            listed = []
        texts = [text for model in listed for text in model]
        return dict(listed) if all(isinstance(text, str) and len(text) <= _LONGEST_NAME for text in texts) else {}

    def post(self, path: str, body: Mapping[str, Any]) -> Reply:
        """Send one request; passing failures are repeated.

        Raises:
            NoServer: If it answers nobody.
            NoAnswer: If it answers others, and this request not.
            InputError: If its answer cannot be used.
        """
        asked = time.monotonic()
        try:
            reply = self.connection.post(path, json.dumps(body).encode())
        except NoAnswer as error:
            if self.heard < asked:
                raise self.gone(error) from None
            raise
        if reply.status in GONE and self.heard < asked:
            raise self.gone(self.message(reply))
        if reply.status not in PASSING:
            self.heard, self.missed = time.monotonic(), False
        return reply

    def gone(self, why: NoAnswer | str) -> NoServer:
        """Return what to raise where it answers nobody."""
        return NoServer(f"{self.url}: no server answers ({why}); start one, or check --endpoint")

    def message(self, reply: Reply) -> str:
        """Return what it says about a refusal, in one line."""
        body = reply.json()
        error = body.get("error", body) if isinstance(body, dict) else body
        said = error.get("message") or error.get("detail") or error if isinstance(error, dict) else error
        text = said if isinstance(said, str) else reply.body.decode(errors="replace")
        text = text.encode(errors="replace").decode()  # half of a character, of a gateway that cuts texts
        return f"status {reply.status}, {self.connection.said(text)}"

    def hidden(self, answer: str) -> str:
        """Return an answer without the key that the server was sent."""
        return self.connection.hidden(answer)

    def _tell(self, why: str) -> None:
        """Say once that it does not answer."""
        if not self.missed:
            self.missed = True
            self.say(f"note: {self.url} does not answer ({why}); it is tried again for a while")

    def _waited(self, seconds: float) -> None:
        """Say once that nobody has had an answer for long, at one look at it after the other."""
        if not self.missed and min(seconds, time.monotonic() - self.heard) >= _SILENCE:
            self.missed = True
            self.say(
                f"note: {self.url} has answered nobody for {seconds:.0f} s; an answer is waited for up to "
                f"{deadline.PATIENCE // 60} minutes"
            )
