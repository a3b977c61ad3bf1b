"""What an answer is worth: a trace to learn from, or why it is none."""

import re
from dataclasses import replace
from typing import Any

from mixlm.data.samples import CheckName, Sample, to_sample
from mixlm.errors import InputError
from mixlm.evaluation.checks import check_answer, same_answer
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
    answer = _right_answer(one.problem.sample, read.answer, check)
    if answer is None:
        return {"outcome": WRONG, "answer": read.answer[:_SHOWN]}
    if not read.steps:
        return {"outcome": NO_TRACE}
    problem = replace(one.problem, sample=replace(one.problem.sample, answer=answer))
    return {"outcome": RIGHT, "row": problem.solved("\n".join(read.steps), one.number, check)}


def _right_answer(asked: Sample, answer: str, check: CheckName) -> str | None:
    """Return the right answer as it was given, or another right one where the trace leads there; None if it is wrong.

    A full stop may be missing behind the given one, for some marks take it off.
    """
    golds = [gold for gold in dict.fromkeys((asked.answer, asked.answer.removesuffix("."))) if gold]
    if any(same_answer(gold, answer, check) for gold in golds):
        return asked.answer
    return answer if check_answer(asked.answer, answer, check, asked.question) else None


def _end_of(content: Any) -> str:
    """Return the last words of an answer, in one line."""
    return " ".join(content.split())[-_SHOWN:] if isinstance(content, str) else ""
