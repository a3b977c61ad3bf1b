r"""Finding the answer in a mathematical solution: after "The answer is", after "####", or in ``\boxed{..}``."""

import re


_SENTENCE = re.compile(r".*\bthe answer is:?(.*)", re.IGNORECASE | re.DOTALL)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_BARE = re.compile(r"[^\s$]+")


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
    r"""Return what stands in the last whole ``\boxed{..}`` of a text; None if there is none.

    >>> last_boxed(r"first \boxed{1}, then \boxed{x^{2}} and \boxed{")
    'x^{2}'
    """
    for box in reversed(list(_BOX.finditer(text))):
        if (content := _content(text, box.end())) is not None:
            return content.strip()
    return None


def _opened(text: str) -> str | None:
    boxed = last_boxed(text)
    return boxed if boxed is not None else text.strip().removesuffix(".").strip() or None


def _content(text: str, start: int) -> str | None:
    r"""Return what a box at ``start`` holds: up to the brace that closes it or, as in ``\boxed 7``, one word."""
    if text[start : start + 1] != "{":
        word = _BARE.match(text, start)
        return word[0] if word else None
    depth = 0
    for place in range(start, len(text)):
        escaped = text[place - 1] == "\\" and text[place - 2] != "\\"
        depth += 0 if escaped else {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return text[start + 1 : place]
    return None
