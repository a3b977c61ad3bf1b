"""Options that several commands have: how answers are decoded, how a sample becomes text."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import wraps
from typing import TYPE_CHECKING, Any, get_type_hints

import click
from click.core import ParameterSource

from mixlm.data.samples import CHECK_NAMES
from mixlm.generation.options import DECODING, GenerationOptions
from pipelines.shared.help import DATA, DECODE, MEMORY, SERVER, Option, group
from pipelines.shared.terminal import notice
from vqvae.errors import MOST_RATE, MOST_SEEDS
from vqvae.option_types import choices


if TYPE_CHECKING:
    from mixlm.data.template import Template
    from mixlm.generation.answerer import Answerer
    from mixlm.generation.engine import Engine


class Number(click.FloatRange):
    """A number, neither nan nor infinite nor beyond what is computed with: a range alone lets nan through."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number; a ``click.BadParameter`` if it is none."""
        found = super().convert(value, param, ctx)
        if not abs(found) < MOST_RATE:
            self.fail(f"{value[:60]} is no number that can be computed with", param, ctx)
        return found


class Count(click.IntRange):
    """A whole number that something can be counted by; help shows the least alone, for nobody asks for the most.

    Args:
        least: The least.
    """

    name = "integer"

    def __init__(self, least: int = 0) -> None:
        super().__init__(least, 2**31 - 1)

    def _describe_range(self) -> str:
        return f"x>={self.min}"


SEED = click.IntRange(0, MOST_SEEDS - 1)


def options_of(*kinds: type) -> Callable[..., Option]:
    """Return what makes a click option of a field of some dataclasses, with the field's default."""
    defaults = {field.name: field.default for kind in kinds for field in fields(kind)}
    words = {name: choices(hint) for kind in kinds for name, hint in get_type_hints(kind).items()}

    def option(name: str, help: str, **settings: Any) -> Option:
        """Return the option of the field ``name``; ``settings`` are click's."""
        default = defaults[name]
        flag = f"--{name}/--no-{name}" if isinstance(default, bool) else f"--{name}"
        numbers = {float: Number(min=0), int: SEED if name == "seed" else _count}
        one = click.Choice(words[name]) if words[name] else numbers.get(type(default), type(default))
        kind = {} if isinstance(default, bool) else {"type": one}
        settings = {**kind, "show_default": True, "default": default, **settings}
        return click.option(flag.replace("_", "-"), name, help=help, **settings)

    return option


def text_of(value: Any) -> str:
    """Return a value as a user types it."""
    if isinstance(value, list | tuple):
        return ",".join(map(text_of, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


positive, _count = Count(1), Count()
_decoding = options_of(GenerationOptions)
_SHARE = Number(0, 1, min_open=True)
batch_options = group(
    MEMORY,
    _decoding("batch_size", "Answers decoded at once.", type=positive),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps .."),
)
_GREEDY = (
    "Greedy: plain takes the likeliest token; kind opens or ends a span of latents only if that is likelier than all "
    f"other tokens together. Sampling is the same with both.  [default: {DECODING}]"
)
kind_option = group(DECODE, _decoding("decoding", _GREEDY))
decoding_options = group(
    DECODE,
    _decoding("temperature", "Sample; 0 is greedy.  [default: greedy]", type=Number(min=0)),
    _decoding("top_k", "Sample from the likeliest K; 0: all.", type=_count),
    _decoding("top_p", "Sample from the likeliest tokens that reach this probability.", type=_SHARE),
    kind_option,
    _decoding("seed", "Seed of the sampling."),
    _decoding("samples", "Answers to each question.", type=positive),
    _decoding("thoughts", "Continuous thoughts of each answer.  [default: the run's own]", type=_count),
    batch_options,
)
"""The options of decoding, batching and device."""

_LONGEST = "Longest answer.  [default: twice the longest reference; 512 without traces]"
rows_options = group(
    DATA,
    click.option("--split", help="Part of DATA.  [default: valid of an encoded dataset, else train]"),
    click.option("--limit", type=positive, help="Take the first rows only."),
    group(DECODE, _decoding("max_new_tokens", _LONGEST, type=positive)),
)
"""The options of the rows that are answered to be checked."""

_DRY = "Print what would be done, how long that takes and in how much memory, and stop."
dry_run_option = click.option("--dry-run", is_flag=True, help=_DRY)

_CHECK = "How answers are compared.  [default: as DATA means it, or what RUN learned from]"
check_option = group(DATA, click.option("--check", type=click.Choice(CHECK_NAMES), help=_CHECK))

_PATTERN = (
    "Regular expression that finds the answer in a response; of its last match the first group, if it has one.  "
    "[default: the marks that docs/FORMATS.md lists]"
)
answer_pattern_option = group(DATA, click.option("--answer-pattern", metavar="REGEX", help=_PATTERN))

_NAMED = "What the server calls RUN.  [default: its only model, or RUN]"
_SERVER = "Let a server of completions decode, such as vLLM, that serves RUN."
_UNDER_WAY = "Requests under way at once."
concurrency_option = click.option("--concurrency", default=64, show_default=True, type=positive, help=_UNDER_WAY)
_ENGINE = "Start an engine that serves RUN, use it, and stop it: vllm, or the python of the environment that has vLLM."


def _one_server(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command have one server: what is typed counts more than what a file says or an earlier call was told."""

    @wraps(function)
    def checked(**values: Any) -> Any:
        """Call the command."""
        context = click.get_current_context()
        typed = {name for name in values if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
        for other in ("endpoint", "served_model"):
            if values["engine"] is None or values[other] is None:
                continue
            if ("engine" in typed) == (other in typed):
                flag = other.replace("_", "-")
                raise click.UsageError(f"--engine starts a server of its own; give either it or --{flag}")
            name = other if "engine" in typed else "engine"
            values[name] = context.params[name] = None
        return function(**values)

    return checked


engine_option = group(SERVER, click.option("--engine", metavar="vllm|PATH", help=_ENGINE))

endpoint_options = group(
    SERVER,
    click.option("--endpoint", metavar="URL", help=_SERVER),
    click.option("--served-model", metavar="NAME", help=_NAMED),
    engine_option,
    concurrency_option,
    _one_server,
)
"""The options of a server that answers in this command's place."""


def answerer_of(engine: "Engine", values: dict[str, Any]) -> "Answerer":
    """Take the values of ``endpoint_options`` out of ``values`` and return who answers: the server, or the engine.

    A server that is started for it ends with the running command.
    """
    from mixlm.data.chat.rendering import clock_note

    if note := clock_note(engine.run.template):
        notice(note)
    names = ("endpoint", "served_model", "engine", "concurrency")
    url, name, started, concurrency = (values.pop(option) for option in names)
    if started is not None:
        return _served_here(engine, started, concurrency)
    if url is None:
        return engine
    from mixlm.generation.server.endpoint import Endpoint

    return Endpoint(url, engine, name, concurrency, say=notice)


def faster(*others: str) -> str:
    """Return in words what makes the running command shorter: ``others``, and an engine where no server answers."""
    values = click.get_current_context().params
    local = all(values.get(name) is None for name in ("endpoint", "engine"))
    return " or ".join([*others, *["--engine"] * local])


def _served_here(engine: "Engine", started: str, concurrency: int) -> "Answerer":
    from mixlm.errors import InputError
    from mixlm.processes import Processes
    from pipelines.engines.server import ServedHere, Server

    if Processes.current().count > 1:
        raise InputError("--engine: one engine answers for one process; leave out accelerate launch")
    server = click.get_current_context().with_resource(Server(engine.run, started, notice))
    return ServedHere(server, engine, concurrency, notice)


_TEMPLATE = {
    "prompt_template": ("prompt", "Prompt, with the field {question}; \\n is a new line.  [default: {question}\\n]"),
    "separator": ("separator", "Stands between steps.  [default: \\n]"),
    "solution_template": ("solution", "Solution, with the field {answer}.  [default: \\n### {answer}]"),
}
TEMPLATE_OPTIONS = tuple(name.replace("_", "-") for name in (*_TEMPLATE, "chat"))


template_options = group(
    DATA,
    *(click.option(f"--{name}".replace("_", "-"), name, help=help) for name, (_, help) in _TEMPLATE.items()),
    click.option("--chat", is_flag=True, help="Render the prompt by the tokenizer's chat template."),
)
"""The options that say how a sample becomes text."""


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


def template_values(template: "Template | Mapping[str, Any]") -> dict[str, Any]:
    r"""Return the values of ``template_options``, as typed, that make a template, given as such or as its fields."""
    told = template if isinstance(template, Mapping) else template.to_dict()
    return {name: told[field].replace("\n", "\\n") for name, (field, _) in _TEMPLATE.items()} | {"chat": told["chat"]}
