"""``--resume``: a command that was interrupted goes on with what it was told."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mixlm.errors import InputError
from pipelines.shared.command import quiet_libraries


if TYPE_CHECKING:
    from mixlm.generation.answerer import Answerer
    from mixlm.generation.server.model_server import ModelServer


def told_values() -> dict[str, Any]:
    """Return the values of the running command's parameters that are JSON values, by their names."""
    values = click.get_current_context().params
    return {name: value for name, value in values.items() if isinstance(value, str | int | float | bool)}


def given_values(answerer: "Answerer | ModelServer") -> dict[str, Any]:
    """Return what ``told_values`` does, to be written.

    Args:
        answerer: Who answers: of a server's address there may be a name and a password, which are left out.
    """
    told = told_values()
    return told | ({"endpoint": answerer.url} if "endpoint" in told else {})


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
            with quiet_libraries():
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
