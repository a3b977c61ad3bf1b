r"""Finding the answer in a mathematical solution: after "The answer is", after "####", or in ``\boxed{..}``."""

import re

from mixlm.data.texts.marks import last_box, statement


_SENTENCE = re.compile(r".*\bthe answer is:?(.*)", re.IGNORECASE | re.DOTALL)


_TELLS = re.compile(r"[\d$\\]")  # a figure or a formula
_END = re.compile(r"\n\s*\n|\nQuestion")  # of what belongs to an answer


def marked_answer(text: str) -> str | None:
    r"""Return the answer that a text marks; None if it marks none.

    The last "The answer is" counts before the last "###" or "####", and that before the last box; a box in what is
    said, or anywhere behind the hashes, is opened. What is said ends with its line, if nothing is left open there: a
    model may go on with another question. Where it tells neither figure nor formula, a box in its paragraph counts.

    Args:
        text: A published solution, or what a model wrote.

    >>> marked_answer("so $x = \\boxed{\\frac{1}{2}}$.")
    '\\frac{1}{2}'
    >>> marked_answer("16 * 47 = 752\n#### 752\nThe answer is: 752\n\nQuestion: What is 1 + 1?")
    '752'
    """
    if found := _SENTENCE.fullmatch(text):
        told = statement(found[1])
        return (None if _TELLS.search(told) else last_boxed(_END.split(found[1].lstrip())[0])) or _opened(told)
    _, mark, rest = text.rpartition("###")
    return last_boxed(rest) or _opened(statement(rest)) if mark else last_boxed(text)


def last_boxed(text: str) -> str | None:
    r"""Return what stands in the last whole ``\boxed{..}`` of a text that holds something; None if there is none.

    >>> last_boxed(r"first \boxed{1}, then \boxed{x^{2}} and \boxed{")
    'x^{2}'
    """
    box = last_box(text)
    return box.answer if box else None


def _opened(text: str) -> str | None:
    boxed = last_boxed(text)
    return boxed if boxed is not None else text.strip().removesuffix(".").strip() or None
