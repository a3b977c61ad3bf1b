"""Answers from a server of completions, as vLLM, transformers serve and others speak the protocol.

Servers differ in what they take and give. vLLM takes the ids of a prompt and returns the ids of the answer: nothing is
lost, latents are read as if the model had run here. Others take text alone, or return text without special tokens:
then an answer is its text and its number of tokens. The first request that is
answered finds out which it is.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, NamedTuple

from transformers import AutoConfig

from mixlm.data.tokenization import starting_ids
from mixlm.data.values import is_text
from mixlm.errors import InputError
from mixlm.generation.answers import Answer, TokenCounts, read_answer
from mixlm.generation.engine import Engine, end_ids
from mixlm.generation.options import GenerationOptions
from mixlm.generation.plan import Answerer, Pending, Request, Wanted, every
from mixlm.generation.server.connection import PASSING, NoAnswer, Reply
from mixlm.generation.server.model_server import CLOSED, REFUSED, ModelServer, NoServer
from mixlm.generation.server.threads import as_they_come
from mixlm.model.abilities import context_length
from mixlm.model.loading import open_pretrained
from vqvae.advance import Advance
from vqvae.errors import require_between


_MOST_TOKENS = 2**31


class Form(NamedTuple):
    """What passes between here and a server: ids, or text."""

    takes_ids: bool = True
    returns_ids: bool = True


class UnreadableText(InputError):
    """A prompt of which a server that takes text alone would read other ids."""


class Endpoint(Answerer):
    """A server that serves one run.

    Args:
        url: Its address, with or without ``/v1``.
        engine: The run that it serves; its model is not loaded.
        name: What the server calls the model; None: the only one that it serves, or else the run's folder.
        concurrency: Requests under way at once.
        retries: How often a request is repeated, after 0.5, 1, 2 .. seconds or as long as the server says.
        say: Told in a line if the server does not answer and is tried again.

    Raises:
        InputError: If the run needs generation of its own, or the server is not there.
    """

    own_decoding = "plain"

    def __init__(
        self,
        url: str,
        engine: Engine,
        name: str | None = None,
        concurrency: int = 16,
        retries: int = 5,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.run, self.tokenizer, self.concurrency = engine.run, engine.tokenizer, concurrency
        if self.run.method.uses_thoughts:
            raise InputError(
                f"{self.run.path}: method '{self.run.method_name}' feeds hidden states back, which no server does; "
                "leave out --endpoint"
            )
        require_between("concurrency", concurrency, 1)
        self.server = ModelServer(url, concurrency, retries, say)
        self.url = self.server.url
        self.context = context_length(open_pretrained(AutoConfig, str(self.run.path)))
        self.ends = end_ids(self.run.generation_config(), self.run.ids)
        self.given_name, self.form = name, Form()

    @cached_property
    def name(self) -> str:
        """What the server calls the model."""
        names = [] if self.given_name else self.server.names
        return self.given_name or (names[0] if len(names) == 1 else str(self.run.path))

    def plan(self, requests: Sequence[Request], options: GenerationOptions, first: int = 0) -> list[Pending]:
        """Find out whether a server can decode as asked, and list the answers.

        Raises:
            InputError: If it cannot.
        """
        for mode in (options.latents, *(one.latents for one in requests if one.latents and one.opening is None)):
            if str(mode) != "free":
                raise InputError(f"--latents {mode}: a server decodes freely; leave out this or --endpoint")
        for request in requests:
            if request.change is not None:
                raise InputError(f"{request.name}: a server cannot change what the model reads; leave out --endpoint")
        if self.decoding(options) != "plain":
            raise InputError("--decoding kind: a server decodes plainly; leave out this or --endpoint")
        if options.thoughts is not None:
            raise InputError(f"--thoughts {options.thoughts}: a server has none; leave it out")
        return super().plan(requests, options, first)

    def decode(
        self, pending: Sequence[Pending], options: GenerationOptions, advance: Advance | None = None
    ) -> list[Answer]:
        """Let the server decode what ``plan`` listed.

        A request that it refuses has an answer that says why; the others are answered all the same.

        Raises:
            InputError: If it refuses all of them or whoever asks, or does not answer as a server of completions.
        """
        answers = super().decode(pending, options, advance)
        if answers and all(answer.error for answer in answers):
            raise InputError(f"{self.url}: refuses {pending[0].request.name}: {answers[0].error}")
        return answers

    def decoded(
        self, pending: Sequence[Pending], options: GenerationOptions, wanted: Wanted = every
    ) -> Iterator[list[tuple[Pending, Answer]]]:
        """Yield the answers, one by one until the first that is none but a refusal, and then as they come.

        Raises:
            InputError: If the server refuses whoever asks, is gone, or does not answer as one of completions.
        """
        waiting = (one for one in pending if wanted([one]))
        for one in waiting:
            answer = self._find_out(one, options)
            yield [(one, answer)]
            if not answer.error:
                break
        for found in as_they_come(partial(self._ask, options=options), waiting, self.concurrency):
            yield [found]

    def _find_out(self, one: Pending, options: GenerationOptions) -> Answer:
        """Answer a request in the richest form that the server understands, which is then the form of all others."""
        form = self.form
        try:
            reply = first = self._post(one, options, form)
            if reply.status in REFUSED and form.takes_ids:
                form = Form(takes_ids=False, returns_ids=False)
                reply = self._post(one, options, form)
            if reply.ok and form.returns_ids and not isinstance(_choice(reply, self.url).get("token_ids"), list):
                form = form._replace(returns_ids=False)  # and now without special tokens in the text
                reply = first = self._post(one, options, form)
        except UnreadableText as error:
            return _unanswered(str(error))
        except NoAnswer as error:
            raise self.server.gone(error) from None
        if reply.status in CLOSED or reply.status in PASSING:
            raise InputError(f"{self.url}: refuses {one.request.name}: {self.server.message(reply)}")
        if not reply.ok:
            return _unanswered(self.server.message(first))
        answer, self.form = self._read(one, reply, form), form
        return answer

    def _ask(self, one: Pending, options: GenerationOptions) -> Answer:
        """Answer a request; where no other has one meanwhile, the server is at fault and not the request."""
        try:
            reply = self._post(one, options, self.form)
            return self._read(one, reply, self.form) if reply.ok else _unanswered(self.server.message(reply))
        except NoServer:
            raise
        except (NoAnswer, InputError) as error:
            return _unanswered(str(error))

    def _post(self, one: Pending, options: GenerationOptions, form: Form) -> Reply:
        """Send one request; passing failures are repeated."""
        temperature = options.temperature if options.temperature is not None else float(options.sampling)
        body = {"model": self.name, "max_tokens": one.budget, "temperature": temperature}
        body["prompt"] = one.given if form.takes_ids else self._as_text(one)
        if options.sampling:
            body |= {"top_p": options.top_p, "seed": options.seed + one.place % options.samples}
            body |= {"top_k": options.top_k} if options.top_k else {}
        if form.returns_ids:
            body |= {"return_token_ids": True, "skip_special_tokens": False}
        return self.server.post("/completions", body)

    def _as_text(self, one: Pending) -> str:
        """Return what the model is given as text of which a server makes the same ids, or refuse it."""
        start, ids = starting_ids(self.tokenizer), one.given
        bare = ids[len(start) :] if start and ids[: len(start)] == start else ids
        text = self.tokenizer.decode(bare, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        if self.tokenizer(text)["input_ids"] != ids:
            raise UnreadableText(
                f"{one.request.name}: the server takes text alone, and would read other ids out of it; serve the run "
                "with an engine that takes ids, such as vLLM"
            )
        return text

    def _read(self, one: Pending, reply: Reply, form: Form) -> Answer:
        choice, added = _choice(reply, self.url), one.given[len(one.request.prompt_ids) :]
        stopped = choice.get("finish_reason") == "stop"
        if not form.returns_ids:
            used = choice["completion_tokens"]
            if type(used) is not int or not 0 <= used < _MOST_TOKENS:
                raise InputError(f"{self.url}: does not say how many tokens an answer has; choose another server")
            return Answer(self.server.hidden(choice["text"]), TokenCounts(unsorted=len(added) + used), stopped)
        ids = self._ids(choice.get("token_ids"))
        if stopped and not (ids and ids[-1] in self.ends):
            ids.append(self.run.ids.eos)  # some leave out the token at which they stopped
        answer = read_answer([*added, *ids], self.tokenizer, self.run.ids, self.ends)
        return replace(answer, text=self.server.hidden(answer.text))

    def _ids(self, given: Any) -> list[int]:
        """Return token ids that a server sent, or refuse those that are none of this run's."""
        rows = len(self.tokenizer)
        if not isinstance(given, list) or not all(type(token) is int and 0 <= token < rows for token in given):
            raise InputError(f"{self.url}: sends token ids that the run does not have; let it serve this run")
        return given


def _choice(reply: Reply, url: str) -> dict[str, Any]:
    """Return what a server wrote, a text at least, with the number of tokens where it tells one."""
    try:
        body = reply.json()
        choice, usage = body["choices"][0], body.get("usage")
        used = usage.get("completion_tokens") if isinstance(usage, dict) else None
        choice = {**choice, "completion_tokens": used}
    except (KeyError, IndexError, TypeError, AttributeError):
        choice = {}
    if not isinstance(choice.get("text"), str) or not is_text(choice["text"]):
        raise InputError(f"{url}: its answer is none of a completions server; check --endpoint")
    return choice


def _unanswered(why: str) -> Answer:
    return Answer("", TokenCounts(unsorted=0), finished=False, error=why)
