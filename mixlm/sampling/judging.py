"""What an answer is worth: a trace to learn from, or why it is none."""

import re
from typing import Any

from mixlm.data.samples import CheckName, Sample, to_sample
from mixlm.errors import InputError
from mixlm.evaluation.checks import check_answer
from mixlm.sampling.answering import Said, Wanted


RIGHT, WRONG, NO_TRACE, CUT_OFF, UNREADABLE = "right", "wrong", "no_trace", "cut_off", "unreadable"
_CUT = ("length", "max_tokens", "model_length")  # endings, in the words of several servers
_BROKEN = ("content_filter", "tool_calls", "function_call", "abort", "error")
_SHOWN = 80  # letters of an answer that nobody can read


def judged(one: Wanted, said: Said, check: CheckName, pattern: re.Pattern[str] | None = None) -> dict[str, Any]:
    """Return what an answer is worth: its ``outcome``, and the row that it makes, if it is right and has a trace.

    Trace and answer are found by the rules of docs/FORMATS.md, as in the last turn of a chat.

    Args:
        one: What was asked.
        said: What came.
        check: How answers are compared.
        pattern: Finds the answer in what was said, in place of the marks that are known.
    """
    if said.error is not None:
        return {"error": said.error}
    if said.ending in _CUT:
        return {"outcome": CUT_OFF}
    turns = [{"role": "user", "content": "?"}, {**said.turn, "role": "assistant"}]
    try:
        read = None if said.ending in _BROKEN else to_sample({"messages": turns}, one.problem.name, pattern)
    except InputError:
        read = None
    if read is None:
        return {"outcome": UNREADABLE, "said": _end_of(said.turn.get("content"))}
    if not _is_right(one.problem.sample, read.answer, check):
        return {"outcome": WRONG, "answer": read.answer[:_SHOWN]}
    if not read.steps:
        return {"outcome": NO_TRACE}
    return {"outcome": RIGHT, "row": one.problem.solved("\n".join(read.steps), one.number, check)}


def _is_right(asked: Sample, answer: str, check: CheckName) -> bool:
    """Tell whether an answer is right; a full stop that was taken off behind it may be missing."""
    golds = (asked.answer, asked.answer.removesuffix("."))
    return any(check_answer(gold, answer, check, asked.question) for gold in dict.fromkeys(golds) if gold)


def _end_of(content: Any) -> str:
    """Return the last words of an answer, in one line."""
    return " ".join(content.split())[-_SHOWN:] if isinstance(content, str) else ""
