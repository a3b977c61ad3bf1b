"""mixlm methods: what ``mixlm-train --method`` can be."""

import textwrap
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click

from pipelines.shared.command import command
from pipelines.shared.docstrings import notes_of
from pipelines.shared.terminal import echo


@command("methods")
@click.argument("names", nargs=-1)
def main(names: tuple[str, ...]) -> None:
    """List the methods of reasoning, or those NAMED, with source, options, defaults and recipes."""
    from mixlm.methods import METHODS, build_method
    from pipelines.shared.config_file import shipped_recipes

    for name in names:
        build_method(name, {})  # an unknown one is the user's mistake
    for name in names or METHODS:
        method = METHODS[name]
        needs = "; needs codes: mixlm-encode first" if method.needs_codes else ""
        echo(f"{name}  ({method.source}{needs})")
        echo(f"    {method.__doc__.strip().splitlines()[0]}")
        for line in option_lines(method):
            echo(line)
        recipes = [recipe for recipe in shipped_recipes() if recipe.partition("/")[2] == name]
        if recipes:
            echo(f"    --config {' or '.join(recipes)}")


def option_lines(method: type) -> Iterator[str]:
    """Yield a line for each option of a method with its default, then what its documentation says, wrapped."""
    from dataclasses import fields

    notes = {}
    for parent in reversed(method.__mro__):
        notes |= notes_of(parent.__doc__, "Attributes")
    types = get_type_hints(method)
    for field in fields(method):
        choices = f"  [{', '.join(get_args(types[field.name]))}]" if get_origin(types[field.name]) is Literal else ""
        yield f"    -o {field.name}={_as_typed(field.default)}{choices}"
        yield from textwrap.wrap(notes.get(field.name, ""), 110, initial_indent=" " * 8, subsequent_indent=" " * 8)


def _as_typed(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
