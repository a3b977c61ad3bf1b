"""The answer in a solution that may go on with other questions, as what a base model writes does."""

import re

from mixlm.data.texts.marks import marked, statement


_NEXT = re.compile(  # as a heading, or with a colon
    r"\n[\s#*>]*(?:Question|Problem|Exercise|Example|Q)\b[ \t*]*\d*[ \t*]*(?::|\.|(?=\n))", re.IGNORECASE
)
_SENTENCE = re.compile(r".*\bthe answer is:?(.*)", re.IGNORECASE | re.DOTALL)
_TELLS = re.compile(r".*[\d$\\]|[A-Z]?[a-z]+\.?\Z|\(?[A-Za-z]\)?\.?\Z", re.DOTALL)  # a figure, a formula, a word


def marked_answer(text: str) -> str | None:
    r"""Return the answer that a text marks, the first of several questions'; None if it marks none.

    Without any mark of ``mixlm.data.texts.marks`` what follows the last "The answer is" counts, and else a line behind
    "###", if it tells a figure or a formula, or is a word: who goes on, does so with something else.

    Args:
        text: A published solution, or what a model wrote.

    >>> marked_answer("so $x = \\boxed{\\frac{1}{2}}$.")
    '\\frac{1}{2}'
    >>> marked_answer("16 * 47 = 752\n#### 752\nThe answer is: 752\n\nQuestion: What is 1 + 1?")
    '752'
    """
    parts = _NEXT.split(text)
    return next(filter(None, (*map(_marked, parts), *map(_headed, parts))), None)


def _marked(text: str) -> str | None:
    """Return the answer that a text about one question marks or says."""
    mark, said = marked(text), _SENTENCE.fullmatch(text)
    return mark.answer if mark else _told(said[1]) if said else None


def _headed(text: str) -> str | None:
    return _told(text.rpartition("###")[2]) if "###" in text else None


def _told(rest: str) -> str | None:
    """Return the line that a text begins with, if it is an answer."""
    told = statement(rest).strip()
    return told.removesuffix(".").strip() if _TELLS.match(told) else None
