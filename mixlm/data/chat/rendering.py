"""What the tokenizer's chat template makes of messages, on any day the same."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mixlm.data.samples import Sample
from mixlm.data.template import Template
from mixlm.errors import InputError
from mixlm.processes import Processes


if TYPE_CHECKING:
    from jinja2 import TemplateSyntaxError
    from transformers import PreTrainedTokenizerBase


Messages = Sequence[Mapping[str, Any]]
_CLOCK = "strftime_now"  # the one way to the clock that chat templates have
_DIRECTIVES = [f"%{flag}{letter}" for flag in ("", "-") for letter in "aAwdbBmyYHIpMSfzZjUWcxXGuVeFTDRhklsr"]
_STOPPED = f"{{%- macro {_CLOCK}(format) -%}}{{%- set told = namespace(text=format) -%}}"
_END = "{%- endmacro %}\n"
_REFUSALS = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError)


def render_chat(
    tokenizer: "PreTrainedTokenizerBase",
    messages: Messages,
    sample: Sample,
    tools: Messages | None = None,
    arguments: Mapping[str, Any] | None = None,
    date: str | None = None,
) -> str:
    """Return what the tokenizer's chat template makes of messages, up to the assistant's turn.

    Args:
        tokenizer: The tokenizer.
        messages: The messages.
        sample: What errors name.
        tools: What the assistant may call, as JSON schemas.
        arguments: What else the row tells the template, by names.
        date: What the template is told if it reads the clock, as ISO 8601; None: the time.

    Raises:
        InputError: If there is no chat template, or it refuses the chat.
    """
    from jinja2 import TemplateError, TemplateSyntaxError

    source = chat_source(tokenizer, tools)
    frozen = {"chat_template": at_date(date, source)} if date else {}
    try:
        return tokenizer.apply_chat_template(
            [*messages], tools=tools, tokenize=False, add_generation_prompt=True, **{**(arguments or {}), **frozen}
        )
    except TemplateSyntaxError as error:
        raise _damaged(error) from None
    except (TemplateError, *_REFUSALS) as error:
        raise InputError(
            f"{where_of(sample)}the tokenizer's chat template refuses the chat {short(sample.question)}: "
            f"{' '.join(str(error).split())}; change or leave out the row"
        ) from None


def chat_source(tokenizer: "PreTrainedTokenizerBase", tools: Messages | None = None) -> str:
    """Return the tokenizer's chat template, the one for tools where there are both.

    Raises:
        InputError: If there is none.
    """
    if not tokenizer.chat_template:
        raise InputError("the tokenizer has no chat template; leave out --chat, or set tokenizer.chat_template")
    try:
        return tokenizer.get_chat_template(tools=tools)
    except ValueError:
        names = ", ".join(tokenizer.chat_template)
        raise InputError(
            f"the tokenizer has several chat templates ({names}), and none named default; set tokenizer.chat_template"
        ) from None


def where_of(sample: Sample) -> str:
    """Return what errors begin with that are about a sample."""
    return f"{sample.where}: " if sample.where else ""


def short(question: str) -> str:
    """Return the beginning of a question in quotes."""
    return repr(textwrap.shorten(question, 60, placeholder=" .."))


@lru_cache(maxsize=8)
def words_of(source: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names and the strings that a chat template is written with; an ``InputError`` if it is damaged."""
    from jinja2 import Environment, TemplateSyntaxError

    try:
        tokens = [*Environment().lexer.tokenize(source)]
    except TemplateSyntaxError as error:
        raise _damaged(error) from None
    return tuple(frozenset(one.value for one in tokens if one.type == kind) for kind in ("name", "string"))


def _damaged(error: "TemplateSyntaxError") -> InputError:
    return InputError(f"the tokenizer's chat template is damaged in line {error.lineno}: {error.message}")


def dated(template: Template, tokenizer: "PreTrainedTokenizerBase", begun: str | None = None) -> Template:
    """Return a template that has a date, if the tokenizer's chat template reads the clock.

    Args:
        template: The template.
        tokenizer: The tokenizer.
        begun: The date that prompts were begun with, where the template has none; None: it is now.

    Returns:
        The same in all processes of a command, which all have to come here.
    """
    if not reads_clock(template, tokenizer):
        return template
    date = template.date or begun or datetime.now().isoformat(timespec="seconds")
    return replace(template, date=Processes.current().agree(date))


def reads_clock(template: Template, tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Tell whether prompts are made by a chat template that asks what time it is, and is told."""
    sources = _sources(tokenizer).values() if template.chat else ()
    return any(_CLOCK in words_of(source)[0] and not source.startswith(_STOPPED) for source in sources)


def stop_clock(template: Template, tokenizer: "PreTrainedTokenizerBase") -> None:
    """Give the tokenizer's chat template the date of ``template``, so that any engine that serves it has that date."""
    sources = _sources(tokenizer)
    if template.date and sources:
        stopped = {name: at_date(template.date, source) for name, source in sources.items()}
        tokenizer.chat_template = stopped if isinstance(tokenizer.chat_template, Mapping) else stopped["default"]


def on_one_date(tokenizer: "PreTrainedTokenizerBase") -> dict[str, str]:
    """Return the chat templates of a tokenizer by name, with the clock of all of them at one date: to compare them."""
    return {name: at_date("2000-01-01", source) for name, source in _sources(tokenizer).items()}


def _sources(tokenizer: "PreTrainedTokenizerBase") -> dict[str, str]:
    """Return the chat templates of a tokenizer by name."""
    sources = tokenizer.chat_template or {}
    return dict(sources) if isinstance(sources, Mapping) else {"default": sources}


def clock_note(template: Template) -> str | None:
    """Return a line that says which date prompts have, if a chat template writes one."""
    if template.date:
        return f"note: the tokenizer's chat template reads the clock; in all prompts it is {template.date}, on any day"
    return None


@lru_cache(maxsize=8)
def at_date(date: str, source: str) -> str:
    """Return a chat template in which the clock stands still at ``date``, if it reads any."""
    if _CLOCK not in words_of(source)[0]:
        return source
    if source.startswith(_STOPPED):
        source = source.partition(_END)[2]
    time = datetime.fromisoformat(date)
    values = {directive: time.strftime(directive) for directive in _DIRECTIVES if directive in source}
    values = {"%%": "\ue000", **values, "\ue000": "%"}
    told = f"{{%- for directive, value in {values!r}.items() -%}}"
    told += "{%- set told.text = told.text.replace(directive, value) -%}{%- endfor -%}{{- told.text -}}"
    return f"{_STOPPED}{told}{_END}{source}"
