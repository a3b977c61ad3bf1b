"""What stands for an interpreter that has vLLM: ``python -m vllm.. --port N`` is then a small server of completions.

It answers every question with the same ids, to whoever has the key, and has a child in a session of its own, as an
engine has. A folder that it is given tells it what to do and is told what it did. Nothing but Python is needed, so it
starts at once.
"""

import json
import os
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from collections.abc import Iterable

    import psutil


class EngineStub:
    """The stub as a test sees it.

    Args:
        folder: Its own.
        ids: What it answers.

    Attributes:
        python: The interpreter, as ``--engine`` takes it.
    """

    def __init__(self, folder: Path, ids: list[int]) -> None:
        self.folder, self.python = folder, folder / "python"
        (folder / "ids").write_text(json.dumps(ids))
        self.python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{__file__}" "{folder}" "$@"\n')
        self.python.chmod(stat.S_IRWXU)

    def told(self, **settings: object) -> "EngineStub":
        """Tell it what to do: ``say`` something and end, be ready ``never``, ``hang`` or end ``after`` answers."""
        (self.folder / "settings").write_text(json.dumps(settings))
        return self

    def starts(self) -> list[dict]:
        """What each that was started told of itself: its ``arguments``, ``environment``, and processes."""
        return [json.loads(file.read_text()) for file in sorted(self.folder.glob("start-*.json"))]

    def processes(self) -> "list[psutil.Process]":
        """The last one's processes, as far as they still run: its child, itself, its keeper."""
        import psutil

        return [psutil.Process(number) for number in self.starts()[-1]["processes"] if psutil.pid_exists(number)]

    def answers(self) -> int:
        """How many answers all of them have given."""
        return len(list(self.folder.glob("answer-*")))


def are_gone(processes: "Iterable[psutil.Process]") -> bool:
    """Wait for processes to end; one that nobody has taken note of yet is no more, too."""
    import psutil

    alive = [*processes]
    for _ in range(600):
        alive = psutil.wait_procs(alive, timeout=0.1)[1]
        with suppress(psutil.NoSuchProcess):
            if all(one.status() == psutil.STATUS_ZOMBIE for one in alive):
                return True
    return False


def serve(folder: Path, arguments: list[str]) -> None:
    """Be the server."""
    settings = json.loads((folder / "settings").read_text()) if (folder / "settings").exists() else {}
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    processes = [child.pid, os.getpid(), os.getppid()]
    told = {"arguments": arguments, "environment": dict(os.environ), "processes": processes}
    draft, number = folder / "draft", len(list(folder.glob("start-*.json")))
    draft.write_text(json.dumps(told))
    draft.rename(folder / f"start-{number}.json")
    if "say" in settings:
        print(settings["say"], flush=True)
        os._exit(1)
    if settings.get("never"):
        time.sleep(600)
    port = int(arguments[arguments.index("--port") + 1])
    ThreadingHTTPServer(("127.0.0.1", port), handler(folder, settings)).serve_forever()


def handler(folder: Path, settings: dict) -> type[BaseHTTPRequestHandler]:
    """Return the handler of the server's requests."""
    ids, counting = json.loads((folder / "ids").read_text()), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args) -> None:
            pass

        def send(self, status: int, body: dict) -> None:
            known = self.headers["Authorization"] == f"Bearer {os.environ['VLLM_API_KEY']}"
            content = json.dumps(body if known else {"error": "Unauthorized"}).encode()
            self.send_response(status if known else 401)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self.send(200, {"data": [{"id": "stub", "object": "model"}]})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            (folder / "asked").touch()
            if settings.get("hang"):
                time.sleep(600)
            with counting:
                given = len(list(folder.glob("answer-*")))
                if given == settings.get("after"):
                    print("RuntimeError: no more", flush=True)
                    os._exit(1)
                (folder / f"answer-{given}").touch()
            choice = {"text": "", "finish_reason": "stop", "token_ids": ids}
            self.send(200, {"choices": [choice], "usage": {"completion_tokens": len(ids)}})

    return Handler


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2:])
