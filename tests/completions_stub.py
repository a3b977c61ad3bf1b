"""A server of completions for tests, which answers by decoding here."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mixlm.generation.engine import Engine
from mixlm.generation.options import GenerationOptions, LatentMode
from mixlm.generation.plan import Request


LATENTS = LatentMode("exact", 2)  # a random model would write none


class Stub:
    """What the server does and has seen.

    Attributes:
        engine: The run that it serves.
        takes_ids: Whether a prompt may be a list of ids, as vLLM's may.
        returns_ids: Whether it returns ids when asked, as vLLM does.
        ends: Whether the ids hold the token at which it stopped.
        failures: Statuses to answer with first, one a request.
        refused: Text in a prompt for which it answers with status 400.
        bodies: Requests that were answered.
        most: Requests that were under way at once.
    """

    def __init__(self, engine: Engine, takes_ids: bool = True, returns_ids: bool = True, ends: bool = True):
        self.engine, self.tokenizer = engine, engine.tokenizer
        self.takes_ids, self.returns_ids, self.ends = takes_ids, returns_ids, ends
        self.failures, self.bodies, self.headers = [], [], []
        self.refused, self.most, self.now, self.delay = None, 0, 0, 0.0
        self.lock = threading.Lock()

    def complete(self, body: dict) -> tuple[int, dict]:
        """Return status and body of an answer."""
        known = {"model", "prompt", "max_tokens", "temperature", "top_p", "seed", "top_k"}
        known |= {"return_token_ids", "skip_special_tokens"} if self.takes_ids else set()
        if body.keys() - known:
            return 422, {"detail": f"Unexpected fields in the request: {body.keys() - known}"}
        prompt = body["prompt"]
        if isinstance(prompt, str) == self.takes_ids:
            return 400, {"detail": "prompt must be a string."}
        ids = self.tokenizer(prompt)["input_ids"] if isinstance(prompt, str) else prompt
        if self.refused and self.refused in self.tokenizer.decode(ids):
            return 400, {"error": {"message": "the prompt is too long", "type": "BadRequestError"}}
        sampling = {} if body["temperature"] == 0 else {"temperature": body["temperature"], "seed": body["seed"]}
        options = GenerationOptions(max_new_tokens=body["max_tokens"], **sampling)
        writes_latents = self.engine.run.method.spans != "none"
        request = Request(ids, latents=LATENTS) if writes_latents else Request(ids, opening=[])  # only what is given
        (answer,) = self.engine.answer([request], options)
        choice = {"index": 0, "finish_reason": "stop" if answer.finished else "length"}
        shown = body.get("skip_special_tokens", True)
        choice["text"] = self.tokenizer.decode(answer.ids, skip_special_tokens=shown)
        if body.get("return_token_ids") and self.returns_ids:
            written = answer.ids if self.ends or not answer.finished else answer.ids[:-1]
            choice |= {"token_ids": written, "prompt_token_ids": ids}
        return 200, {"object": "text_completion", "choices": [choice], "usage": {"completion_tokens": len(answer.ids)}}


def handler_of(stub: Stub):
    """Return the handler of a server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args) -> None:
            pass

        def send(self, status: int, body: dict) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self.send(200, {"data": [{"id": "served", "object": "model"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with stub.lock:
                stub.now += 1
                stub.most = max(stub.most, stub.now)
                failure = stub.failures.pop(0) if stub.failures else None
            time.sleep(stub.delay)
            status, reply = (failure, {"error": {"message": "busy"}}) if failure else stub.complete(body)
            with stub.lock:
                stub.now -= 1
                stub.bodies.append(body)
                stub.headers.append(dict(self.headers))
            self.send(status, reply)

    return Handler


@contextmanager
def serving(stub: Stub):
    """Run a server; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(stub))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
