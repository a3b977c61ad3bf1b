"""Answers from a server of completions, as vLLM, transformers serve and others speak the protocol.

Servers differ in what they take and give. vLLM takes the ids of a prompt and returns the ids of the answer: nothing is
lost, latents are read as if the model had run here. Others take text alone, or return text without special tokens:
then an answer is its text and its number of tokens. The first request finds out which it is.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from mixlm.data.tokenization import starting_ids
from mixlm.errors import InputError
from mixlm.generation.answers import Answer, read_answer
from mixlm.generation.explain import Reader
from mixlm.generation.generate import end_ids
from mixlm.generation.options import GenerationOptions
from mixlm.generation.progress import ReportProgress, RunningTotal
from mixlm.generation.questions import Answered, Question, with_questions
from mixlm.run import Run


PATIENCE = 600  # seconds for one answer
PASSING = (408, 409, 429, 500, 502, 503, 504)  # statuses after which the same request may succeed
REFUSED = (400, 404, 422)  # statuses of a server that does not know what it is asked for


@dataclass(frozen=True)
class TotalCount:
    """The number of tokens of an answer whose ids are not known.

    Attributes:
        total: All tokens after the prompt, as the server counts them.
    """

    total: int

    def kinds(self) -> dict[str, int]:
        """Return nothing: the kinds of the tokens are not known."""
        return {}

    def to_dict(self) -> dict[str, int | None]:
        """Return the same names as ``TokenCounts.to_dict``, with None for what is not known."""
        unknown = ("text", "latent", "delimiter", "pause", "thought", "paper_tokens")
        return {**dict.fromkeys(unknown), "total": self.total}


@dataclass(frozen=True)
class RemoteText:
    """An answer of which the server returned the text alone.

    Attributes:
        text: The text, without special tokens.
        counts: Its tokens.
        finished: Whether the model ended the answer.
        codes: None: not known.
        error: Why there is no answer; None if there is one.
    """

    text: str
    counts: TotalCount
    finished: bool
    codes: None = None
    error: str | None = None


class Endpoint:
    """A server that serves one run.

    Args:
        url: Its address, with or without ``/v1``.
        run: The run.
        tokenizer: The run's tokenizer.
        options: How answers are decoded.
        name: What the server calls the model; None: the only one that it serves, or else the run's folder.
        concurrency: Requests under way at once.
        retries: How often a request is repeated, after 0.5, 1, 2 .. seconds or as long as the server says.

    Raises:
        InputError: If the run needs generation of its own, or the server is not there.
    """

    def __init__(
        self,
        url: str,
        run: Run,
        tokenizer: Any,
        options: GenerationOptions,
        name: str | None = None,
        concurrency: int = 16,
        retries: int = 5,
    ) -> None:
        check_options(run, options)
        if not url.startswith(("http://", "https://")):
            raise InputError(f"--endpoint {url}: is no address of a server; begin with http:// or https://")
        self.url = f"{url.rstrip('/').removesuffix('/v1')}/v1"
        self.run, self.tokenizer, self.options, self.concurrency = run, tokenizer, options, concurrency
        self.ends = end_ids(run.generation_config(), run)
        waiting = Retry(retries, backoff_factor=0.5, status_forcelist=PASSING, allowed_methods=None)
        waiting.raise_on_status = False
        self.session = requests.Session()
        for kind in ("http://", "https://"):
            self.session.mount(kind, HTTPAdapter(pool_maxsize=concurrency, max_retries=waiting))
        if key := os.environ.get("OPENAI_API_KEY"):
            self.session.headers["Authorization"] = f"Bearer {key}"
        self.name = name or self._served_name()
        self.takes_ids = self.returns_ids = True

    def _served_name(self) -> str:
        try:
            found = requests.get(f"{self.url}/models", headers=self.session.headers, timeout=PATIENCE)
        except requests.RequestException as error:
            why = _reason(error)
            raise InputError(f"{self.url}: no server answers ({why}); start one, or check --endpoint") from None
        try:
            names = [model["id"] for model in found.json()["data"]]
        except (ValueError, KeyError, TypeError):
            names = []
        return names[0] if len(names) == 1 else str(self.run.path)

    def answer(
        self, questions: Sequence[Question], progress: Callable[[int], None] | None = None
    ) -> list[Answer | RemoteText]:
        """Return ``options.samples`` answers to each question, in order.

        A question that the server refuses has an answer that says why; the others are answered all the same.

        Raises:
            InputError: If the server refuses the first question in every form.
        """
        jobs = [(question, sample) for question in questions for sample in range(self.options.samples)]
        answers = [self._find_out(*jobs[0])]
        if progress:
            progress(1)
        with ThreadPoolExecutor(self.concurrency) as pool:
            for answer in pool.map(lambda job: self._ask(*job), jobs[1:]):
                answers.append(answer)
                if progress:
                    progress(1)
        return answers

    def _find_out(self, question: Question, sample: int) -> Answer | RemoteText:
        """Answer the first question, in the richest form that the server understands."""
        reply = self._post(question, sample)
        if reply.status_code in REFUSED:
            self.takes_ids = self.returns_ids = False
            reply = self._post(question, sample)
        if not reply.ok:
            raise InputError(f"{self.url}: refuses {question.name}: {_message(reply)}")
        if self.returns_ids and "token_ids" not in _choice(reply, self.url):
            self.returns_ids = False  # and now without special tokens in the text
            reply = self._post(question, sample)
        return self._read(reply)

    def _ask(self, question: Question, sample: int) -> Answer | RemoteText:
        try:
            reply = self._post(question, sample)
            return self._read(reply) if reply.ok else _unanswered(_message(reply))
        except InputError as error:
            return _unanswered(str(error))
        except requests.RequestException as error:
            return _unanswered(_reason(error))

    def _post(self, question: Question, sample: int) -> requests.Response:
        """Send one request; passing failures are repeated."""
        ids = self.run.method.prompt(question.prompt_ids, self.run.progress)
        options = self.options
        temperature = options.temperature if options.temperature is not None else float(options.sampling)
        body = {"model": self.name, "max_tokens": options.max_new_tokens, "temperature": temperature}
        body["prompt"] = ids if self.takes_ids else self._as_text(ids, question)
        if options.sampling:
            body |= {"top_p": options.top_p, "seed": options.seed + sample}
            body |= {"top_k": options.top_k} if options.top_k else {}
        if self.returns_ids:
            body |= {"return_token_ids": True, "skip_special_tokens": False}
        return self.session.post(f"{self.url}/completions", json=body, timeout=PATIENCE)

    def _as_text(self, ids: list[int], question: Question) -> str:
        """Return a prompt as text of which a server makes the same ids.

        Raises:
            InputError: If there is none.
        """
        start = starting_ids(self.tokenizer)
        bare = ids[len(start) :] if start and ids[: len(start)] == start else ids
        text = self.tokenizer.decode(bare, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        if self.tokenizer(text)["input_ids"] != ids:
            raise InputError(
                f"{question.name}: the server takes text alone, and would read other ids out of it; serve the run "
                "with an engine that takes ids, such as vLLM"
            )
        return text

    def _read(self, reply: requests.Response) -> Answer | RemoteText:
        choice = _choice(reply, self.url)
        stopped = choice.get("finish_reason") == "stop"
        if not self.returns_ids:
            used = (reply.json().get("usage") or {}).get("completion_tokens", 0)
            return RemoteText(choice["text"], TotalCount(used), stopped)
        ids = self._ids(choice["token_ids"])
        if stopped and not (ids and ids[-1] in self.ends):
            ids.append(self.run.ids.eos)  # some leave out the token at which they stopped
        return read_answer(ids, self.tokenizer, self.run, self.ends)

    def _ids(self, given: Any) -> list[int]:
        """Return token ids that a server sent.

        Raises:
            InputError: If they are none of this run's.
        """
        rows = len(self.tokenizer)
        if not isinstance(given, list) or not all(type(token) is int and 0 <= token < rows for token in given):
            raise InputError(f"{self.url}: sends token ids that the run does not have; let it serve this run")
        return given


def answer_remotely(
    questions: Sequence[Question],
    endpoint: Endpoint,
    reader: Reader | None = None,
    progress: ReportProgress | None = None,
) -> list[Answered]:
    """Let a server answer ``questions``.

    Args:
        questions: What to ask.
        endpoint: The server.
        reader: Reads the latents back, where they are known; None: nobody asked.
        progress: Called with (done, total) after every answer.

    Returns:
        The answers in the order of the questions.

    Raises:
        InputError: As ``Endpoint.answer``.
    """
    samples = endpoint.options.samples
    answers = endpoint.answer(questions, RunningTotal(progress, len(questions) * samples))
    return with_questions(questions, answers, samples, reader)


def check_options(run: Run, options: GenerationOptions) -> None:
    """Find out whether a server can decode as asked.

    Raises:
        InputError: If it cannot.
    """
    if run.method.uses_thoughts:
        raise InputError(
            f"{run.path}: method '{run.method_name}' feeds hidden states back, which no server does; "
            "leave out --endpoint"
        )
    if str(options.latents) != "free":
        raise InputError(f"--latents {options.latents}: a server decodes freely; leave out this or --endpoint")
    if options.thoughts is not None:
        raise InputError(f"--thoughts {options.thoughts}: a server has none; leave it out")


def _choice(reply: requests.Response, url: str) -> dict[str, Any]:
    try:
        choice = reply.json()["choices"][0]
    except (ValueError, KeyError, IndexError, TypeError):
        choice = None
    if not isinstance(choice, dict) or "text" not in choice:
        raise InputError(f"{url}: its answer is none of a completions server; check --endpoint")
    return choice


def _message(reply: requests.Response) -> str:
    """Return what a server says about its refusal, in one line."""
    try:
        body = reply.json()
        error = body.get("error", body)
        said = error.get("message") or error.get("detail") or error if isinstance(error, dict) else error
    except (ValueError, AttributeError):
        said = reply.text
    return f"status {reply.status_code}, {' '.join(str(said).split())[:200]}"


def _reason(error: Exception) -> str:
    """Return the innermost reason of a failed request, in one line."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return " ".join(str(error).split())[:200]


def _unanswered(why: str) -> RemoteText:
    return RemoteText("", TotalCount(0), False, error=why)
