"""``--engine``: a server that the command starts, uses and stops, however the command ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from mixlm.run import Run
from pipelines import evaluate, generate
from pipelines.engines.server import Server
from tests.calling import call_command, lines_of
from tests.engine_stub import EngineStub, are_gone
from tests.tiny_runs import saved_run


call = partial(call_command, generate.main)
TEXTS = ["1 + 2?", "3 + 4?", "5 + 6?", "7 + 8?"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that answers in text alone, so that a server is asked once for each answer."""
    return saved_run(tmp_path_factory.mktemp("runs") / "run", "cot")


@pytest.fixture
def stub(run: Run, tmp_path: Path) -> EngineStub:
    """Answers with the text "7" and the end of the answer."""
    (tmp_path / "stub").mkdir()
    return EngineStub(tmp_path / "stub", [*run.tokenizer()("\n### 7")["input_ids"], run.ids.eos])


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps({"question": text, "steps": [], "answer": "7"}) + "\n" for text in TEXTS))
    return path


def test_a_command_starts_an_engine_and_stops_it(run, stub, questions, tmp_path):
    out = tmp_path / "out.jsonl"
    result = call(run.path, "--input", questions, "--output", out, "--engine", stub.python)
    assert [record["answer"] for record in lines_of(out)] == ["7"] * 4 and stub.answers() == 4
    assert result.stderr.splitlines()[0] == f"starting vLLM ({stub.python}) to serve {run.path}"
    assert re.fullmatch(r"vLLM is ready after \d+ s", result.stderr.splitlines()[1])
    (started,) = stub.starts()
    key = started["environment"]["VLLM_API_KEY"]
    assert len(key) > 30 and not any(key in argument for argument in started["arguments"])
    assert "--host" in started["arguments"] and "127.0.0.1" in started["arguments"]
    assert stub.processes() == [] and key not in result.output and "OPENAI_API_KEY" not in os.environ


def test_an_evaluation_has_an_engine_too(run, stub, questions, tmp_path):
    arguments = ["--engine", stub.folder.parent / "venv", "--out", tmp_path / "figures.json"]
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").symlink_to(stub.python)
    call_command(evaluate.main, run.path, questions, *arguments)
    assert json.loads((tmp_path / "figures.json").read_text())["modes"]["free"]["accuracy"] == 1
    assert stub.answers() == 8 and stub.processes() == []  # four were asked for the losses


def test_nothing_is_started_for_what_is_refused_or_done_already(run, stub, questions, tmp_path):
    options = ["--input", questions, "--output", tmp_path / "out.jsonl", "--engine", stub.python]
    call(run.path, *options, "--latents", "exact:x", code=1)
    assert stub.starts() == []
    call(run.path, *options)
    assert "already answered" in call(run.path, *options).stderr and len(stub.starts()) == 1


def test_an_engine_that_ends_early_is_one_line_and_a_log(run, stub):
    stub.told(say="INFO hello\nValueError: no room for a cache")
    error = call(run.path, "1 + 2?", "--engine", stub.python, code=1).stderr.splitlines()[-1]
    said, _, log = error.partition("; all that it said is in ")
    assert said == f"Error: --engine {stub.python}: ended before it was ready: ValueError: no room for a cache"
    assert Path(log).read_text() == "INFO hello\nValueError: no room for a cache\n" and stub.processes() == []
    Path(log).unlink()


def test_a_python_without_vllm_is_told_what_to_do(run):
    error = call(run.path, "1 + 2?", "--engine", sys.executable, code=1).stderr.splitlines()[-1]
    assert error.startswith(
        f"Error: --engine {sys.executable}: has no vLLM; install it into an environment of its own"
    )


def test_an_engine_that_ends_in_the_middle_costs_no_answer_and_another_goes_on(
    run, stub, questions, tmp_path, monkeypatch
):
    """What is kept does not depend on the address: each engine has a port of its own."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    out = tmp_path / "out.jsonl"
    stub.told(after=2)
    options = ["--input", questions, "--output", out, "--engine", stub.python, "--concurrency", 1]
    error = call(run.path, *options, code=1).stderr.splitlines()[-1]
    assert error.startswith(f"Error: --engine {stub.python}: ended: RuntimeError: no more; all that it said is in ")
    assert error.endswith("; 2 of 4 answers are kept, and the same command goes on after them")
    Path(re.search(r"said is in (\S+);", error)[1]).unlink()
    stub.told()
    assert "wrote" in call("--resume", out).stdout
    first, second = stub.starts()
    assert first["arguments"][-1] != second["arguments"][-1] and stub.answers() == 4
    kept = json.loads(out.with_name("out.jsonl.mixlm").read_text())["arguments"]
    assert kept["engine"] == str(stub.python) and "endpoint" not in kept


@pytest.mark.parametrize(
    ("asked", "signals"),
    [
        ("never", [signal.SIGINT]),
        ("never", [signal.SIGHUP]),
        ("never", [signal.SIGKILL]),
        ("hang", [signal.SIGINT, signal.SIGTERM]),  # the second does not wait for the answer
        ("hang", [signal.SIGKILL]),
    ],
)
def test_however_the_command_ends_the_engine_ends_with_it(run, stub, questions, warm, asked, signals):
    """While it starts, and while it answers."""
    stub.told(**{asked: True})
    options = ["--input", str(questions), "--output", str(stub.folder / "out.jsonl"), "--engine", str(stub.python)]
    command = [warm, "-m", "pipelines", "generate", str(run.path), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        until = {"never": "start-0.json", "hang": "asked"}[asked]
        wait_for(stub.folder / until, process)
        *engines, keeper = stub.processes()
        caller = keeper.parent()
        caller.send_signal(signals[0])
        while signals[1:] and psutil.wait_procs([caller], timeout=0.2)[1]:  # of two at once Python may miss the second
            with suppress(psutil.NoSuchProcess):
                caller.send_signal(signals[1])
        assert are_gone([*engines, keeper])
        lines = process.stderr.read().splitlines()
    assert lines[-1].startswith("Error: interrupted") == (signal.SIGKILL not in signals)


def wait_for(path: Path, process: subprocess.Popen) -> None:
    while not path.exists():
        assert process.poll() is None
        psutil.wait_procs([], timeout=0.05)


def test_two_servers_are_not_given(run, stub, questions, tmp_path):
    for other in (["--endpoint", "http://127.0.0.1:1"], ["--served-model", "m"]):
        error = call(run.path, "1?", "--engine", stub.python, *other, code=2).stderr
        assert f"--engine starts a server of its own; give either it or {other[0]}" in error


def test_what_is_typed_stands_in_place_of_what_a_file_says(run, stub, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("endpoint: http://127.0.0.1:1\nserved_model: m\n")
    assert "7" in call(run.path, "1 + 2?", "--config", config, "--engine", stub.python).stdout
    config.write_text(f"engine: {stub.python}\n")
    error = call(run.path, "1 + 2?", "--config", config, "--endpoint", "http://127.0.0.1:1", code=1).stderr
    assert "127.0.0.1:1/v1: no server answers" in error and len(stub.starts()) == 1


def test_several_processes_start_none(run, stub, monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"question": "1?"}\n')
    given = "--input", questions, "--output", tmp_path / "answers.jsonl"
    error = call(run.path, *given, "--engine", stub.python, code=1).stderr
    assert "Error: --engine: one engine answers for one process; leave out accelerate launch" in error


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a port is held by one alone")
def test_a_port_is_held_until_the_engine_takes_it(run, stub):
    with Server(run, str(stub.python), print) as server, socket.socket() as other, socket.socket() as engine:
        with pytest.raises(OSError):
            other.bind(("127.0.0.1", server.port))
        engine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        engine.bind(("127.0.0.1", server.port))
        engine.listen()
