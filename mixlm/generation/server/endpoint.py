"""Answers from a server of completions, as vLLM, transformers serve and others speak the protocol.

Servers differ in what they take and give. vLLM takes the ids of a prompt and returns the ids of the answer: nothing is
lost, latents are held to what is asked for and read as if the model had run here, and thoughts that were computed here
are taken as vectors. Others take text alone, or return text without special tokens: then an answer is its text and its
number of tokens. The first request that is answered finds out which it is.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from operator import itemgetter
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from mixlm.errors import InputError
from mixlm.generation.answerer import Answerer, Pending, Request, Wanted, every
from mixlm.generation.answers import Answer, TokenCounts, read_answer
from mixlm.generation.engine import Engine, end_ids
from mixlm.generation.grammar import span_limits
from mixlm.generation.options import GenerationOptions
from mixlm.generation.server.completions import Completions, Form, NoIds, Refused, Written
from mixlm.generation.server.holding import HeldAnswer, Rules
from mixlm.generation.server.model_server import CLOSED, REFUSED, ModelServer, NoServer
from mixlm.generation.server.scoring import log_probabilities
from mixlm.generation.server.seeds import seed_of
from mixlm.generation.server.start import Start, UnreadableText
from mixlm.generation.server.threads import as_they_come
from mixlm.generation.server.transport.connection import PASSING, NoAnswer
from mixlm.generation.server.understanding import require_same_tokens, require_same_vectors, require_same_weights
from mixlm.model.abilities import context_length
from mixlm.model.loading import open_pretrained
from vqvae.advance import Advance
from vqvae.errors import require_between


_TEXT = Form(takes_ids=False, returns_ids=False)


class Endpoint(Answerer):
    """A server that serves one run.

    Args:
        url: Its address, with or without ``/v1``.
        engine: The run that it serves; its model is loaded where thoughts are to be computed.
        name: What the server calls the model; None: the only one that it serves, or else the run's folder.
        concurrency: Requests under way at once.
        retries: How often a request is repeated, after 0.5, 1, 2 .. seconds or as long as the server says.
        say: Told in a line if the server does not answer and is tried again.

    Raises:
        InputError: If the address is none.
    """

    def __init__(
        self,
        url: str,
        engine: Engine,
        name: str | None = None,
        concurrency: int = 64,
        retries: int = 5,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        require_between("concurrency", concurrency, 1)
        self.engine, self.run, self.tokenizer, self.concurrency = engine, engine.run, engine.tokenizer, concurrency
        self.server = ModelServer(url, concurrency, retries, say)
        self.model = Completions(self.server, name, str(self.run.path))
        self.url, self.given_name, self.form = self.server.url, name, Form()
        self.understood = False  # whether it was seen that it takes and returns ids, and means the run's tokens

    @cached_property
    def _config(self) -> PreTrainedConfig:
        return open_pretrained(AutoConfig, str(self.run.path))

    @cached_property
    def context(self) -> int | None:
        """Tokens that the model sees at once; None if its architecture sets no limit."""
        return context_length(self._config)

    @cached_property
    def rules(self) -> Rules:
        """What answers may hold."""
        tokens, rows = self.vocabulary_size, self._config.get_text_config().vocab_size
        ends = [end for end in end_ids(self.run.generation_config(), self.run.ids) if end < tokens]
        return Rules(self.run.ids, ends, tokens, max(rows, tokens))

    def plan(self, requests: Sequence[Request], options: GenerationOptions, first: int = 0) -> list[Pending]:
        """Find out whether a server can decode as asked, and list the answers.

        Raises:
            InputError: If it cannot.
        """
        for request in requests:
            if request.change is not None:
                raise InputError(f"{request.name}: a server cannot change what the model reads; leave out --endpoint")
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
        """Yield the answers: one by one until one that is no refusal tells what the server is, then as they come.

        Raises:
            InputError: If the server refuses whoever asks, is gone, does not answer as one of completions, or cannot
                do what the options ask for.
        """
        starts = self._starts(pending, options, wanted)
        for start in starts if not self.understood else ():
            answer = self._find_out(start, options)
            yield [(start.pending, answer)]
            if not answer.error:
                break
        for start, answer in as_they_come(partial(self._ask, options=options), starts, self.concurrency):
            yield [(start.pending, answer)]

    def scored(self, sequences: Sequence[Sequence[int]]) -> list[list[float] | None]:
        """Let the server tell how likely tokens are; of each sequence as ``log_probabilities``.

        Raises:
            NoServer: If it answers nobody.
            InputError: If it serves a run with other weights.
        """
        if self.form != Form():
            return [None] * len(sequences)
        if not self.understood:  # all answers were there
            require_same_weights(self.model, self.run)
        ask = partial(log_probabilities, self.model)
        found = as_they_come(lambda place: ask(sequences[place]), range(len(sequences)), self.concurrency)
        return [logprobs for _, logprobs in sorted(found, key=itemgetter(0))]

    def _starts(self, pending: Sequence[Pending], options: GenerationOptions, wanted: Wanted) -> Iterator[Start]:
        """Yield what answers go on from; thoughts are computed here, a batch at a time, while the server decodes."""
        if not self.run.method.uses_thoughts:
            yield from (Start(one, one.given) for one in pending if wanted([one]))
            return
        for batch in self.engine.batches(pending, options):
            asked = [one for one in batch if wanted([one])]  # right before: an end may have been asked for meanwhile
            for one, (ids, embeds) in zip(asked, self.engine.embedded(asked) if asked else (), strict=True):
                yield Start(one, ids, embeds)

    def _find_out(self, start: Start, options: GenerationOptions) -> Answer:
        """Answer a request in the richest form that the server understands, which is then the form of all others."""
        name, self.form = start.pending.request.name, Form()
        require_same_weights(self.model, self.run)
        try:
            return self._first(start, options)
        except (UnreadableText, Refused) as error:
            self.form = Form()
            if isinstance(error, Refused) and (error.status in CLOSED or error.status in PASSING):
                raise InputError(self.model.missing() or f"{self.url}: refuses {name}: {error.said}") from None
            return _unanswered(str(error))
        except NoAnswer as error:
            raise self.server.gone(error) from None

    def _first(self, start: Start, options: GenerationOptions) -> Answer:
        """Answer a request in the richest form; ``self.form`` is then what was understood."""
        try:
            return self._answer(start, options)
        except NoIds:
            self.form = Form(returns_ids=False)
        except Refused as refused:
            if refused.status not in REFUSED or self.model.missing():
                raise
            self.form = _TEXT
            try:
                return self._answer(start, options)
            except Refused as error:  # the richest request says best what is wrong, but for who may ask
                raise error if error.status in CLOSED else refused from None
            except UnreadableText:
                raise
            except InputError as error:
                raise InputError(f"{error} (asked with ids it said: {refused.said})") from None
        return self._answer(start, options)

    def _ask(self, start: Start, options: GenerationOptions) -> Answer:
        """Answer a request; where no other has one meanwhile, the server is at fault and not the request."""
        try:
            return self._answer(start, options)
        except NoServer:
            raise
        except NoIds:
            return _unanswered(str(self._foreign()))
        except (Refused, NoAnswer, InputError) as error:
            return _unanswered(str(error))

    def _answer(self, start: Start, options: GenerationOptions) -> Answer:
        """Let the server write an answer, in the form that is known."""
        if self.form != Form():
            return self._unheld(start, options)
        one = start.pending
        if start.embeds is not None and not self.understood:
            require_same_vectors(self.model, self.engine, one.request.prompt_ids)
        limits = span_limits([one.mode], self.run.method.spans)
        kind_first = self.decoding(options) == "kind" and limits.spans != "none" and bool(limits.most > 0)
        bound = one.mode.kind in ("text", "exact") or start.embeds is not None
        held, turn = HeldAnswer(self.rules, limits, one.budget, kind_first, bound), 0
        while not held.done:
            fields = self._sampling(one, options, turn) | start.field(held.ids, self.engine) | held.fields()
            written = self.model.complete(fields, self.form)
            ids = self._ids(written)
            if not self.understood:
                require_same_tokens(self.model, self.tokenizer, written)
                self.understood = True
            held.take(ids, written.logprobs)
            turn += 1
        whole = [*start.ids[len(one.request.prompt_ids) :], *held.ids]
        answer = read_answer(whole, self.tokenizer, self.run.ids, self.rules.ends)
        return replace(answer, text=self.server.hidden(answer.text))

    def _unheld(self, start: Start, options: GenerationOptions) -> Answer:
        """Let a server that knows no ids write an answer, freely and plainly."""
        one, writes = start.pending, self.run.method.writes_latents()
        if start.embeds is not None or (writes and (one.mode.kind != "free" and one.request.opening is None)):
            what = "needs thoughts" if start.embeds is not None else f"is to have --latents {one.mode}"
            raise InputError(
                f"{self.url}: takes or returns text alone, and {one.request.name} {what}; serve the run with an "
                "engine that takes and returns ids, such as vLLM"
            )
        if writes and one.request.opening is None and self.decoding(options) == "kind":
            raise InputError(
                f"{self.url}: takes or returns text alone, so it decodes plainly; give --decoding plain, or serve the "
                "run with an engine that takes and returns ids, such as vLLM"
            )
        prompt = start.ids if self.form.takes_ids else start.as_text(self.tokenizer)
        fields = self._sampling(one, options, 0) | {"prompt": prompt, "max_tokens": one.budget}
        written, added = self.model.complete(fields, self.form), start.ids[len(one.request.prompt_ids) :]
        counts = TokenCounts(unsorted=len(added) + written.tokens)
        return Answer(self.server.hidden(written.text), counts, written.stopped)

    def _sampling(self, one: Pending, options: GenerationOptions, turn: int) -> dict[str, Any]:
        """Return the fields that say how tokens are drawn, in one of the requests for an answer."""
        temperature = options.temperature if options.temperature is not None else float(options.sampling)
        if not options.sampling:
            return {"temperature": temperature, "top_p": 1.0}
        seed = seed_of(options.seed, one.place, turn)
        top_k = {"top_k": options.top_k} if options.top_k else {}
        return {"temperature": temperature, "top_p": options.top_p, "seed": seed, **top_k}

    def _ids(self, written: Written) -> list[int]:
        """Return the ids that a server wrote, with that at which it stopped, or refuse those that no model has."""
        ids = written.ids
        if not all(type(token) is int and 0 <= token < self.rules.rows for token in ids):
            raise self._foreign()
        left_out = written.stopped and not (ids and ids[-1] in self.rules.ends)  # as some servers do with the end
        return [*ids, self.run.ids.eos] if left_out else ids

    def _foreign(self) -> InputError:
        return InputError(f"{self.url}: sends token ids that the run does not have; let it serve this run")


def _unanswered(why: str) -> Answer:
    return Answer("", TokenCounts(unsorted=0), finished=False, error=why)
