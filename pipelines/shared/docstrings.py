"""What a docstring in Google's style says of each parameter or attribute, for help texts."""

import re
from inspect import cleandoc


_ENTRY = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


def notes_of(documentation: str | None, section: str) -> dict[str, str]:
    """Return the text of each entry of ``section``, for example "Args", by its name.

    >>> notes_of('''Do it.
    ...
    ...     Args:
    ...         size: How ``large``,
    ...             in cells.
    ...
    ...     Returns:
    ...         The rest.
    ...     ''', "Args")
    {'size': 'How large, in cells.'}
    """
    text = cleandoc(documentation or "").partition(f"\n{section}:\n")[2].partition("\n\n")[0]
    return {name: " ".join(note.replace("``", "").split()) for name, note in _ENTRY.findall(text)}
