r"""Finding the answer in a mathematical solution: after "The answer is", after "####", or in ``\boxed{..}``."""

import re

from mixlm.data.marks import last_box


_SENTENCE = re.compile(r".*\bthe answer is:?(.*)", re.IGNORECASE | re.DOTALL)


def marked_answer(text: str) -> str | None:
    r"""Return the answer that a text marks; None if it marks none.

    The last "The answer is" counts before the last "###" or "####", and that before the last box; a box after either
    is opened.

    Args:
        text: A published solution, or what a model wrote.

    >>> marked_answer("so $x = \\boxed{\\frac{1}{2}}$.")
    '\\frac{1}{2}'
    >>> marked_answer("16 * 47 = 752\n#### 752\nThe answer is: 752")
    '752'
    """
    if found := _SENTENCE.fullmatch(text):
        return _opened(found[1])
    _, mark, rest = text.rpartition("###")
    return _opened(rest) if mark else last_boxed(text)


def last_boxed(text: str) -> str | None:
    r"""Return what stands in the last whole ``\boxed{..}`` of a text that holds something; None if there is none.

    >>> last_boxed(r"first \boxed{1}, then \boxed{x^{2}} and \boxed{")
    'x^{2}'
    """
    box = last_box(text)
    return box.answer if box else None


def open_boxes(text: str) -> tuple[list[str], list[str]]:
    r"""Return what stands in each box of a text, and the text cut at its boxes: parts, and the boxes between them.

    >>> open_boxes(r"is \boxed{7}.")
    (['7'], ['is ', '\\boxed{7}', '.'])
    """
    contents, parts, end = [], [], 0
    for box in _BOX.finditer(text):
        content = _content(text, box.end()) if box.start() >= end else None
        if content is not None:
            parts.append(text[end : box.start()])
            end = box.end() + len(content) + 2 * (text[box.end() : box.end() + 1] == "{")
            parts.append(text[box.start() : end])
            contents.append(content.strip())
    return contents, [*parts, text[end:]]


def _opened(text: str) -> str | None:
    boxed = last_boxed(text)
    return boxed if boxed is not None else text.strip().removesuffix(".").strip() or None
