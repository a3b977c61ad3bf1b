"""mixlm data: write the rows of a task, or bring rows of one's own into shape."""

import click

from pipelines.options import command


_out = click.option("--out", required=True, type=click.Path(dir_okay=False), help="JSONL file to write.")
_seed = click.option("--seed", default=0, show_default=True, help="Seed of the draw.")


@click.group("data", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
def main() -> None:
    """Write the rows of a task, or convert or split a file."""


@main.add_command
@command("chain-arithmetic")
@click.option("--rows", required=True, type=click.IntRange(min=1), help="Rows to generate, each another question.")
@click.option("--split", default="train", show_default=True, type=click.Choice(["train", "valid", "test"]))
@click.option("--operations", default=6, show_default=True, type=click.IntRange(min=1), help="Steps of each row.")
@click.option("--modulus", default=10, show_default=True, type=click.IntRange(min=2), help="Numbers are below it.")
@_seed
@_out
def chain_arithmetic(rows: int, split: str, operations: int, modulus: int, seed: int, out: str) -> None:
    """Generate running totals.

    A row is a question such as "start 3 ; + 4 ; - 9", a step for each operation, and the result modulo 10. The splits
    share no question, whatever the seeds.
    """
    from mixlm.tasks.chain_arithmetic import generate
    from mixlm.tasks.rows import write_rows

    _say(write_rows(out, generate(rows, split, operations, modulus, seed)), out)


@main.add_command
@command("gsm8k")
@click.option("--split", default="train", show_default=True, type=click.Choice(["train", "valid"]))
@click.option("--trace", default="text", show_default=True, type=click.Choice(["text", "equations"]))
@click.option("--rows", type=click.IntRange(min=1), help="Write the first rows only.")
@click.option("--source", type=click.Path(), help="Official train.jsonl.  [default: found by MIXLM_DATA]")
@click.option("--held-out", type=click.Path(), help="Questions of the split valid.  [default: found by MIXLM_DATA]")
@_out
def gsm8k(split: str, trace: str, rows: int | None, source: str | None, held_out: str | None, out: str) -> None:
    """Write the rows of GSM8K.

    The trace of a row is the sentences or the equations of the official solution. The 500 validation questions of iCoT
    are the split valid, the other rows of the official training file the split train.
    """
    from mixlm.tasks.gsm8k import load
    from mixlm.tasks.rows import write_rows

    _say(write_rows(out, load(split, trace, source, held_out), rows), out)


@main.add_command
@command("convert")
@click.argument("source")
@_out
def convert_rows(source: str, out: str) -> None:
    """Write a file in the plain layout.

    SOURCE is a file or dataset of any accepted layout; the rows written have question, steps and answer.
    """
    from mixlm.tasks.rows import convert

    _say(convert(source, out), out)


@main.add_command
@command("split")
@click.argument("source")
@click.option("--train", required=True, type=click.Path(dir_okay=False), help="JSONL file for the rows kept.")
@click.option("--valid", required=True, type=click.Path(dir_okay=False), help="JSONL file for the rows held out.")
@click.option("--share", default=0.1, show_default=True, type=click.FloatRange(0, 1), help="Questions to hold out.")
@_seed
def split_rows(source: str, train: str, valid: str, share: float, seed: int) -> None:
    """Split a file in two.

    Rows of SOURCE with the same question go to the same file.
    """
    from mixlm.tasks.rows import split

    for count, path in zip(split(source, train, valid, share, seed), (train, valid), strict=True):
        _say(count, path)


def _say(count: int, path: str) -> None:
    click.echo(f"wrote {count} rows to {path}")
