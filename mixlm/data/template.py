"""How a sample becomes the three texts P, C and S."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from mixlm.data.samples import Sample
from mixlm.data.texts.thoughts import THOUGHT_END
from mixlm.errors import InputError
from vqvae.option_types import require_types


_QUESTION, _ANSWER = "{question}", "{answer}"
_OF_CHATS = ("date",)


@dataclass(frozen=True)
class Template:
    r"""Renders prompt, trace and solution.

    Attributes:
        prompt: Has the field ``{question}``; not used with ``chat``.
        separator: Stands between the steps of a trace.
        solution: Has the field ``{answer}``; end of sequence follows it.
        chat: Render the prompt by the tokenizer's chat template.
        date: What a chat template that reads the clock is told, as ISO 8601; None: the time, or it reads none.

    >>> Template().render(Sample("1 + 1?", ("1 + 1 = 2",), "2"))
    ('1 + 1?\n', '1 + 1 = 2', '\n### 2')
    """

    prompt: str = "{question}\n"
    separator: str = "\n"
    solution: str = "\n### {answer}"
    chat: bool = False
    date: str | None = None

    def __post_init__(self) -> None:
        """Raise an ``InputError`` if a part is no text or lacks its field."""
        require_types(self)
        for name, part, wanted in (("prompt", self.prompt, _QUESTION), ("solution", self.solution, _ANSWER)):
            if part.count(wanted) != 1:
                raise InputError(f"--{name}-template {part!r}: must hold {wanted} exactly once")

    def render(self, sample: Sample) -> tuple[str, str, str]:
        """Return P, C and S as text; P of a chat is its question alone."""
        return self.render_prompt(sample.question), self.render_trace(sample), self.render_solution(sample)

    def render_prompt(self, question: str) -> str:
        """Return P of a plain question."""
        return self.prompt.replace(_QUESTION, question)

    def render_trace(self, sample: Sample) -> str:
        """Return C."""
        return self.separator.join(sample.steps)

    def render_solution(self, sample: Sample) -> str:
        """Return S without end of sequence."""
        return self.solution.replace(_ANSWER, sample.answer)

    @property
    def after_thought(self) -> "Template":
        """The template as it is after what closes a thought, which ends with new lines itself."""
        return replace(self, solution=self.solution.lstrip("\n"))

    @property
    def marker(self) -> str:
        """What stands before an answer in its solution."""
        return self.solution.partition(_ANSWER)[0]

    @property
    def ending(self) -> str:
        """What stands after it."""
        return self.solution.partition(_ANSWER)[2]

    def find_answer(self, text: str) -> str | None:
        r"""Return what stands in the answer's place after the last marker of ``text``.

        White space around marker and ending is free. An answer to a chat that has no marker begins after its thought.

        Args:
            text: Decoded answer of a model, special tokens skipped: latents never reach this function.

        Returns:
            The answer, stripped; None if the marker is not there.

        >>> Template().find_answer("3 + 4 = 7\n### 7")
        '7'
        """
        marker, ending = self.marker.strip(), self.ending.strip()
        whole = re.split(THOUGHT_END, text)[-1] if self.chat else text
        _, found, answer = text.rpartition(marker) if marker else ("", True, whole)
        if not found:
            return None
        if ending and ending in answer:
            answer = answer[: answer.rindex(ending)]
        return answer.strip()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, those of chats for chats alone."""
        values = asdict(self)
        return values if self.chat else {name: values[name] for name in values if name not in _OF_CHATS}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Template":
        """Make a template of the values that ``to_dict`` gave."""
        return cls(**values)
