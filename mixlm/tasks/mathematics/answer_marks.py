"""The answer in a solution that may go on with another question, as what a base model writes does."""

import re

from mixlm.data.texts.marks import marked, statement


_NEXT = re.compile(r"\n\s*(?:Question|Problem|Exercise|Q)\s*\d*\s*:")
_TELLS = re.compile(r"[\d$\\]")  # a figure or a formula


def marked_answer(text: str) -> str | None:
    r"""Return the answer that a text marks, before it goes on with another question; None if it marks none.

    Without any mark of ``mixlm.data.texts.marks`` a line behind "###" counts, if it tells a figure or a formula.

    Args:
        text: A published solution, or what a model wrote.

    >>> marked_answer("so $x = \\boxed{\\frac{1}{2}}$.")
    '\\frac{1}{2}'
    >>> marked_answer("16 * 47 = 752\n#### 752\nThe answer is: 752\n\nQuestion: What is 1 + 1?")
    '752'
    """
    text = _NEXT.split(text)[0]
    if mark := marked(text):
        return mark.answer
    _, hashes, rest = text.rpartition("###")
    told = statement(rest) if hashes else ""
    return told.strip().removesuffix(".").strip() if _TELLS.search(told) else None
