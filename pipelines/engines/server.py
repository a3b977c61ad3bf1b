"""An engine that a command starts to serve its run, uses, and stops: ``--engine vllm``.

It answers on the loopback, at a free port, and nobody without a key that is drawn for it; ``keeper.py`` ends it with
the command, however that ends.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mixlm.generation.answerer import Pending, Wanted, every
from mixlm.generation.server.endpoint import Endpoint
from mixlm.generation.server.model_server import NoServer
from mixlm.generation.server.transport.connection import Connection, NoAnswer
from pipelines.engines.vllm import INSTALL, NAME, NOT_THERE, command_for, environment_for, last_words
from vqvae.stopping import ended_at_once


if TYPE_CHECKING:
    from mixlm.generation.answers import Answer
    from mixlm.generation.engine import Engine
    from mixlm.generation.options import GenerationOptions
    from mixlm.run import Run

_KEEPER = Path(__file__).with_name("keeper.py")
_PAUSE = 0.2  # seconds between two looks whether it is ready
_PATIENCE = 15.0  # seconds to wait for the exit of a server that stopped answering; longer than the keeper's grace
_LAST = 2**18  # bytes of its output in which the reason of its end is looked for


class Server:
    """An engine that serves a run to whoever has its key; left as a context, it is stopped.

    Args:
        run: The run.
        engine: "vllm", or the interpreter that has it, or the environment with that.
        say: Told when it starts and when it is ready.

    Attributes:
        url: Its address.
        key: What it asks for.

    Raises:
        InputError: If there is no such engine.
    """

    def __init__(self, run: "Run", engine: str, say: Callable[[str], None]) -> None:
        self.run, self.engine, self.say = run, engine, say
        self.command = command_for(run, engine)
        self.key = secrets.token_urlsafe(32)
        self.held = _held_port()
        self.port = self.held.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.keeper: subprocess.Popen | None = None

    def __enter__(self) -> Self:
        """Start nothing yet."""
        return self

    def __exit__(self, *error: object) -> None:
        """Stop it."""
        self.stop()

    def start(self) -> None:
        """Start it, if that has not been done, and wait until it answers.

        Raises:
            Stopped: If an end was asked for meanwhile.
            InputError: If it ends.
        """
        if self.keeper:
            return
        self.say(f"starting vLLM ({self.command[0]}) to serve {self.run.path}")
        began = time.monotonic()
        with ended_at_once():
            self._launch()
            while not self._answers():
                if self.ended():
                    raise self.error(" before it was ready")
                time.sleep(_PAUSE)
        self.say(f"vLLM is ready after {time.monotonic() - began:.0f} s")

    def ended(self, patience: float = 0.0) -> bool:
        """Tell whether it was started and runs no more, after some seconds if it still does."""
        try:
            return self.keeper is not None and self.keeper.wait(patience) is not None
        except subprocess.TimeoutExpired:
            return False

    def stop(self) -> None:
        """End it, with all that it has started."""
        self.held.close()
        if self.keeper:
            self.keeper.terminate()  # which does nothing if it has ended
            self.keeper.wait()
            self.output.close()

    def error(self, when: str = "") -> NoServer:
        """Return what to raise where it ended by itself; its output is kept, with the reasons."""
        size = self.output.seek(0, os.SEEK_END)
        self.output.seek(max(0, size - _LAST))
        words = last_words(self.output.read().decode(errors="replace"))
        if NOT_THERE in words:
            return NoServer(f"--engine {self.engine}: has no vLLM; {INSTALL}")
        self.output.seek(0)
        with tempfile.NamedTemporaryFile(prefix="mixlm-vllm-", suffix=".log", delete=False) as log:
            shutil.copyfileobj(self.output, log)
        return NoServer(f"--engine {self.engine}: ended{when}: {words.rstrip('.')}; all that it said is in {log.name}")

    def _launch(self) -> None:
        self.output = tempfile.TemporaryFile()
        if sys.platform != "linux":  # where nobody else could bind it now
            self.held.close()
        keeper = [sys.executable, "-I", "-S", str(_KEEPER), str(os.getpid())]
        how = {"stdin": subprocess.DEVNULL, "stdout": self.output, "stderr": subprocess.STDOUT}
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        environment = environment_for(self.run, self.command[0]) | {"VLLM_API_KEY": self.key}
        self.keeper = subprocess.Popen(
            [*keeper, *self.command, *address], env=environment, start_new_session=True, **how
        )

    def _answers(self) -> bool:
        connection = Connection(self.url, connections=1, retries=0)
        connection.log_in(self.key)
        try:
            return connection.get("/models").ok
        except NoAnswer:
            return False


class ServedHere(Endpoint):
    """A server of this process's own, which is started when the first answer is asked for.

    Args:
        server: The server.
        engine: The run that it serves; its model is not loaded.
        concurrency: Requests under way at once.
        say: Told in a line if the server does not answer and is tried again.
    """

    def __init__(self, server: Server, engine: "Engine", concurrency: int, say: Callable[[str], None]) -> None:
        super().__init__(server.url, engine, concurrency=concurrency, say=say)
        self.server.connection.log_in(server.key)
        self.own, self.model.software = server, NAME

    def decoded(
        self, pending: Sequence[Pending], options: "GenerationOptions", wanted: Wanted = every
    ) -> Iterator[list[tuple[Pending, "Answer"]]]:
        """Start the server with the call, and then yield answers as any endpoint does.

        Raises:
            Stopped: If an end was asked for while the server starts.
            InputError: As any endpoint, or if the server ends.
        """
        self.own.start()
        return self._answers(pending, options, wanted)

    def _answers(
        self, pending: Sequence[Pending], options: "GenerationOptions", wanted: Wanted
    ) -> Iterator[list[tuple[Pending, "Answer"]]]:
        with self._explained():
            yield from super().decoded(pending, options, wanted)

    def scored(self, sequences: Sequence[Sequence[int]]) -> list[list[float] | None]:
        """Start the server, and let it tell how likely tokens are as any endpoint does."""
        self.own.start()
        with self._explained():
            return super().scored(sequences)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say in an error of a server that has ended why it did."""
        try:
            yield
        except NoServer:
            if self.own.ended(_PATIENCE):
                raise self.own.error() from None
            raise


def _held_port() -> socket.socket:
    """Return a socket that holds a free port of the loopback, which only who binds it by its number gets, too."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held
