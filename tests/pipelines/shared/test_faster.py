"""What is said to make a command shorter."""

import click
import pytest

from pipelines.shared.options import faster


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"endpoint": None, "engine": None}, "a lower --limit or --engine"),
        ({}, "a lower --limit or --engine"),
        ({"endpoint": "http://localhost:8000", "engine": None}, "a lower --limit"),
        ({"endpoint": None, "engine": "vllm"}, "a lower --limit"),
    ],
)
def test_an_engine_is_named_where_no_server_answers(given, words):
    context = click.Context(click.Command("evaluate"))
    context.params.update(given)
    with context:
        assert faster("a lower --limit") == words
