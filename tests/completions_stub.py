"""A server of completions for tests, which answers by decoding here."""

import base64
import io
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch

from mixlm.generation.engine import Engine


# fields of a request that a server which takes ids knows
FULL = {"return_token_ids", "skip_special_tokens", "logprobs", "prompt_embeds", "prompt_logprobs"}
FULL |= {"repetition_penalty", "presence_penalty", "frequency_penalty", "min_p", "top_k"}
FULL |= {"logit_bias", "allowed_token_ids", "stop_token_ids", "min_tokens"}


VERSION = "0.99.1+cpu"


class Stub:
    """What the server does and has seen. It knows nothing of spans: it takes the likeliest token, or draws one.

    Attributes:
        engine: The run that it serves.
        takes_ids: Whether a prompt may be a list of ids, as vLLM's may.
        returns_ids: Whether it returns ids when asked, as vLLM does.
        ends: Whether the ids hold the token at which it stopped.
        tells: Whether it tells how likely the tokens of a prompt are.
        heedless: Whether it takes no notice of what is to be left out.
        failures: Statuses to answer with first, one a request.
        refused: Text in a prompt for which it answers with status 400.
        source: Where it says that it has its model from; None: it does not say.
        bodies: Requests that were answered.
        most: Requests that were under way at once.
    """

    def __init__(self, engine: Engine, takes_ids: bool = True, returns_ids: bool = True, ends: bool = True):
        self.engine, self.tokenizer = engine, engine.tokenizer
        self.takes_ids, self.returns_ids, self.ends = takes_ids, returns_ids, ends
        self.failures, self.bodies, self.headers = [], [], []
        self.heedless, self.tells = False, True
        self.refused, self.most, self.now, self.delay = None, 0, 0, 0.0
        self.source: str | None = None
        self.lock = threading.Lock()

    def complete(self, body: dict) -> tuple[int, dict]:
        """Return status and body of an answer."""
        known = {"model", "prompt", "max_tokens", "temperature", "top_p", "seed", "top_k"}
        known |= FULL if self.takes_ids else set()
        if body.keys() - known:
            return 422, {"detail": f"Unexpected fields in the request: {body.keys() - known}"}
        if "prompt_embeds" in body:
            ids, embeds = [], torch.load(io.BytesIO(base64.b64decode(body["prompt_embeds"])), weights_only=True)
        else:
            prompt = body["prompt"]
            if isinstance(prompt, str) == self.takes_ids:
                return 400, {"detail": "prompt must be a string."}
            ids = self.tokenizer(prompt)["input_ids"] if isinstance(prompt, str) else prompt
            embeds = self.engine.model.get_input_embeddings()(torch.tensor(ids))
        if self.refused and self.refused in self.tokenizer.decode(ids):
            return 400, {"error": {"message": "the prompt is too long", "type": "BadRequestError"}}
        written, logprobs, reason, at = self.write(embeds, body)
        choice = {"index": 0, "finish_reason": reason, "stop_reason": at}
        shown = body.get("skip_special_tokens", True)
        choice["text"] = self.tokenizer.decode(written, skip_special_tokens=shown)
        kept = written if self.ends or written[-1] != self.engine.run.ids.eos else written[:-1]
        if body.get("return_token_ids") and self.returns_ids:
            choice |= {"token_ids": kept, "prompt_token_ids": ids}
        if "logprobs" in body:
            choice["logprobs"] = {"token_logprobs": logprobs[: len(kept)]}
        if "prompt_logprobs" in body and self.tells:
            choice["prompt_logprobs"] = [None, *self.likely(embeds, ids)]
        told = {"usage": {"completion_tokens": len(written)}}
        told |= {"system_fingerprint": f"vllm-{VERSION}-tp1-0123abcd"} if self.takes_ids else {}
        return 200, {"object": "text_completion", "choices": [choice], **told}

    @torch.no_grad()
    def likely(self, embeds: torch.Tensor, ids: list[int]) -> list[dict]:
        """Return what it tells of each token of a prompt but the first."""
        logprobs = self.engine.model(inputs_embeds=embeds[None]).logits[0].log_softmax(-1)
        return [{str(token): {"logprob": float(logprobs[place, token])}} for place, token in enumerate(ids[1:])]

    @torch.no_grad()
    def write(self, embeds: torch.Tensor, body: dict) -> tuple[list[int], list[float], str, int | None]:
        """Decode as a plain engine does; returns ids, their log-probabilities, why it stopped, and at which token."""
        model, eos, stops = self.engine.model.eval(), self.engine.run.ids.eos, body.get("stop_token_ids", [])
        bias = torch.zeros(model.config.vocab_size)
        if "allowed_token_ids" in body:
            bias -= torch.inf
            bias[body["allowed_token_ids"]] = 0
        for token, value in body.get("logit_bias", {}).items():
            bias[int(token)] += value
        draw = torch.Generator().manual_seed(body.get("seed", 0))
        written, logprobs = [], []
        while len(written) < body["max_tokens"]:
            scores = model(inputs_embeds=embeds[None]).logits[0, -1]
            masked = scores + (0 if self.heedless else bias)
            if len(written) < body.get("min_tokens", 0):
                masked[[*stops, eos]] = -torch.inf
            if body["temperature"]:
                masked = masked / body["temperature"]
                if body.get("top_k", -1) > 0:  # else all of them
                    masked[masked < masked.topk(body["top_k"]).values[-1]] = -torch.inf
                token = int(masked.softmax(-1).multinomial(1, generator=draw))
            else:
                token = int(masked.argmax())
            written.append(token)
            logprobs.append(float(scores.log_softmax(-1)[token]))
            if token in (eos, *stops):
                return written, logprobs, "stop", None if token == eos else token
            embeds = torch.cat([embeds, model.get_input_embeddings()(torch.tensor([token]))])
        return written, logprobs, "length", None


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
            self.send(200, {"data": [{"id": "served", "object": "model", "root": stub.source}]})

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
