"""Options that several commands have: how answers are decoded, how a sample becomes text."""

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click


if TYPE_CHECKING:
    from mixlm.data.template import Template
    from mixlm.generation.engine import Engine
    from mixlm.generation.plan import Answerer


def options_of(*choices: type) -> Callable[..., Callable[..., Any]]:
    """Return what makes a click option of a field of some dataclasses, with the field's default."""
    defaults = {field.name: field.default for choice in choices for field in fields(choice)}

    def option(name: str, help: str, **settings: Any) -> Callable[..., Any]:
        """Return the option of the field ``name``; ``settings`` are click's."""
        default = defaults[name]
        flag = f"--{name}/--no-{name}" if isinstance(default, bool) else f"--{name}"
        kind = {} if isinstance(default, bool) else {"type": type(default)}
        settings = {**kind, "show_default": True, **settings}
        return click.option(flag.replace("_", "-"), name, default=default, help=help, **settings)

    return option


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


def endpoint_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a server that answers in this command's place."""
    for option in (
        click.option(
            "--concurrency",
            default=16,
            show_default=True,
            type=click.IntRange(min=1),
            help="Requests under way at once.",
        ),
        click.option(
            "--served-model", metavar="NAME", help="What the server calls RUN.  [default: its only model, or RUN]"
        ),
        click.option(
            "--endpoint", metavar="URL", help="Let a server of completions decode, such as vLLM, that serves RUN."
        ),
    ):
        function = option(function)
    return function


def answerer_of(engine: "Engine", values: dict[str, Any]) -> "Answerer":
    """Take the values of ``endpoint_options`` out of ``values`` and return who answers: the server, or the engine."""
    url, name, concurrency = (values.pop(option) for option in ("endpoint", "served_model", "concurrency"))
    if url is None:
        return engine
    from mixlm.generation.endpoint import Endpoint

    return Endpoint(url, engine, name, concurrency)


_TEMPLATE = {
    "prompt_template": ("prompt", "Prompt, with the field {question}; \\n is a new line.  [default: {question}\\n]"),
    "separator": ("separator", "Stands between steps.  [default: \\n]"),
    "solution_template": ("solution", "Solution, with the field {answer}.  [default: \\n### {answer}]"),
}
TEMPLATE_OPTIONS = tuple(name.replace("_", "-") for name in (*_TEMPLATE, "chat"))


def template_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how a sample becomes text."""
    chat_help = "Render the prompt by the tokenizer's chat template."
    function = click.option("--chat", is_flag=True, help=chat_help)(function)
    for name, (_, help) in reversed(_TEMPLATE.items()):
        function = click.option(f"--{name}".replace("_", "-"), name, help=help)(function)
    return function


def template_of(values: dict[str, Any]) -> "Template":
    r"""Take the values of ``template_options`` out of ``values`` and make a template of them.

    The two characters ``\n`` stand for a new line, as they are what a shell passes on.

    Raises:
        InputError: If a part lacks its field.
    """
    from mixlm.data.template import Template

    given = {field: values.pop(name) for name, (field, _) in _TEMPLATE.items()}
    texts = {field: text.replace("\\n", "\n") for field, text in given.items() if text is not None}
    return Template(chat=values.pop("chat"), **texts)
