"""A served model that answers questions, whatever model it is."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from mixlm.data.layouts.chats import THOUGHTS
from mixlm.data.values import ailment
from mixlm.errors import InputError
from mixlm.generation.server.model_server import CLOSED, ModelServer, NoServer
from mixlm.generation.server.threads import as_they_come
from mixlm.generation.server.transport.connection import PASSING, NoAnswer, Reply
from mixlm.sampling.asking import Asking
from mixlm.sampling.problems import Problem


_READ = ("content", *THOUGHTS, "tool_calls")  # of a turn
_PATIENT = 100  # questions one after the other that a server may refuse before it has answered one
_FAILING = 3  # questions that it may fail at meanwhile, however often they are repeated
_RENAMED = "max_completion_tokens"  # what some call the length limit of a chat, and then take no other name


class Wanted(NamedTuple):
    """An answer to ask for.

    Attributes:
        place: Its number among all answers.
        problem: The question.
        number: Its number among those to the question.
    """

    place: int
    problem: Problem
    number: int


@dataclass(frozen=True)
class Said:
    """What a server said.

    Attributes:
        turn: The assistant's turn, with whatever fields it has.
        ending: Why it ends there, in the server's words.
        error: Why there is none; None if there is one.
    """

    turn: Mapping[str, Any] = field(default_factory=dict)
    ending: str | None = None
    error: str | None = None


class AnsweringModel:
    """A model on a server.

    Args:
        server: The server.
        asking: How it is asked.
        given_name: What the server calls the model; None: the only one that it serves.
        concurrency: Requests under way at once.
    """

    def __init__(self, server: ModelServer, asking: Asking, given_name: str | None, concurrency: int) -> None:
        self.server, self.asking, self.given_name, self.concurrency = server, asking, given_name, concurrency
        self.limit, self.failures = "max_tokens", 0

    @cached_property
    def name(self) -> str:
        """What the server calls the model.

        Raises:
            InputError: If it serves several and none was named, or is not there.
        """
        names = [] if self.given_name else [*self.server.models]
        if not self.given_name and len(names) != 1:
            several = f"serves {len(names)} models ({', '.join(names)[:200]}); name one by --model"
            said = f" ({self.server.unlisted})" if self.server.unlisted else ""
            none = f"does not say what it serves{said}; name a model by --model"
            raise InputError(f"{self.server.url}: {several if names else none}")
        return self.given_name or names[0]

    def answers(self, wanted: Iterable[Wanted]) -> Iterator[tuple[Wanted, Said]]:
        """Yield what is said: one by one until the first that is no refusal, and then as it comes.

        Until then a question that is refused is not asked again.

        Raises:
            InputError: If the server is gone, refuses whoever asks or one question after the other, or does not
                answer as one of chats or completions.
        """
        waiting, refused = iter(wanted), {}
        for one in waiting:
            row = one.problem.row
            said = Said(error=refused[row]) if row in refused else self._find_out(one)
            yield one, said
            if not said.error:
                break
            refused[row] = said.error
            if len(refused) == _PATIENT:
                raise InputError(f"{self.server.url}: refuses the first {_PATIENT} questions: {said.error}")
        yield from as_they_come(self._ask, waiting, self.concurrency)

    def _find_out(self, one: Wanted) -> Said:
        """Ask for the first answer, which tells what the server understands."""
        try:
            reply = self._post(one)
            if reply.status == 400 and _RENAMED in self.server.message(reply):
                self.limit = _RENAMED
                reply = self._post(one)
        except NoAnswer as error:
            raise self.server.gone(error) from None
        self.failures += reply.status in PASSING
        if reply.status in CLOSED or self.failures == _FAILING:
            raise InputError(f"{self.server.url}: refuses {one.problem.name}: {self._refusal(reply)}")
        return self._read(reply)

    def _ask(self, one: Wanted) -> Said:
        """Ask for an answer; where the server answers others, it is missing."""
        try:
            return self._read(self._post(one))
        except NoServer:
            raise
        except (NoAnswer, InputError) as error:
            return Said(error=str(error))

    def _post(self, one: Wanted) -> Reply:
        body = {"model": self.name, **self.asking.body(one.problem, one.number)}
        return self.server.post(self.asking.path, {**body, self.limit: self.asking.options.max_new_tokens})

    def _read(self, reply: Reply) -> Said:
        return self._said(reply) if reply.ok else Said(error=self._refusal(reply))

    def _refusal(self, reply: Reply) -> str:
        """Return what the server says about a refusal, and the remedy where we know one."""
        message = self.server.message(reply)
        if not self.asking.completions and "chat" in message and "template" in message:
            return f"{message}; ask a model without a chat template with --completions"
        return f"{message}; give a smaller --max-new-tokens" if self.limit in message else message

    def _said(self, reply: Reply) -> Said:
        """Return what an answer says, without the key that the server was sent."""
        kind = "completions" if self.asking.completions else "chats"
        try:
            choice = reply.json()["choices"][0]
            turn = {"content": choice["text"]} if self.asking.completions else choice["message"]
            said = {name: turn[name] for name in _READ if name in turn}
            ending = choice.get("finish_reason")
        except (KeyError, IndexError, TypeError, AttributeError):
            raise InputError(
                f"{self.server.url}: its answer is none of a server of {kind}; check --endpoint"
            ) from None
        said = {} if ailment(said) else said  # and so there is none to read
        shown = {name: self.server.hidden(text) if isinstance(text, str) else text for name, text in said.items()}
        return Said(shown, ending if isinstance(ending, str) else None)
