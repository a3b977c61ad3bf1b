"""What passes between here and a server of completions: fields of a request, and what is read out of its reply."""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch

from mixlm.data.values import is_text
from mixlm.errors import InputError
from mixlm.generation.server.model_server import ModelServer
from mixlm.generation.server.transport.connection import Reply


# settings of a checkpoint's own that vLLM else puts where a request has none; decoding here hides them as well
_NEUTRAL = {"repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "min_p": 0.0, "top_k": -1}
_MOST_TOKENS = 2**31
_VLLM = re.compile(r"vllm-([0-9][0-9A-Za-z.+]{0,40})")  # what a server of it begins to say of itself


class Form(NamedTuple):
    """What a server takes and returns: ids, or text."""

    takes_ids: bool = True
    returns_ids: bool = True


class Written(NamedTuple):
    """What a server wrote.

    Attributes:
        text: As text.
        tokens: Number of tokens; None where the server does not tell.
        stopped: Whether the model stopped by itself.
        ids: Token ids; None where none were asked for.
        logprobs: Of each of them the logarithm of its probability; None where none were asked for.
        prompt_logprobs: The same of each token of the prompt but the first; None also where they are not told.
    """

    text: str
    tokens: int | None
    stopped: bool
    ids: list[int] | None
    logprobs: list[float] | None
    prompt_logprobs: list[float] | None = None


class Refused(Exception):
    """A request that a server refuses.

    Attributes:
        status: The reply's.
        said: What the server says about it, in one line, with the status.
    """

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status, self.said = status, said


class NoIds(Exception):
    """A reply without the ids that were asked for, or without some of them."""


class Completions:
    """One model of a server.

    Args:
        server: The server.
        name: What it calls the model; None: the only one that it serves, or else ``otherwise``.
        otherwise: What the model is called where the server does not tell.

    Attributes:
        software: What answers, with its version where the server has told it.
    """

    def __init__(self, server: ModelServer, name: str | None, otherwise: str) -> None:
        self.server, self.given_name, self.otherwise, self.software = server, name, otherwise, "a server"

    @cached_property
    def name(self) -> str:
        """What the server calls the model."""
        names = [] if self.given_name else [*self.server.models]
        return self.given_name or (names[0] if len(names) == 1 else self.otherwise)

    @property
    def source(self) -> str:
        """Where the server says that it has the model from; "" if it does not, or the model was named."""
        return "" if self.given_name else self.server.models.get(self.name, "")

    def missing(self) -> str:
        """Say that the server has no such model, if it lists others; else ""."""
        listed = [*self.server.models]
        others = f"{self.server.url}: has no model '{self.name}', only {', '.join(listed)[:200]}"
        return f"{others}; name it by --served-model" if listed and self.name not in listed else ""

    def complete(self, fields: Mapping[str, Any], form: Form) -> Written:
        """Let the server continue a prompt.

        Args:
            fields: The request, without the model's name and what the form adds.
            form: What the server takes and returns.

        Raises:
            Refused: If it refuses.
            NoIds: If it returns none though the form has them.
            NoServer, NoAnswer: As ``ModelServer.post``.
            InputError: If it does not answer as a server of completions.
        """
        body = {"model": self.name, **fields}
        if form.returns_ids:
            body = {"return_token_ids": True, "skip_special_tokens": False, **_NEUTRAL, **body}
        reply = self.server.post("/completions", body)
        if not reply.ok:
            raise Refused(reply.status, self.server.message(reply))
        choice = _choice(reply, self.server.url)
        if known := isinstance(choice["system"], str) and _VLLM.match(choice["system"]):
            self.software = f"vllm {known[1]}"
        written = self._read(choice, form, "logprobs" in fields)
        told = "prompt_logprobs" in fields
        return written._replace(prompt_logprobs=_of_prompt(choice, fields["prompt"])) if told else written

    def _read(self, choice: Mapping[str, Any], form: Form, scored: bool) -> Written:
        stopped, tokens = choice.get("finish_reason") == "stop", choice["completion_tokens"]
        if not form.returns_ids:
            if type(tokens) is not int or not 0 <= tokens < _MOST_TOKENS:
                raise InputError(
                    f"{self.server.url}: does not say how many tokens an answer has; choose another server"
                )
            return Written(choice["text"], tokens, stopped, None, None)
        ids = choice.get("token_ids")
        if not isinstance(ids, list):
            raise NoIds
        logprobs, at = self._logprobs(choice, len(ids)) if scored else None, choice.get("stop_reason")
        if stopped and type(at) is int:  # the token of the request's at which it stopped
            stopped = False
            if ids[-1:] != [at]:
                raise NoIds
        return Written(choice["text"], tokens, stopped, ids, logprobs)

    def _logprobs(self, choice: Mapping[str, Any], number: int) -> list[float]:
        given = choice.get("logprobs")
        found = given.get("token_logprobs") if isinstance(given, dict) else None
        known = isinstance(found, list) and len(found) == number
        if not known or not all(isinstance(one, float | int) for one in found):
            raise InputError(
                f"{self.server.url}: does not tell how likely its tokens are, by which spans are opened and closed; "
                "give --decoding plain"
            )
        return found


def _of_prompt(choice: Mapping[str, Any], ids: Sequence[int]) -> list[float] | None:
    """Return what a server tells of the tokens of a prompt, each among the likeliest of its place; None if nothing."""
    try:
        places = zip(ids[1:], choice["prompt_logprobs"][1:], strict=True)  # before the first there is nothing
        found = [place[str(token)]["logprob"] for token, place in places]
    except (KeyError, TypeError, ValueError):
        return None
    return found if all(type(one) in (int, float) and one <= 0 for one in found) else None


def as_field(embeds: torch.Tensor) -> str:
    """Return vectors (length, width) as a request carries them: a saved tensor, in letters."""
    content = io.BytesIO()
    torch.save(embeds.detach().cpu().contiguous().clone(), content)
    return base64.b64encode(content.getvalue()).decode()


def _choice(reply: Reply, url: str) -> dict[str, Any]:
    """Return what a server wrote, a text at least, with the number of tokens where it tells one."""
    try:
        body = reply.json()
        choice, usage = body["choices"][0], body.get("usage")
        used = usage.get("completion_tokens") if isinstance(usage, dict) else None
        choice = {**choice, "completion_tokens": used, "system": body.get("system_fingerprint")}
    except (KeyError, IndexError, TypeError, AttributeError):
        choice = {}
    if not isinstance(choice.get("text"), str) or not is_text(choice["text"]):
        raise InputError(f"{url}: its answer is none of a completions server; check --endpoint")
    return choice
