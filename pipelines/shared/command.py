"""A command of this project: options from a YAML file, errors in one line, quiet libraries."""

import errno
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click
from click.core import ParameterSource

from mixlm.data.values import is_text
from mixlm.errors import InputError, is_out_of_memory
from mixlm.processes import Processes
from pipelines.shared.config_file import CONFIG, config_option
from pipelines.shared.help import OUTPUT, SHOWN, HelpCommand, help_all_option, renamed
from pipelines.shared.loading import imports_told
from pipelines.shared.progress import AS_JSON
from pipelines.shared.terminal import (
    Manner,
    echo_results,
    manner,
    notice,
    prepare_output,
    printed_in,
    shown,
    shown_errors,
)
from vqvae.stopping import ENDS, Stopped, taken_by


Results = Mapping[str, Any] | None  # of a command; None: another process tells them
_QUIET, _AS_JSON, _VERBOSE = "mixlm.quiet", "mixlm.json", "mixlm.verbose"  # where a command notes those options
_LESS_MEMORY = ("micro_batch_size", "batch_size")  # the first that a command has
INTERRUPTED = 130  # the exit status that a shell gives to Ctrl-C

_SILENT = {
    "DATASETS_VERBOSITY": "error",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ROOM = "make room there, and give the command again"
_UNWRITTEN = ("inline_container.cc", "PytorchStreamWriter")  # in what torch says


def say(line: str) -> None:
    """Print a ``notice``; of several processes that run a command together only the first does."""
    if Processes.current().first:
        notice(line)


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
    """An error that ends a command with one line on stderr.

    Args:
        message: The line.
        exit_code: The exit status.
        results: What the command has found out all the same.
    """

    def __init__(self, message: str, exit_code: int = 1, results: Results = None) -> None:
        super().__init__(shown(" ".join(message.split())))
        self.exit_code, self.results = exit_code, results


class Group(click.Group):
    """A group of commands whose errors are ``shown``."""

    def main(self, *args: Any, **settings: Any) -> Any:
        """Be a program."""
        prepare_output()
        return super().main(*args, **settings)

    def make_context(self, *args: Any, **settings: Any) -> click.Context:
        """Parse the command line up to the name of a command."""
        with shown_errors(), one_line_errors():
            return super().make_context(*args, **settings)

    def invoke(self, ctx: click.Context) -> Any:
        """Find the command and run it."""
        with shown_errors(), one_line_errors():
            return super().invoke(ctx)


class Command(HelpCommand):
    """A command whose options can come from a YAML file and whose errors are one line.

    It returns its results, by names that stay; with ``--json`` they are printed, and what it prints of them is not.
    Several processes of a launch are refused, unless they share its work (``shares``).
    """

    shares = False

    def main(self, *args: Any, **settings: Any) -> Any:
        """Be a program."""
        prepare_output()
        return super().main(*args, **settings)

    def make_context(self, *args: Any, **settings: Any) -> click.Context:
        """Parse the command line; what is wrong with it is ``shown``, also what the system says of the YAML file."""
        with shown_errors(), one_line_errors():
            return super().make_context(*args, **settings)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line; a wrong value that came from the YAML file is reported with the file's name."""
        try:
            typed, *_ = self.make_parser(ctx).parse_args(args=[*args])  # --resume may import what is to be told
            quiet, verbose = (bool(typed.get(name)) for name in ("quiet", "verbose"))
            with printed_in(Manner(quiet, verbose=verbose)), imports_told():
                rest = super().parse_args(ctx, args)
        except click.BadParameter as error:
            name = error.param.name if error.param else None
            if name and ctx.get_parameter_source(name) is ParameterSource.DEFAULT_MAP:
                error.message = f"{ctx.meta[CONFIG]}: {error.message}"
            raise
        except click.NoSuchOption as error:
            if said := renamed(error.option_name, self):
                raise click.UsageError(said, ctx) from None
            raise
        self._join_lists(ctx)
        self._require_text(ctx)
        if ctx.meta.get(_QUIET) and ctx.meta.get(_VERBOSE):
            raise click.UsageError("--quiet and --verbose contradict each other; leave one out", ctx)
        return rest

    def _require_text(self, ctx: click.Context) -> None:
        """Refuse bytes that are no text, which could be written to no file and given to no tokenizer, and no path."""
        for param in self.params:
            value = ctx.params.get(param.name)
            for text in map(str, value if isinstance(value, tuple) else (value,)):
                if not is_text(text):
                    raise click.BadParameter(f"{text!a} holds what is no UTF-8 text; write it in UTF-8", ctx, param)
                if not text and isinstance(param.type, click.Path):
                    raise click.BadParameter("is empty; give a path, or leave it out", ctx, param)

    def _join_lists(self, ctx: click.Context) -> None:
        """Put the values of an option that takes several after the file's, so that one more does not drop those."""
        for option in self.params:
            before = (ctx.default_map or {}).get(option.name)
            if before and option.multiple and ctx.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
                ctx.params[option.name] = (*option.type_cast_value(ctx, before), *ctx.params[option.name])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, with libraries quiet and errors turned into one line."""
        told, own = printed_in(_manner_of(ctx)), [parameter.name for parameter in self.params]
        with told, quiet_libraries(), shown_errors(), one_line_errors(own), taken_by(_end, ENDS), imports_told():
            try:
                if not self.shares:
                    Processes.current().require_one(f"mixlm {ctx.info_name}")
                results = super().invoke(ctx)
            except Failure as failure:
                _give(failure.results)
                raise
            _give(results)
            _leave_the_others()
            return results


def _manner_of(ctx: click.Context) -> Manner:
    """Return how a command is to print; one whose progress another process shows leaves notices to that."""
    quiet, as_json, verbose = (ctx.meta.get(name, False) for name in (_QUIET, _AS_JSON, _VERBOSE))
    return Manner(quiet or (AS_JSON in os.environ and not verbose), as_json, verbose)


def _give(results: Results) -> None:
    if results is not None and manner().json:
        echo_results(results)


def _output_options(grouped: bool) -> list[click.Option]:
    """Return the options that say how a command prints, for the group of them in its help if it has groups."""

    def option(name: str, *flags: str, help: str) -> click.Option:
        """Return an option whose value is noted by its name."""
        made = click.Option(flags, is_flag=True, expose_value=False, callback=note(name), help=help)
        made.group = OUTPUT if grouped else None
        return made

    def note(name: str) -> Callable[..., None]:
        """Return what notes a value."""
        return lambda ctx, parameter, given: ctx.meta.update({name: given})

    return [
        option(_QUIET, "-q", "--quiet", help="Print results, warnings and errors alone."),
        option(_AS_JSON, "--json", help="Print results as one line of JSON."),
        option(_VERBOSE, "-v", "--verbose", help="Show what libraries say, and what takes time."),
    ]


def command(name: str, shares: bool = False, **settings: Any) -> Callable[[Callable[..., Any]], Command]:
    """Return a decorator that makes a function a command of this project.

    The command takes ``--config FILE.yaml``, ``--quiet``, ``--json`` and ``--verbose`` besides its own options,
    prints the user's mistakes (``InputError``) and the system's refusals (``OSError``) as one line with exit status 1,
    and wrong usage with exit status 2.

    Args:
        name: Name of the command.
        shares: Whether the processes of a launch share its work.
        **settings: Further arguments of ``click.command``, and ``first``, names of the parameters that ``--help``
            shows.
    """

    def decorate(function: Callable[..., Any]) -> Command:
        """Make the command."""
        with_help = help_all_option(config_option(function))
        made = click.command(name, cls=Command, context_settings=SHOWN, **settings)(with_help)
        made.shares = shares
        made.params += _output_options(any(getattr(param, "group", None) for param in made.params))
        return made

    return decorate


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep log lines, bars and warnings of libraries off the terminal, unless the user asks for them.

    He does by ``--verbose``, or by the environment. Works on libraries that are imported afterwards, which is why
    commands import them inside their functions.
    """
    if manner().verbose:
        yield
        return
    for name, value in _SILENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        yield


def _end(signum: int, frame: FrameType | None) -> None:
    """End a command that the system asks to end as Ctrl-C does: what it began to write is removed."""
    raise Stopped("ended by the system", signum)


@contextmanager
def one_line_errors(options: Iterable[str] = ()) -> Iterator[None]:
    """Turn what a user or the system did wrong into a ``Failure``; anything else is a bug and keeps its traceback.

    Args:
        options: Those of the command, by their parameters' names; of them is advised what takes less memory.
    """
    less = next((f"--{name.replace('_', '-')}" for name in _LESS_MEMORY if name in options), "")
    remedy = f"give a smaller {less}" if less else "close other programs, or use a machine with more"
    try:
        yield
    except (click.ClickException, click.Abort, click.exceptions.Exit):  # of a command in a group, told already
        raise
    except InputError as error:
        raise Failure(str(error)) from None
    except Stopped as ended:
        raise Failure(str(ended), ended.status) from None
    except KeyboardInterrupt:
        raise Failure("interrupted", INTERRUPTED) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        full = f"; {_ROOM}" if error.errno in _FULL else ""
        raise Failure(f"{what}{full}") from None
    except Exception as error:  # some of torch's and safetensors' are of no class of their own
        if is_out_of_memory(error):
            raise Failure(f"out of memory; {remedy}") from None
        if (refused := _refusal(str(error))) is None:
            raise
        raise Failure(f"the system refuses a file ({refused}); {_ROOM}") from None


def _refusal(text: str) -> str | None:
    """Return what the system said, if an error of a library that is no ``OSError`` passes it on; else None."""
    said = re.search(r"([^:]+) \(os error \d+\)", text)  # as what is written in Rust does
    if said:
        return said[1].strip()
    return "perhaps its disk is full" if any(sign in text for sign in _UNWRITTEN) else None
