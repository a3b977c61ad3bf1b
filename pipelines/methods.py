"""mixlm methods: what ``mixlm-train --method`` can be."""

import click

from pipelines.options import command


@command("methods")
def main() -> None:
    """List the methods of reasoning with their options."""
    from dataclasses import MISSING, fields

    from mixlm.methods import METHODS

    for name, method in METHODS.items():
        click.echo(f"{name}  ({method.source})")
        click.echo(f"    {method.__doc__.strip().splitlines()[0]}")
        for field in fields(method):
            default = "" if field.default is MISSING else f" = {field.default}"
            click.echo(f"    -o {field.name}{default}")
