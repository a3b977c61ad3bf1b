"""Recipes that come with the package: options of a command for a method on a task, by name."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click


FOLDER = Path(__file__).parent / "recipes"


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
