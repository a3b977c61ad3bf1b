"""The answer in a solution that may go on with other questions, as what a base model writes does."""

import re

from mixlm.data.texts.marks import marked, statement


_NEXT = re.compile(r"\n\s*(?:Question|Problem|Exercise|Q)\s*\d*\s*:")
_SENTENCE = re.compile(r".*\bthe answer is:?(.*)", re.IGNORECASE | re.DOTALL)
_TELLS = re.compile(r".*[\d$\\]|\(?[A-Za-z]\)?\.?\Z", re.DOTALL)  # a figure, a formula, or a letter


def marked_answer(text: str) -> str | None:
    r"""Return the answer that a text marks, the first of several questions'; None if it marks none.

    Without any mark of ``mixlm.data.texts.marks`` what follows the last "The answer is" counts, and else a line behind
    "###", if it tells a figure, a formula or a letter: who goes on, does so with something else.

    Args:
        text: A published solution, or what a model wrote.

    >>> marked_answer("so $x = \\boxed{\\frac{1}{2}}$.")
    '\\frac{1}{2}'
    >>> marked_answer("16 * 47 = 752\n#### 752\nThe answer is: 752\n\nQuestion: What is 1 + 1?")
    '752'
    """
    return next(filter(None, map(_marked, _NEXT.split(text))), None)


def _marked(text: str) -> str | None:
    """Return the answer that a text about one question marks."""
    if mark := marked(text):
        return mark.answer
    said = _SENTENCE.fullmatch(text)
    for rest in (said[1] if said else "", text.rpartition("###")[2] if "###" in text else ""):
        told = statement(rest).strip()
        if _TELLS.match(told):
            return told.removesuffix(".").strip()
    return None
