"""What is printed: text of others is shown as it is, and cannot steer the terminal; files keep it as it was."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import click

from mixlm.secrets import redacted


_STEERING = (  # characters that do something, or nothing that is seen, but the new line and the tabulator
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters: ESC, BEL, carriage return ..
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # the direction of what follows
    r"\u2028\u2029"  # line ends that are none on a terminal
    r"\xad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065"  # nothing
    r"\u3164\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    r"\ud800-\udfff"  # halves of characters
)
# emoji, and scripts in which letters are joined or kept apart
_JOINING = r"[\u0590-\u1fff\u2100-\u2fff\u3041-\ud7ff\ufe0f\U00010000-\U0003ffff]"
_HIDDEN = re.compile(rf"(?<={_JOINING})[\u200c\u200d](?={_JOINING})|([{_STEERING}])")


def escaped(text: str) -> str:
    r"""Return text in which characters that would steer a terminal, or hide in it, are written as JSON writes them.

    Of JSON the meaning stays. What joins the parts of an emoji, or letters of a script that needs it, is kept.

    >>> escaped("a\x1b[31mb\r\u202ec")
    'a\\u001b[31mb\\r\\u202ec'
    """
    return _HIDDEN.sub(lambda found: json.dumps(found[0])[1:-1] if found[1] else found[0], text)


def shown(text: str) -> str:
    """Return a message as it may be printed: ``escaped``, and without keys and passwords."""
    return escaped(redacted(text))


def echo(line: str, err: bool = False, nl: bool = True, bold: bool = False) -> None:
    """Print a line, or several, as ``shown``."""
    click.secho(shown(line), err=err, nl=nl, bold=bold or None)


def echo_json(value: object) -> None:
    """Print a value as a line of JSON, which holds all that the value does."""
    click.echo(escaped(json.dumps(value, ensure_ascii=False)))


@contextmanager
def shown_errors() -> Iterator[None]:
    """Let what click says about a wrong call be ``shown``, in one line."""
    try:
        yield
    except click.ClickException as error:
        error.message = shown(" ".join(error.message.split()))
        raise
