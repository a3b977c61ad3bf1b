"""mixlm methods: what ``mixlm-train --method`` can be."""

import click

from pipelines.options import command


@command("methods")
def main() -> None:
    """List the methods of reasoning with their options and defaults."""
    from dataclasses import fields

    from mixlm.methods import METHODS
    from pipelines.shipped import shipped_recipes

    for name, method in METHODS.items():
        needs = "; needs codes: mixlm-encode first" if method.needs_codes else ""
        click.echo(f"{name}  ({method.source}{needs})")
        click.echo(f"    {method.__doc__.strip().splitlines()[0]}")
        for field in fields(method):
            click.echo(f"    -o {field.name}={_as_typed(field.default)}")
        recipes = [recipe for recipe in shipped_recipes() if recipe.partition("/")[2] == name]
        if recipes:
            click.echo(f"    --config {', '.join(recipes)}")


def _as_typed(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
