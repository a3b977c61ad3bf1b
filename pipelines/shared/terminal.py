"""What is printed: text of others is shown as it is, and cannot steer the terminal; files keep it as it was."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import click

from mixlm.shown import escaped, redacted


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
