"""What all commands share: options from a YAML file, errors in one line, quiet libraries, the template's options."""

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from mixlm.errors import InputError
from mixlm.processes import Processes
from pipelines.progress import progress_bar
from pipelines.shipped import ConfigFile


if TYPE_CHECKING:
    from mixlm.template import Template

__all__ = ["Command", "command", "progress_bar", "say", "template_of", "template_options"]

INTERRUPTED = 130  # the exit status that a shell gives to Ctrl-C
_CONFIG = "mixlm.config"
_QUIET = {
    "DATASETS_VERBOSITY": "error",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}


def say(line: str) -> None:
    """Print a line; of several processes that run a command together only the first does."""
    if Processes.current().first:
        click.echo(line)


def _leave_the_others() -> None:
    """End a process that a launcher started, once its work is done.

    The threads that bind such processes end in no fixed order, and one of them now and then takes its process down
    with an error; the launcher would then call the whole command failed. So nothing is left to them.
    """
    if "torch" in sys.modules:
        from torch import distributed

        if distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)


class Failure(click.ClickException):
    """An error that ends a command with one line on stderr."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(" ".join(message.split()))
        self.exit_code = exit_code


class Command(click.Command):
    """A command whose options can come from a YAML file and whose errors are one line."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line; a wrong value that came from the YAML file is reported with the file's name."""
        try:
            rest = super().parse_args(ctx, args)
        except click.BadParameter as error:
            name = error.param.name if error.param else None
            if name and ctx.get_parameter_source(name) is ParameterSource.DEFAULT_MAP:
                error.message = f"{ctx.meta[_CONFIG]}: {error.message}"
            raise
        self._join_lists(ctx)
        return rest

    def _join_lists(self, ctx: click.Context) -> None:
        """Put the values of an option that takes several after the file's, so that one more does not drop those."""
        for option in self.params:
            before = (ctx.default_map or {}).get(option.name)
            if before and option.multiple and ctx.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
                ctx.params[option.name] = (*option.type_cast_value(ctx, before), *ctx.params[option.name])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, with libraries quiet and errors turned into one line."""
        with quiet_libraries(), one_line_errors():
            result = super().invoke(ctx)
            _leave_the_others()
            return result


def command(name: str, **settings: Any) -> Callable[[Callable[..., Any]], Command]:
    """Return a decorator that makes a function a command of this project.

    The command takes ``--config FILE.yaml`` besides its own options, prints the user's mistakes (``InputError``) and
    the system's refusals (``OSError``) as one line with exit status 1, and wrong usage with exit status 2.

    Args:
        name: Name of the command.
        **settings: Further arguments of ``click.command``.
    """

    def decorate(function: Callable[..., Any]) -> Command:
        """Make the command."""
        settings.setdefault("context_settings", {"help_option_names": ["-h", "--help"], "max_content_width": 120})
        return click.command(name, cls=Command, **settings)(config_option(function))

    return decorate


def config_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--config FILE.yaml`` to a command; the name of a shipped recipe will do."""
    return click.option(
        "--config",
        type=ConfigFile(),
        metavar="FILE.yaml|RECIPE",
        is_eager=True,
        expose_value=False,
        callback=_read_config,
        help="YAML file with values for these options, or a shipped recipe's name; the command line goes before it.",
    )(function)


def _read_config(ctx: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    options = _options_by_name(ctx.command)
    values: dict[str, str | list[str]] = {}
    for key, value in _load_mapping(path).items():
        name = key.replace("-", "_") if isinstance(key, str) else key
        if name not in options:
            raise click.UsageError(f"{path}: {_unknown(str(key), options)}", ctx)
        option = options[name]
        if option.name in values:
            raise click.UsageError(f"{path}: '{key}' is given twice", ctx)
        values[option.name] = _as_typed(value, option, f"{path}: '{key}'", ctx)
    ctx.meta[_CONFIG] = path
    ctx.default_map = {**(ctx.default_map or {}), **values}


def _options_by_name(command: click.Command) -> dict[str, click.Option]:
    """Return a command's options by their long names, ``_`` for ``-``."""
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    return {
        name.removeprefix("--").replace("-", "_"): option
        for option in options
        if option.name not in ("config", "help")
        for name in option.opts
        if name.startswith("--")
    }


def _load_mapping(path: Path) -> dict[Any, Any]:
    """Read a YAML mapping with every scalar as it is written, so that values are checked like typed ones."""
    import yaml

    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = f", line {error.problem_mark.line + 1}" if getattr(error, "problem_mark", None) else ""
        raise click.UsageError(f"{path}{where}: not valid YAML; write one 'option: value' on each line") from None
    if not isinstance(values or {}, dict):
        raise click.UsageError(f"{path}: holds no mapping; write one 'option: value' on each line")
    return values or {}


def _unknown(key: str, options: dict[str, click.Option]) -> str:
    close = get_close_matches(key.replace("-", "_"), options)
    known = close or sorted(options)
    question = "did you mean" if close else "the options are"
    return f"unknown option '{key}'; {question} {', '.join(name.replace('_', '-') for name in known)}"


def _as_typed(value: Any, option: click.Option, what: str, ctx: click.Context) -> str | list[str]:
    """Check the form of a value; its type is click's to check."""
    several = option.multiple or option.nargs != 1
    if several and isinstance(value, str):
        return [value]
    if isinstance(value, str) or several and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise click.UsageError(f"{what} must be {'a list of values' if several else 'one value'}", ctx)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep log lines, bars and warnings of libraries off the terminal, unless the user's environment asks for them.

    Works on libraries that are imported afterwards, which is why commands import them inside their functions.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        yield


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what a user or the system did wrong into a ``Failure``; anything else is a bug and keeps its traceback."""
    try:
        yield
    except InputError as error:
        raise Failure(str(error)) from None
    except KeyboardInterrupt:
        raise Failure("interrupted", INTERRUPTED) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        raise Failure(what) from None
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and type(error).__name__ != "OutOfMemoryError":
            raise
        raise Failure("out of memory; give a smaller --micro-batch-size or --batch-size") from None


_TEMPLATE = {
    "prompt_template": ("prompt", "Prompt, with the field {question}; \\n is a new line.  [default: {question}\\n]"),
    "separator": ("separator", "Stands between steps.  [default: \\n]"),
    "solution_template": ("solution", "Solution, with the field {answer}.  [default: \\n### {answer}]"),
}


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
    from mixlm.template import Template

    given = {field: values.pop(name) for name, (field, _) in _TEMPLATE.items()}
    texts = {field: text.replace("\\n", "\n") for field, text in given.items() if text is not None}
    return Template(chat=values.pop("chat"), **texts)
