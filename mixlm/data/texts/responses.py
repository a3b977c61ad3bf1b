r"""From what a model or a textbook wrote to trace and answer: where reasoning ends, and what it comes to.

Reasoning ends at the last closing tag, such as ``</think>`` (``thoughts``). What follows it, or else all of the text,
may mark its answer (``marks``). After a tag the answer may also be in bold type, and a text that marks nothing is the
answer as a whole; without a tag nothing is, since nobody can tell it from the reasoning. An unknown tag may be that of
a thought, and then no answer is read from within it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mixlm.data.texts.marks import OPENS_ANSWER, Mark, before_mark, last_bold, marked
from mixlm.data.texts.sentences import count_words, split_sentences
from mixlm.data.texts.thoughts import ANSWER_TAGS, split_thought, unended, unknown_tag
from mixlm.errors import InputError


_AROUND = re.compile(r"<\|(?:(?:begin|end)_of_(?:solution|box)|start_response)\|>", re.IGNORECASE)  # an answer
_ANSWER_BEGIN = re.compile(f"<(?:{ANSWER_TAGS})>", re.IGNORECASE)
_ANSWER_END = re.compile(rf"</(?:{ANSWER_TAGS})>\s*\Z", re.IGNORECASE)
_FEW_WORDS = 5
_MANY_WORDS = 10  # of an answer, which then more likely explains one
COLUMN, PATTERN, WHOLE, LONG = "column", "pattern", "whole", "long"
RULES = {
    COLUMN: "in a column of their own",
    PATTERN: "by --answer-pattern",
    "answer": "in <answer> .. </answer>",
    "hashes": "after '####'",
    "said": "after 'The answer is'",
    "boxed": r"in \boxed{..}",
    "bold": "in bold type",
    WHOLE: "as the text after the trace",
    LONG: "as all of a long text after the trace",
}
"""How an answer was found, by the name that counts have for it."""
FIGURE = "answers_"
"""Begins the name of the figure that counts a rule's answers, among other figures."""


class Found(NamedTuple):
    """What a text says.

    Attributes:
        trace: The reasoning.
        answer: The answer.
        rule: A key of ``RULES``.
    """

    trace: str
    answer: str
    rule: str


def read_response(text: str, pattern: re.Pattern[str] | None = None, given: str | None = None) -> Found:
    r"""Find trace and answer in a response.

    Args:
        text: The response.
        pattern: Finds the answer in place of the marks; its last match counts, and of that the first group that took
            part, if it has groups.
        given: The answer, where it is known.

    Raises:
        ValueError: If there is no answer, or nothing tells it from the reasoning. The message says why and what to do.

    >>> read_response("16 + 16 = 32, and half of it is 16.\nThe answer is: 16")
    Found(trace='16 + 16 = 32, and half of it is 16.', answer='16', rule='said')
    """
    thought, tail = split_thought(text)
    tail = tail if pattern or thought is not None else _unwrapped(tail)
    if given is not None and not pattern:
        mark = marked(tail)
        same = mark is not None and is_same(mark.answer, given)
        before = before_mark(tail, mark) if same else tail
        before = "" if tail.split() == given.split() else before
        answer = given.removesuffix(".0") if same and "." not in mark.answer else given  # the spelling is the column's
        return Found(before if thought is None else thought, answer, COLUMN)
    if thought is not None:
        answer, rule = read_tail(tail, pattern)
        return Found(thought, answer, rule)
    mark = _matched(tail, pattern) if pattern else marked(tail)
    if tag := None if pattern else unknown_tag(tail, mark):
        raise ValueError(
            f"has more behind {tag}, which may end its reasoning, and no answer that is marked there; write <think> "
            ".. </think> in place of that tag, or name the answer by --answer-pattern"
        )
    if mark is None:
        raise ValueError(
            "has no trace that can be told from its answer: no <think> .. </think>, no '#### N' on its last line, no "
            r"'The answer is: N', no \boxed{N}; name the answer by --answer-pattern, or give the trace as 'steps', "
            "[] if there is none, or 'reasoning' and the result as 'answer'"
        )
    before = before_mark(tail, mark)
    if not before.strip() and len(tail[mark.end :].split()) > _FEW_WORDS:
        raise ValueError(
            f"gives its answer ({mark.answer[:40]!r}) before its reasoning; give the trace as 'steps' or 'reasoning' "
            "and the result as 'answer'"
        )
    return Found(before, mark.answer, mark.rule)


def read_tail(tail: str, pattern: re.Pattern[str] | None = None) -> tuple[str, str]:
    """Return the answer in a text that comes after the reasoning, and the rule that found it.

    Args:
        tail: The text.
        pattern: See ``read_response``.

    Raises:
        ValueError: If it is empty.

    >>> read_tail("Adding both months, she sold **72** clips.")
    ('72', 'bold')
    """
    tail = _AROUND.sub("", unended(tail)).strip()
    if not tail:
        raise ValueError("has no answer after its reasoning; complete the row or leave it out")
    tail = tail if pattern else _unwrapped(tail, last=True).strip()
    mark = _matched(tail, pattern) if pattern else marked(tail) or last_bold(tail)
    if mark:
        return mark.answer, mark.rule
    if opened := OPENS_ANSWER.match(tail):
        raise ValueError(
            f"opens {opened[0]} and never closes it, as if it were cut off; close it or leave the row out"
        )
    long = "\n" in tail or len(split_sentences(tail)) > 1 or count_words(tail) > _MANY_WORDS
    return tail, LONG if long else WHOLE


def is_same(marked_answer: str, given: str) -> bool:
    """Tell whether a marked answer is that of a column, of which a table with a gap in it made 72.0 of 72."""
    number, whole = _WHOLE.fullmatch(marked_answer.strip()), _WHOLE.fullmatch(given.strip().removesuffix(".0"))
    same = number and whole and number[0].replace(",", "") == whole[0].replace(",", "")
    return bool(same) or marked_answer.split() == given.split()


_WHOLE = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)")


def _unwrapped(text: str, last: bool = False) -> str:
    """Return what stands in tags of an answer, such as ``<solution>``.

    Args:
        text: The text.
        last: Whether they need but end it, and not be all around it.
    """
    closed = _ANSWER_END.search(text)
    *before, inside = _ANSWER_BEGIN.split(text[: closed.start()] if closed else text)
    other = "</" in inside or not last and "".join(before).strip()  # then it is markup, or has more than the answer
    return text if not closed or other else inside


def _matched(text: str, pattern: re.Pattern[str]) -> Mark:
    """Return the last match of a user's pattern."""
    last = None
    for last in pattern.finditer(text):  # noqa: B007
        pass
    if last is None:
        raise ValueError(f"has nothing that --answer-pattern {pattern.pattern!r} finds; widen it or leave the row out")
    answer = next((group for group in last.groups() if group is not None), last[0]).strip()
    if not answer:
        raise ValueError(f"has no text where --answer-pattern {pattern.pattern!r} finds the answer; narrow it")
    return Mark(*last.span(), answer, PATTERN)


def compile_pattern(pattern: str | None) -> re.Pattern[str] | None:
    """Return a user's pattern, whose ``^`` and ``$`` are begin and end of a line, if there is one.

    Raises:
        InputError: If it is no regular expression.
    """
    try:
        return None if pattern is None else re.compile(pattern, re.MULTILINE)
    except (re.error, RecursionError, OverflowError) as error:
        raise InputError(f"--answer-pattern {pattern!r}: no regular expression ({error})") from None


def count_rules(rules: Iterable[str]) -> Counter[str]:
    """Return how many answers were found by each rule; those in columns of their own are not counted."""
    return Counter(rule for rule in rules if rule != COLUMN)


def tell_rules(rules: Mapping[str, int], samples: int) -> str:
    """Return in words how many answers each rule found; empty if all had columns of their own.

    Args:
        rules: Counts of ``count_rules``.
        samples: Of how many samples.
    """
    if not rules:
        return ""
    counts = {COLUMN: samples - sum(rules.values()), **rules}
    told = [f"{counts[rule]} {words}" for rule, words in RULES.items() if counts.get(rule)]
    hint = "; where those explain before they answer, name the answer by --answer-pattern" if rules.get(LONG) else ""
    return ", ".join(told) + hint
