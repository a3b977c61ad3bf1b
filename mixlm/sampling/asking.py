r"""How a question is put to a model that was not trained here: as a chat, or as a text to go on with.

It is asked for its reasoning, and for an answer that is marked so that it can be read: in ``\boxed{}`` where answers
are mathematics, after "The answer is:" where they are numbers, and else after "####", of which nothing is taken off.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mixlm.data.chat.prompts import arguments_of, tools_of
from mixlm.data.layouts.chats import TEMPLATE_ARGUMENTS, tells_template
from mixlm.data.samples import CheckName
from mixlm.errors import InputError
from mixlm.generation.options import GenerationOptions
from mixlm.generation.server.seeds import seed_of
from mixlm.sampling.problems import Problem


QUESTION = "{question}"
_MARKS: dict[CheckName, str] = {
    "number": 'End with a line that says "The answer is: " and then nothing but the answer.',
    "math": r"Put the final answer into \boxed{}.",
}
_LAST_LINE = 'End with a line that has "#### " and then nothing but the answer.'
_CHAT, _TEXT, _NEXT = "{question}\n\n%s", "Question: {question}\n\n%s\n\nSolution:", "\nQuestion:"


@dataclass(frozen=True)
class Asking:
    r"""How questions are asked.

    Attributes:
        check: How answers are compared; decides which mark is asked for.
        prompt: What the question is put into, with the field ``{question}``: of a chat its last user turn. None: one
            that asks for steps and a marked answer, and a chat with a system turn, several turns or tools as it is.
        completions: Give the model a text to go on with, and no chat.
        stop: Text at which an answer ends; None: of a text that goes on from our own prompt, where it would ask the
            next question.
        options: How answers are sampled.

    >>> from mixlm.sampling.problems import Problem, read_problem
    >>> cats = Problem(0, read_problem({"question": "How many legs have 3 cats?", "answer": 12}))
    >>> Asking("exact", prompt="{question} Show your work.").question(cats)["messages"]
    [{'role': 'user', 'content': 'How many legs have 3 cats? Show your work.'}]
    """

    check: CheckName
    prompt: str | None = None
    completions: bool = False
    stop: str | None = None
    options: GenerationOptions = field(default_factory=GenerationOptions)

    def __post_init__(self) -> None:
        """Raise an ``InputError`` if there is no place for the question, or nothing to stop at."""
        if self.prompt is not None and self.prompt.count(QUESTION) != 1:
            raise InputError(f"--prompt {self.prompt[:100]!r}: must hold {QUESTION} exactly once")
        if self.stop == "":
            raise InputError("--stop '': give a text, or leave it out")

    @property
    def path(self) -> str:
        """Where a server is asked so, below its address."""
        return "/completions" if self.completions else "/chat/completions"

    def body(self, problem: Problem, number: int) -> dict[str, Any]:
        """Return what a server is sent for one answer, but for the name of its model and the length limit.

        Args:
            problem: The question.
            number: Number of the answer among those to the question; with it the seed changes.

        Raises:
            InputError: If the question cannot be asked so.
        """
        options = self.options
        body = {**self.question(problem), "temperature": options.temperature}
        if options.sampling:
            body |= {"top_p": options.top_p} if options.top_p < 1 else {}  # some servers take one of the two alone
            body |= {"seed": seed_of(options.seed, problem.row, number)}
        stop = self.stop or (_NEXT if self.completions and self.prompt is None else None)
        return body | ({"stop": [stop]} if stop else {})

    def question(self, problem: Problem) -> dict[str, Any]:
        """Return the question as a server reads it, in values of JSON; an ``InputError`` if it cannot be asked so."""
        sample = problem.sample
        if not self.completions:
            tools = tools_of(sample) if sample.messages else None
            chat = {"messages": self._messages(problem)} | ({"tools": tools} if tools else {})
            chat |= {TEMPLATE_ARGUMENTS: told} if sample.messages and (told := arguments_of(sample)) else {}
            return json.loads(json.dumps(chat, default=str))  # Parquet has dates
        if sample.needs_chat:
            raise InputError(
                f"{problem.name}: a chat of several turns, or that tells its template more, is no text to go on with; "
                "leave out --completions"
            )
        return {"prompt": self._put(sample.question, _TEXT)}

    def _messages(self, problem: Problem) -> list[dict[str, Any]]:
        sample = problem.sample
        turns = [dict(turn) for turn in sample.messages or ({"role": "user", "content": sample.question},)]
        if self.prompt is not None or _is_lone(turns, sample.columns):
            last = max(place for place, turn in enumerate(turns) if turn["role"] == "user")
            turns[last]["content"] = self._put(turns[last]["content"], _CHAT)
        return turns

    def _put(self, question: str, default: str) -> str:
        asked = f"Reason step by step. {_MARKS.get(self.check, _LAST_LINE)}"
        return (default % asked if self.prompt is None else self.prompt).replace(QUESTION, question)


def _is_lone(turns: Sequence[Mapping[str, Any]], columns: Mapping[str, Any]) -> bool:
    """Tell whether a chat is one question and nothing else, which tells the model nothing of how to answer."""
    return len(turns) == 1 and not tells_template(columns)
