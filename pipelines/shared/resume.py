"""``--resume``: a command that was interrupted goes on with what it was told."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from mixlm.errors import InputError


def resume_option(what: str, told: Callable[[Path], Mapping[str, Any]]) -> Callable[[Callable[..., Any]], Any]:
    """Return what adds ``--resume`` to a command.

    Args:
        what: What the option names, in one word.
        told: Given that, returns the values of the command's parameters by their names.
    """

    def read(ctx: click.Context, parameter: click.Parameter, path: Path | None) -> None:
        """Let what was told then stand for what is not given now."""
        if path is None:
            return
        try:
            values = {name: value for name, value in told(path).items() if value is not None}
        except InputError as error:
            raise click.UsageError(f"--resume {error}", ctx) from None
        ctx.default_map = {**(ctx.default_map or {}), **values}

    return click.option(
        "--resume",
        type=click.Path(path_type=Path),
        metavar=what,
        is_eager=True,
        expose_value=False,
        callback=read,
        help="Go on with what was interrupted there; nothing else need be given.",
    )
