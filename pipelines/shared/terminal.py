"""What is printed, and how much: results on stdout, all else on stderr, and no text of others steers the terminal."""

import codecs
import errno
import io
import json
import math
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import click

from mixlm.shown import escaped, redacted
from vqvae.stopping import hangups_ignored


_FAILING = ("strict", "surrogateescape")  # ways to treat such a letter that raise; the second is that of LC_ALL=C
WARNING = "warning: "  # begins a line that is shown also where notices are not


@dataclass(frozen=True)
class Manner:
    """How a command prints.

    Attributes:
        quiet: Results, warnings and errors, and nothing else.
        json: Results as one line of JSON in place of text.
        verbose: Also what libraries say, and what takes its time.
    """

    quiet: bool = False
    json: bool = False
    verbose: bool = False


_manner = Manner()  # of the command that runs; its threads share it


def manner() -> Manner:
    """Return how the running command prints."""
    return _manner


@contextmanager
def printed_in(new: Manner) -> Iterator[None]:
    """Let a command print in another manner."""
    global _manner
    before, _manner = _manner, new
    try:
        yield
    finally:
        _manner = before


def shown(text: str) -> str:
    """Return a message as it may be printed: ``escaped``, and without keys and passwords."""
    return escaped(redacted(text))


def echo(line: str, err: bool = False, nl: bool = True, bold: bool = False) -> None:
    """Print a line, or several, as ``shown``: a part of the results, or on stderr a warning or an error."""
    if err or not _manner.json:
        stream = sys.stderr if err else sys.stdout
        above = stream if hasattr(stream, "rich_proxied_file") else None  # a bar, which click would write over
        click.secho(shown(line), above, err=err, nl=nl, bold=bold or None)


def notice(line: str, bold: bool = False) -> None:
    """Print on stderr what is no result: with ``--quiet`` only a line that begins with ``WARNING``."""
    if not _manner.quiet or line.startswith(WARNING):
        echo(line, err=True, bold=bold)


def echo_json(value: object) -> None:
    """Print a part of the results as a line of JSON, which holds all that the value does."""
    if not _manner.json:
        click.echo(_as_line(_as_json(value)))


def echo_results(results: Mapping[str, Any]) -> None:
    """Print all results of a command as one line of JSON: nan and infinite numbers as null, paths as text."""
    click.echo(_as_line(_as_json(results)))


def _as_line(value: Any) -> str:
    """Return JSON in one line, of such letters as stdout has: what Python writes for others is none."""
    known = codecs.lookup(sys.stdout.encoding or "ascii").name.startswith("utf")
    return escaped(json.dumps(value, ensure_ascii=not known, allow_nan=False))


def _as_json(value: Any) -> Any:
    """Return a value as JSON has it: what has fields by their names."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _as_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(one) for one in value]
    if hasattr(value, "tolist"):  # numpy's
        return _as_json(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | int | str | None) else str(value)


@contextmanager
def shown_errors() -> Iterator[None]:
    """Let what click says about a wrong call be ``shown``, in one line."""
    try:
        yield
    except click.ClickException as error:
        error.message = shown(" ".join(error.message.split()))
        raise


class _Outlasting(io.FileIO):
    """A standard stream on which what nobody can read any more is dropped.

    That is what is written to a terminal that is gone, and after a hang-up, or where those are ignored, to a pipe
    whose reader was on it.
    """

    def write(self, data: Any) -> int | None:
        """Write some bytes, as any file does."""
        try:
            return super().write(data)
        except OSError as error:
            if not self._unread(error.errno):
                raise
            return memoryview(data).nbytes

    def _unread(self, number: int | None) -> bool:
        if number == errno.EIO:
            return stat.S_ISCHR(os.fstat(self.fileno()).st_mode)  # of a file it is a fault of the disk
        return number == errno.EPIPE and hangups_ignored()


def prepare_output() -> None:
    """Let this program go on, and keep its work, when the terminal to which it prints goes, or cannot show a letter.

    Such a letter is printed as Python writes it (``\\ufffd``), in a line of JSON as JSON does.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if getattr(stream, "errors", None) in _FAILING and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        if stream is None or stream is not getattr(sys, f"__{name}__"):
            continue  # it prints to no terminal, or this was done
        raw = _Outlasting(stream.fileno(), "w", closefd=False)
        buffer = raw if stream.write_through else io.BufferedWriter(raw)
        how = {"line_buffering": stream.line_buffering, "write_through": stream.write_through}
        setattr(sys, name, io.TextIOWrapper(buffer, stream.encoding, stream.errors, **how))
