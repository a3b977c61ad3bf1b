import json
import socket
import subprocess
import time
from functools import partial

import pytest
import requests

from mixlm.generation.engine import Engine
from mixlm.processes import Processes
from pipelines.generate import main
from tests.calling import call_command, lines_of
from tests.completions_stub import Stub, serving


TEXTS = ["1 + 2?", "1 + 2 + 3 + 4 + 5?", "9?", "2 + 2?"]


call = partial(call_command, main)


@pytest.fixture
def questions(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps({"question": text}) + "\n" for text in TEXTS))
    return path


@pytest.fixture(scope="module")
def transformers_serve(run, warm):
    """The address of transformers' own server."""
    pytest.importorskip("fastapi", reason="transformers serve needs transformers[serving]")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [warm, "-m", "transformers.cli.transformers", "serve", str(run.path), "--port", str(port)]
    with subprocess.Popen(
        [*command, "--device", "cpu"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(f"{url}/health", server)
            yield url
        finally:
            server.terminate()


def wait_for(url: str, server: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if requests.get(url, timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.2)
    pytest.fail("transformers serve did not start")


def without_latents(run, count: int) -> list[str]:
    """Questions that the random model answers in text although nothing holds it to that, as a trained one does."""
    model, tokenizer, found = run.load_model(), run.tokenizer(), []
    for number in range(200):
        ids = tokenizer(f"{number} + 2?\n", return_tensors="pt")["input_ids"]
        written = model.generate(ids, do_sample=False, max_new_tokens=10)[0, ids.shape[1] :].tolist()
        if max(written) < run.ids.bo_latent:  # before the project's tokens and the spare rows
            found.append(f"{number} + 2?")
    assert len(found) >= count
    return found[:count]


def test_transformers_serve_gives_the_texts_and_counts_of_decoding_here(transformers_serve, run, tmp_path):
    questions = tmp_path / "questions.jsonl"
    texts = without_latents(run, 5)
    questions.write_text("".join(json.dumps({"question": text}) + "\n" for text in texts))
    outs = [tmp_path / "here.jsonl", tmp_path / "there.jsonl"]
    options = ["--input", questions, "--max-new-tokens", 10]
    call(run.path, *options, "--output", outs[0], "--latents", "free")
    call(run.path, *options, "--output", outs[1], "--endpoint", transformers_serve, "--served-model", run.path)
    here, there = map(lines_of, outs)
    for one, other in zip(here, there, strict=True):
        same = ("row", "sample", "latents", "question", "answer", "text", "finished")
        assert {name: one[name] for name in same} == {name: other[name] for name in same}
        assert one["tokens"]["total"] == other["tokens"]["total"]
        assert other["codes"] is None and other["tokens"]["latent"] is None


def test_a_server_of_ids_gives_the_records_of_decoding_here(run, questions, tmp_path):
    outs = [tmp_path / "here.jsonl", tmp_path / "there.jsonl"]
    options = ["--max-new-tokens", 12, "--latents", "exact:2"]
    call(run.path, "--input", questions, *options, "--output", outs[0])
    with serving(Stub(Engine(run))) as url:
        told = ("--endpoint", url, "--concurrency", 2)
        result = call(run.path, "--input", questions, *options, "--output", outs[1], *told)
        shown = call(run.path, "1 + 2?", *options, *told, "--explain").stdout
    assert f"wrote {outs[1]}: 4 answers" in result.stdout
    here, there = map(lines_of, outs)
    assert here == there and len(there[0]["codes"]) == 2
    assert shown.count("<latent_") >= 2 and "stood for in training" in shown


def test_what_a_server_refuses_is_named_and_the_rest_is_written(run, questions, tmp_path):
    stub, out = Stub(Engine(run)), tmp_path / "out.jsonl"
    stub.refused, command = "9?", (run.path, "--input", questions, "--latents", "text", "--output", out)
    with serving(stub) as url:
        result = call(*command, "--endpoint", url, code=1)
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    why = "status 400, the prompt is too long"
    assert line == (
        f"Error: 1 of 4 answers are missing, the first for {questions}:3: {why}; the same command asks for them again"
    )
    assert [record.get("error") for record in lines_of(out)] == [None, None, why, None]
    stub.refused, stub.bodies = None, []
    with serving(stub) as url:
        call(*command, "--endpoint", url)
    assert len(stub.bodies) == 1 and not any("error" in record for record in lines_of(out))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "out.jsonl.mixlm", "questions.jsonl"]


def test_a_server_that_dies_costs_no_answer_that_it_gave(run, tmp_path, monkeypatch):
    """It is gone after 5 of 9 answers; another one, elsewhere, gives the rest."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    source, outs, texts = tmp_path / "many.jsonl", [tmp_path / "out.jsonl", tmp_path / "whole.jsonl"], range(9)
    source.write_text("".join(json.dumps({"question": f"{n} + 2?"}) + "\n" for n in texts))
    options = ["--input", source, "--max-new-tokens", 6, "--temperature", 1, "--seed", 3, "--concurrency", 1]
    options += ["--latents", "text"]
    stub = Stub(Engine(run))
    with serving(stub) as url:
        call(run.path, *options, "--output", outs[1], "--endpoint", url)
        stub.failures = [*[None] * 5, *[503] * 99]
        died = call(run.path, *options, "--output", outs[0], "--endpoint", url, code=1)
        note, error = died.stderr.splitlines()
        assert note == f"note: {url}/v1 does not answer (status 503); it is tried again for a while"
        assert error == (
            f"Error: {url}/v1: no server answers (status 503, busy); start one, or check --endpoint; 5 of 9 answers "
            "are kept, and the same command goes on after them"
        )
        assert not outs[0].exists()
    stub.failures, stub.bodies = [], []
    with serving(stub) as url:
        secret = url.replace("//", "//me:secret@")
        call("--resume", outs[0], "--endpoint", secret)
    assert not [path for path in tmp_path.iterdir() if b"secret" in path.read_bytes()]
    assert len(stub.bodies) == 4 and outs[0].read_bytes() == outs[1].read_bytes()


def test_a_text_alone_is_shown_with_its_number_of_tokens(run):
    with serving(Stub(Engine(run), takes_ids=False, returns_ids=False)) as url:
        lines = call(run.path, "1 + 2?", "--max-new-tokens", 6, "--endpoint", url).stdout.splitlines()
    assert lines[-1].startswith("(6 tokens") and "latent" not in lines[-1]


def test_no_server_is_one_line(run):
    message = call(run.path, "1?", "--endpoint", "http://127.0.0.1:1", code=1).stderr
    assert message.startswith("Error: http://127.0.0.1:1/v1: no server answers") and len(message.splitlines()) == 1


def test_a_process_without_a_question_is_done(run, tmp_path, monkeypatch):
    """Of more processes than questions some have none to ask."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(Processes, "wait", lambda self: None)
    source = tmp_path / "questions.jsonl"
    source.write_text(json.dumps({"question": "1 + 2?"}) + "\n")
    stub = Stub(Engine(run))
    with serving(stub) as url:
        call(run.path, "--input", source, "--output", tmp_path / "out.jsonl", "--endpoint", url)
    assert not stub.bodies
