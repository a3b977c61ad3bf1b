"""What a server can do to whoever asks it: answer, or be told of in one line, soon and in little memory."""

import base64
import gzip
import json
import os
import socket
import threading
import time
import tracemalloc

import pytest

from mixlm.errors import InputError
from mixlm.generation.engine import Engine
from mixlm.generation.options import GenerationOptions
from mixlm.generation.server import model_server
from mixlm.generation.server.endpoint import Endpoint
from mixlm.generation.server.transport import deadline
from tests.hostile_server import COMPLETION, dripping, endless, hostile, sending
from tests.tiny_runs import saved_run


KEY, PASSWORD = "sk-0123456789abcdef", "p4ss:w/rd@x"
OPTIONS = GenerationOptions(max_new_tokens=4)
OK = "HTTP/1.1 200 OK\r\n"


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Engine:
    return Engine(saved_run(tmp_path_factory.mktemp("runs") / "run"))


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr(deadline, "PATIENCE", 0.3)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def ask(url: str, engine: Engine, **settings) -> str:
    """Ask one question; returns the answer's text, or the message of the refusal."""
    found = []

    def run() -> None:
        try:
            (answer,) = Endpoint(url, engine, settings.pop("name", "served"), retries=0, **settings).answer(
                [engine.request("1 + 2 ?")], OPTIONS
            )
            found.append(answer.error or answer.text)
        except InputError as error:
            found.append(str(error))
        except BaseException as error:
            found.append(f"TRACEBACK {type(error).__name__}: {error}"[:300])

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert found, "it goes on for ever"
    assert not found[0].startswith("TRACEBACK"), found[0]
    return found[0]


def told(reply, engine: Engine, **settings) -> str:
    """Ask a hostile server one question; returns what is said of it, which is short and in one line."""
    with hostile(reply) as server:
        message = ask(server.url, engine, **settings)
    assert len(message) < 500 and "\n" not in message and KEY not in message, message[:1000]
    return message


DEEP = b"[" * 100_000
BODIES = {
    "endless": endless(f"{OK}\r\n".encode(), b"x" * 65536),
    "endless json": endless(f"{OK}\r\n[".encode(), b"[]," * 20000),
    "endless chunks": endless(
        f"{OK}Transfer-Encoding: chunked\r\n\r\n".encode(), b"10000\r\n" + b"x" * 65536 + b"\r\n"
    ),
    "a huge length": endless(f"{OK}Content-Length: 99999999999999\r\n\r\n".encode(), b" " * 65536),
    "a slow body": dripping(f"{OK}Content-Length: 400\r\n\r\n".encode(), b" "),
    "a slow body without an end": dripping(f"{OK}\r\n".encode(), b" "),
    "a slow complete-looking body": dripping(f"{OK}\r\n".encode() + COMPLETION, b" "),
    "slow chunks": dripping(f"{OK}Transfer-Encoding: chunked\r\n\r\n".encode(), b"1\r\n \r\n"),
    "slow headers": dripping(OK.encode(), b"x"),
    "a slow status": dripping(b"", b"H"),
    "nothing": lambda connection: time.sleep(15),
    "the end at once": lambda connection: None,
    "endless headers": endless(OK.encode(), b"X-Some: thing\r\n" * 1000),
    "one endless header": endless(OK.encode() + b"X-Some: ", b"thing" * 10000),
    "endless continue": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "slow continue": dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "endless trailers": endless(f"{OK}Transfer-Encoding: chunked\r\n\r\n0\r\n".encode(), b"X: y\r\n" * 1000),
    "an endless size of a chunk": endless(f"{OK}Transfer-Encoding: chunked\r\n\r\n".encode(), b"0" * 65536),
    "a wrong size of a chunk": sending(b"-5\r\nabc\r\n", headers="Transfer-Encoding: chunked\r\n"),
    "a bomb": sending(gzip.compress(bytes(200_000_000), 1), headers="Content-Encoding: gzip\r\n"),
    "gzip that is none": sending(b"hello", headers="Content-Encoding: gzip\r\n"),
    "deep lists": sending(DEEP),
    "deep completion": sending(b'{"choices": ' + DEEP + b"]" * 100_000 + b"}"),
    "deep objects": sending(b'{"choices":' * 100_000),
    "a page": sending(b"<html>" + b"<p>no</p>" * 100_000),
    "no text at all": sending(bytes(range(256)) * 100),
    "half": sending(COMPLETION[:30]),
    "less than it says": sending(COMPLETION, headers="Content-Length: 1000\r\n"),
    "another protocol": lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "a bad status": sending(COMPLETION, "abc OK"),
    "a status of many digits": sending(COMPLETION, "9" * 5000),
    "a number of many digits": sending(
        b'{"choices": [{"text": "x"}], "usage": {"completion_tokens": ' + b"9" * 5000 + b"}}"
    ),
    "a negative number": sending(b'{"choices": [{"text": "x"}], "usage": {"completion_tokens": -3}}'),
    "halves of characters": sending(b'{"choices": [{"text": "\\ud800"}], "usage": {"completion_tokens": 1}}'),
    "an endless text of an error": endless(b"HTTP/1.1 400 Bad\r\n\r\n", b"no, " * 10000),
    "a long text of an error": sending(b'{"error": {"message": "' + b"no " * 10_000_000 + b'"}}', "400 Bad Request"),
    "an error of many kinds": sending(json.dumps({"error": {"message": {"a": [1] * 10**5}}}).encode(), "400 Bad"),
    "an error within errors": sending(b'{"error":' * 50_000 + b"1" + b"}" * 50_000, "400 Bad"),
    "a busy text": sending(b"busy " * 10_000_000, "503 Busy"),
}


@pytest.mark.parametrize("kind", BODIES)
def test_whatever_a_server_sends_is_one_line_soon_and_in_little_memory(engine, kind):
    tracemalloc.start()
    try:
        message = told(BODIES[kind], engine)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 150e6, f"{most / 1e6:.0f} MB"
    assert message.startswith(("http://127.0.0.1", "status 4")), message


@pytest.mark.parametrize("kind", ["endless", "a slow body", "nothing", "deep lists", "a page", "a busy text"])
def test_a_list_of_models_is_read_as_carefully(engine, kind):
    message = told(BODIES[kind], engine, name=None)
    assert message.startswith(("http://127.0.0.1", "status 4")), message


def test_a_server_that_closes_its_door_and_holds_on_to_what_it_has_is_gone(engine, monkeypatch):
    monkeypatch.setattr(deadline, "PATIENCE", 60)
    monkeypatch.setattr(deadline, "LOOK", 0.1)
    listening, held = socket.create_server(("127.0.0.1", 0)), []

    def serve() -> None:
        held.append(listening.accept()[0])
        listening.close()

    threading.Thread(target=serve, daemon=True).start()
    begun = time.monotonic()
    message = ask(f"http://127.0.0.1:{listening.getsockname()[1]}", engine)
    held[0].close()
    assert "no server answers (it takes no connections any more)" in message
    assert time.monotonic() - begun < 30


def test_a_slow_server_is_waited_for_and_once_it_is_said(engine, monkeypatch):
    monkeypatch.setattr(deadline, "PATIENCE", 60)
    monkeypatch.setattr(deadline, "LOOK", 0.1)
    monkeypatch.setattr(model_server, "_SILENCE", 0.2)
    said, answer = [], sending(COMPLETION)
    with hostile(lambda asked: time.sleep(1) or answer(asked)) as server:
        assert ask(server.url, engine, say=said.append) == "4"
    assert "has answered nobody for 0 s; an answer is waited for up to 1 minutes" in said[0]
    assert len(said) == len(server.heads)  # of each silence once


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nothing_is_sent_where_a_server_points(engine, status, monkeypatch):
    monkeypatch.setattr(deadline, "PATIENCE", 60)  # none of them is slow
    with hostile(sending(COMPLETION)) as other, hostile(sending(COMPLETION)) as third:
        for target in (
            other.url,
            third.url.replace("127.0.0.1", "localhost"),
            "//evil.invalid/x",
            "file:///etc/passwd",
        ):
            for name in ("served", None):
                location = f"Location: {target}/v1/completions?k={KEY}\r\n"
                message = told(sending(b"", f"{status} Moved", location), engine, name=name)
                assert "sends on to" in message and target in message
        assert not other.heads and not third.heads


def test_a_redirect_shows_no_control_characters_and_is_cut(engine):
    message = told(sending(b"", "307 x", "Location: http://a/\x1b[31m" + "b" * 10_000 + "\r\n"), engine)
    assert "sends on to http://a/" in message


FORMS = (KEY, f"Bearer {KEY}", KEY.upper(), base64.b64encode(KEY.encode()).decode())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", ["400 Bad", "401 Unauthorized", "503 Busy"])
def test_a_refusal_that_repeats_the_key_is_shown_without_it(engine, form, status):
    for body in (form, json.dumps({"error": {"message": f"wrong key: {form}!"}}), "x" * 190 + form):
        message = told(sending(body.encode(), status), engine)
        assert form not in message and "0123456789" not in message


def test_an_answer_that_repeats_the_key_is_kept_without_it(engine):
    assert told(sending(COMPLETION.replace(b'"4"', f'"it is {KEY}"'.encode())), engine) == "it is ***"


def test_a_password_of_the_address_goes_to_its_server_and_is_shown_nowhere(engine):
    quoted = "p4ss%3Aw%2Frd%40x"
    basic = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    for body, status in ((COMPLETION, "200 OK"), (f"{PASSWORD} {quoted} {basic}".encode(), "403 Forbidden")):
        with hostile(sending(body, status)) as server:
            message = ask(server.url.replace("//", f"//me:{quoted}@"), engine)
        assert all(f"Authorization: Basic {basic}" in head and KEY not in head for head in server.heads)
        assert not any(form in message for form in (PASSWORD, quoted, basic, "p4ss"))
        assert message == "4" or "403" in message


HOSTS = ("127.0.0.1:1", "127.0.0.1:99999", "[::1", "", "a..b", "x y", "127.0.0.1:1/v1?api_key=p4ss", "[::1]:1/#p4ss")


@pytest.mark.parametrize("scheme", ["http://", "https://", "HTTP://", "ftp://", "", "http:", "//"])
@pytest.mark.parametrize(
    "password", ["p4ss", "p4ss/w", "p4ss@w", "p4ss?w", "p4ss#w", "p4ss w", "p4ss%zz", "p4ss\u00e9"]
)
def test_an_address_that_leads_nowhere_is_shown_without_its_password(engine, scheme, password):
    for host in HOSTS:
        assert "p4ss" not in ask(f"{scheme}me:{password}@{host}", engine)


def test_other_peoples_passwords_and_proxies_stay_out(engine, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password netrc-password\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with hostile(sending(COMPLETION)) as proxy, hostile(sending(COMPLETION)) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert ask(server.url, engine) == "4"
        assert not proxy.heads
        assert all(f"Authorization: Bearer {KEY}" in head for head in server.heads)
        monkeypatch.delenv("OPENAI_API_KEY")
        ask(server.url, engine)
        assert "Authorization" not in server.heads[-1] and "netrc" not in "".join(server.heads)


def test_cookies_are_not_kept(engine):
    with hostile(sending(COMPLETION, headers="Set-Cookie: a=b\r\n")) as server:
        ask(server.url, engine, name=None)
    assert len(server.heads) > 1 and not any("cookie" in head.lower() for head in server.heads)


@pytest.mark.parametrize(
    "key", ["sk-012345\n6789", "sk-0123456789é", "sk-0123456789\r\nX-Evil: 1", "sk-\x000123456789"]
)
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(engine, monkeypatch, key):
    if "\0" in key:
        monkeypatch.setattr(os, "environ", {**os.environ, "OPENAI_API_KEY": key})
    else:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    message = ask("http://127.0.0.1:1", engine)
    assert message.startswith("OPENAI_API_KEY: ") and "012345" not in message


def test_a_line_end_after_the_key_does_no_harm(engine, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    with hostile(sending(COMPLETION)) as server:
        assert ask(server.url, engine) == "4"
    assert f"Bearer {KEY}\r\n" in server.heads[0] + "\r\n"


@pytest.mark.parametrize("after", ["31536000", "-5", "soon", "1e9", "9" * 5000, "Fri, 31 Dec 2999 23:59:59 GMT", ""])
def test_a_server_does_not_say_how_long_one_waits(engine, monkeypatch, after):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with hostile(sending(b"busy", "503 Busy", f"Retry-After: {after}\r\n")) as server:
        with pytest.raises(InputError, match="status 503, busy"):
            Endpoint(server.url, engine, "served", retries=3).answer([engine.request("1 + 2 ?")], OPTIONS)
    assert len(waits) <= 4 and all(0 <= wait <= 60 for wait in waits)
