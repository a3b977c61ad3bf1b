"""The options that say how answers are decoded."""

from collections.abc import Callable
from typing import Any

import click


def decoding_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of sampling, batching and device to a command."""
    positive, count = click.IntRange(min=1), click.IntRange(min=0)
    options = [
        click.option("--temperature", type=click.FloatRange(min=0), help="Sample; 0 is greedy.  [default: greedy]"),
        click.option("--top-k", default=0, show_default=True, type=count, help="Sample from the likeliest K; 0: all."),
        click.option(
            "--top-p",
            default=1.0,
            show_default=True,
            type=click.FloatRange(0, 1, min_open=True),
            help="Sample from the likeliest tokens that reach this probability.",
        ),
        click.option("--seed", default=0, show_default=True, help="Seed of the sampling."),
        click.option("--samples", default=1, show_default=True, type=positive, help="Answers to each question."),
        click.option("--thoughts", type=count, help="Continuous thoughts of each answer.  [default: the run's own]"),
        click.option("--batch-size", default=32, show_default=True, type=positive, help="Answers decoded at once."),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps .."),
    ]
    for option in reversed(options):
        function = option(function)
    return function
