"""``--config``: options of a command from a YAML file, or from a recipe that comes with the package."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from mixlm.errors import InputError
from pipelines.shared.help import renamed


CONFIG = "mixlm.config"  # where a command notes the path of its file


def config_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--config FILE.yaml`` to a command; the name of a shipped recipe will do."""
    return click.option(
        "--config",
        type=ConfigFile(),
        metavar="FILE.yaml|RECIPE",
        is_eager=True,
        expose_value=False,
        callback=_read_config,
        help="YAML file with values for these options, or a shipped recipe's name; the command line goes before it.",
    )(function)


def _read_config(ctx: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    options = options_by_name(ctx.command)
    values: dict[str, str | list[str]] = {}
    for key, value in _load_mapping(path).items():
        name = key.replace("-", "_") if isinstance(key, str) else key
        if name not in options:
            said = (name != "config" and renamed(str(key), ctx.command)) or unknown_option(str(key), options)
            raise click.UsageError(f"{path}: {said}", ctx)
        option = options[name]
        if option.name in values:
            raise click.UsageError(f"{path}: '{key}' is given twice", ctx)
        values[option.name] = _formed(value, option, f"{path}: '{key}'", ctx)
    ctx.meta[CONFIG] = path
    ctx.default_map = {**(ctx.default_map or {}), **values}


def options_by_name(command: click.Command) -> dict[str, click.Option]:
    """Return a command's options by their long names, ``_`` for ``-``."""
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    return {
        name.removeprefix("--").replace("-", "_"): option
        for option in options
        if option.name not in ("config", "help", "help_all")
        for name in option.opts
        if name.startswith("--")
    }


def _load_mapping(path: Path) -> dict[Any, Any]:
    """Read a YAML mapping with every scalar as it is written, so that values are checked like typed ones."""
    from mixlm.data.formats.yaml_files import read_yaml

    try:
        values = read_yaml(path, plain=True)
    except InputError as error:
        raise click.UsageError(str(error)) from None
    if not isinstance(values or {}, dict):
        raise click.UsageError(f"{path}: holds no mapping; write one 'option: value' on each line")
    return values or {}


def unknown_option(key: str, options: Mapping[str, click.Option]) -> str:
    """Return what to say of an option that is none of ``options``, as ``options_by_name`` gives them."""
    close = get_close_matches(key.replace("-", "_"), options)
    known = close or sorted(options)
    question = "did you mean" if close else "the options are"
    return f"unknown option '{key}'; {question} {', '.join(name.replace('_', '-') for name in known)}"


def _formed(value: Any, option: click.Option, what: str, ctx: click.Context) -> str | list[str]:
    """Check the form of a value; its type is click's to check."""
    several = option.multiple or option.nargs != 1
    if several and isinstance(value, str):
        return [value]
    if isinstance(value, str) or several and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise click.UsageError(f"{what} must be {'a list of values' if several else 'one value'}", ctx)


FOLDER = Path(__file__).parents[1] / "recipes"


def shipped_recipes() -> dict[str, Path]:
    """Return the file of every shipped recipe by its name, such as ``gsm8k/coconut``, in alphabetical order."""
    recipes = {path.relative_to(FOLDER).with_suffix("").as_posix(): path for path in FOLDER.glob("*/*.yaml")}
    return dict(sorted(recipes.items()))


class ConfigFile(click.Path):
    """Type of ``--config``: a YAML file, or the name of a shipped recipe; a file goes before a recipe."""

    name = "config"

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path of the file or recipe.

        Raises:
            click.BadParameter: If there is neither, or the file cannot be read.
        """
        if not Path(value).is_file():
            recipes = shipped_recipes()
            if str(value) not in recipes and not Path(value).exists():
                message = f"'{value}': no such file and no shipped recipe; {_suggestion(str(value), recipes)}"
                self.fail(message, param, ctx)
            value = recipes.get(str(value), value)
        return super().convert(value, param, ctx)


def _suggestion(wanted: str, recipes: dict[str, Path]) -> str:
    """Say which recipes ``wanted`` may have meant."""
    parts = set(wanted.removesuffix(".yaml").split("/"))
    alike = get_close_matches(wanted, recipes)
    of_part = [name for name in recipes if parts & set(name.split("/"))]
    close = alike or of_part if "/" in wanted else of_part or alike
    return f"did you mean {', '.join(close)}" if close else "`mixlm methods` lists the recipes"
