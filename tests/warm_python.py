"""A python that has imported the large libraries already: what it runs is a fork of a server that imports them once.

``start`` gives an executable to be called as ``python -m MODULE ..``, ``python -c CODE ..`` or ``python FILE ..``. It
sends its arguments, folder, environment, streams to the server, waits for the fork, and ends as that does. The fork
has what any new process has, this project's own modules not yet imported, and starts the same python in turn; but it
took no seconds of processor time to begin. This file is the server and, given the server's address, the program.
"""

import atexit
import contextlib
import gc
import json
import multiprocessing
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path


LIBRARIES = ("torch", "datasets", "peft", "vector_quantize_pytorch", "transformers.trainer", "torch.distributed.run")
STREAMS = (0, 1, 2)
status = 0  # with which this process ends


@contextlib.contextmanager
def start(folder: Path, python: str = sys.executable) -> Iterator[Path]:
    """Run a server in ``folder``; yields the executable, which stands for ``python`` until this ends."""
    address, warm = folder / "socket", folder / "python"
    warm.write_text(f'#!/bin/sh\nexec "{python}" -S "{__file__}" "{address}" "$@"\n')
    warm.chmod(0o755)
    how = {"cwd": folder, "env": {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}}
    command, pipe = [python, __file__, str(address)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, **how) as server:
        assert server.stdout.readline() == "ready\n"
        yield warm
        server.stdin.close()


def serve(address: str) -> dict | None:
    """Fork a process for each call until stdin is closed; returns in each fork what it is to run."""
    atexit.register(leave)  # before all others, so that it is called after them
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where the tests were started by nohup
    for name in LIBRARIES:
        with contextlib.suppress(ModuleNotFoundError):  # PEFT is an extra
            import_module(name)
    gc.collect()
    gc.freeze()
    multiprocessing.set_executable(sys.executable)  # passes more than three streams to what it starts
    sys.executable = str(Path(address).with_name("python"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        print("ready", flush=True)
        while listener in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                return fork(listener, connection)
            connection.close()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG) != (0, 0):
                    pass
    with contextlib.suppress(ChildProcessError):
        while os.wait():  # so that the seconds of all forks are this process's
            pass


def fork(listener: socket.socket, connection: socket.socket) -> dict:
    """Fork once more; the child returns with what it is to run, its parent reports how the child ended."""
    _, streams, *_ = socket.recv_fds(connection, 1, len(STREAMS))
    with connection.makefile() as lines:
        call = json.loads(lines.readline())
    child = os.fork()
    if child:
        threading.Thread(target=end_with_caller, args=(connection, child), daemon=True).start()
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(BrokenPipeError):
            connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os._exit(0)
    for stream, given in zip(STREAMS, streams, strict=True):
        os.dup2(given, stream)
        os.close(given)
    listener.close()
    connection.close()
    return call


def end_with_caller(connection: socket.socket, child: int) -> None:
    """End the child when the program that called for it is no more."""
    connection.recv(1)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGTERM)


def run(call: dict) -> None:
    """Be ``python ARGUMENTS``."""
    global status
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["environment"])
    kind, *arguments = call["arguments"]
    first = os.path.dirname(os.path.abspath(kind)) if kind not in ("-c", "-m") else os.getcwd()
    sys.path[:1] = [first, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = arguments if kind == "-m" else [kind, *arguments[kind == "-c" :]]
    status = 1
    try:
        if kind == "-m":
            runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        elif kind == "-c":
            exec(compile(arguments[0], "<string>", "exec"), {"__name__": "__main__"})
        else:
            runpy.run_path(kind, run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise


def leave() -> None:
    """End once all that other libraries do at the end is done; to take them apart would take longer than the start."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def call(address: str, arguments: list[str]) -> None:
    """Have the server run ``python ARGUMENTS``, and end as that does."""
    if arguments[0] == "-u":
        arguments = arguments[1:]
    if arguments[0].startswith("-") and arguments[0] not in ("-c", "-m"):
        os.execv(sys.executable, [sys.executable, *arguments])
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [b"."], STREAMS)
        asked = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
        connection.sendall(json.dumps(asked).encode() + b"\n")
        with connection.makefile() as lines:
            code = int(lines.readline())
    if code < 0:
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    address, *arguments = sys.argv[1:]
    if arguments:
        call(address, arguments)
    elif (called := serve(address)) is not None:
        run(called)
