"""mixlm methods: what ``mixlm-train --method`` can be."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click

from pipelines.shared.command import Results, command
from pipelines.shared.docstrings import notes_of
from pipelines.shared.options import text_of
from pipelines.shared.terminal import echo


@command("methods")
@click.argument("names", nargs=-1)
def main(names: tuple[str, ...]) -> Results:
    """List the methods of reasoning, or those NAMED, with source, options, defaults and recipes."""
    from mixlm.methods import METHODS, build_method
    from pipelines.shared.config_file import shipped_recipes

    for name in names:
        build_method(name, {})  # an unknown one is the user's mistake
    recipes = [*shipped_recipes()]
    methods = [described(name, METHODS[name], recipes) for name in names or METHODS]
    for method in methods:
        for line in lines_about(method):
            echo(line)
    return {"methods": methods}


def described(name: str, method: type, recipes: Sequence[str]) -> dict[str, Any]:
    """Return what there is to know of a method; values of its options as they are typed."""
    from dataclasses import fields

    notes = {}
    for parent in reversed(method.__mro__):
        notes |= notes_of(parent.__doc__, "Attributes")
    types = get_type_hints(method)
    options = [
        {
            "name": field.name,
            "default": text_of(field.default),
            "choices": [*get_args(types[field.name])] if get_origin(types[field.name]) is Literal else None,
            "help": notes.get(field.name, ""),
        }
        for field in fields(method)
    ]
    about = {"name": name, "source": method.source, "needs_codes": method.needs_codes}
    about["help"] = method.__doc__.strip().splitlines()[0]
    return about | {"options": options, "recipes": [one for one in recipes if one.partition("/")[2] == name]}


def lines_about(method: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is printed of a method: each option with its default, then what it does, wrapped."""
    needs = "; needs codes: mixlm-encode first" if method["needs_codes"] else ""
    yield f"{method['name']}  ({method['source']}{needs})"
    yield f"    {method['help']}"
    for option in method["options"]:
        choices = f"  [{', '.join(option['choices'])}]" if option["choices"] else ""
        yield f"    -o {option['name']}={option['default']}{choices}"
        yield from textwrap.wrap(option["help"], 110, initial_indent=" " * 8, subsequent_indent=" " * 8)
    if method["recipes"]:
        yield f"    --config {' or '.join(method['recipes'])}"
