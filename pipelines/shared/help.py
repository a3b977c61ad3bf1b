"""Help of a command: in groups, first the options that people use first, and all of them by ``--help-all``."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import click
import cloup
from cloup.formatting import HelpSection

from pipelines.shared.terminal import echo


_TITLES = ("Model", "Data", "Method", "Optimiser", "Decoding", "Memory and speed", "Server", "Output", "Other options")
GROUPS = tuple(map(cloup.OptionGroup, _TITLES))
MODEL, DATA, METHOD, OPTIMISER, DECODE, MEMORY, SERVER, OUTPUT, _OTHER = GROUPS
SHOWN = {"help_option_names": ["-h", "--help"], "max_content_width": 120}  # how click shows the help of every command
_ALL = "mixlm.help-all"  # where a command notes that all options are asked for

Option = Callable[[Callable[..., Any]], Callable[..., Any]]  # what click.option returns

# What TRL, transformers, PEFT and vLLM call what has another name here.
ELSEWHERE = {
    "model-name-or-path": "--model",
    "dataset-name": "the first argument, DATA",
    "dataset-path": "the first argument, DATA",
    "train-file": "the first argument, DATA",
    "validation-file": "--valid",
    "output-dir": "--out",
    "per-device-train-batch-size": "--micro-batch-size (samples of a forward pass); a step has --batch-size",
    "per-device-eval-batch-size": "--micro-batch-size; mixlm evaluate has --batch-size",
    "gradient-accumulation-steps": "--batch-size / --micro-batch-size; give the samples of a step as --batch-size",
    "num-train-epochs": "--epochs",
    "max-steps": "--steps",
    "lr": "--learning-rate",
    "lr-scheduler-type": "--scheduler",
    "warmup-ratio": "--warmup-steps, a number of steps",
    "adam-beta-2": "--adam-beta2",
    "eval-steps": "--eval-every",
    "eval-strategy": "--eval-every STEPS",
    "evaluation-strategy": "--eval-every STEPS",
    "logging-steps": "--log-every",
    "save-steps": "--save-every",
    "save-strategy": "--save-every STEPS, minutes (2m) or none",
    "save-total-limit": "no option: the last checkpoint is kept, and with --select the best",
    "load-best-model-at-end": "--select loss or --select accuracy",
    "metric-for-best-model": "--select",
    "resume-from-checkpoint": "--resume RUN, or the same command again",
    "overwrite-output-dir": "no option: give another --out, or remove the folder",
    "gradient-checkpointing": "--activation-checkpointing",
    "max-seq-length": "--max-length",
    "max-length": "--max-new-tokens",
    "max-seq-len": "--max-length",
    "packing": "--pack, which is the default",
    "attn-implementation": "--attention",
    "torch-compile": "--compile",
    "dtype": "--bf16 (autocast) and --save-dtype",
    "torch-dtype": "--bf16 (autocast) and --save-dtype",
    "fp16": "--bf16",
    "use-peft": "--lora-rank RANK",
    "lora-r": "--lora-rank",
    "lora-alpha": "no option: it is twice the rank, --lora-rank",
    "dataloader-num-workers": "--workers",
    "run-name": "--out",
    "do-train": "mixlm-train",
    "do-eval": "mixlm evaluate",
    "max-tokens": "--max-new-tokens",
    "n": "--samples",
    "num-samples": "--samples",
    "tasks": "the second argument, DATA",
    "tensor-parallel-size": "--endpoint URL of a server that was started with it",
}


def renamed(key: str, command: click.Command) -> str | None:
    """Return in a sentence what an unknown option is called here; None if nobody knows.

    Args:
        key: As typed or written, with or without dashes before it.
        command: Which does not know it.
    """
    name = key.lstrip("-").replace("_", "-").lower()
    own = {flag for param in command.params if isinstance(param, click.Option) for flag in param.opts}
    if f"--{name}" in own:
        return f"{key}: it is written --{name} here"
    here = ELSEWHERE.get(name)
    if here is None or here.startswith("--") and here.split()[0].rstrip(",;") not in own:
        return None
    return f"{key}: here that is {here}"


def group(part: cloup.OptionGroup, *options: Option) -> Option:
    """Return what adds options to a command, in this order, as a part of its help."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        """Add them."""
        before = {id(param) for param in getattr(function, "__click_params__", ())}
        for option in reversed(options):
            function = option(function)
        for param in function.__click_params__:
            if id(param) not in before and not hasattr(param, "group"):
                param.group = part
        return function

    return add


class HelpCommand(cloup.Command):
    """A command with ``--help`` and ``--help-all``.

    Attributes:
        first: Names of the parameters that ``--help`` shows; none: all.
    """

    first: ClassVar[Sequence[str]] = ()

    def __init__(self, *args: Any, first: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.first = first

    def format_params(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in their groups."""
        everything = not self.first or ctx.meta.get(_ALL, False)
        records: dict[cloup.OptionGroup, list[tuple[str, str]]] = {part: [] for part in GROUPS}
        hidden = 0
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is None:
                continue
            if everything or param.name in self.first or {"--help", "--help-all"} & {*param.opts}:
                records[getattr(param, "group", None) or _OTHER].append(record)
            else:
                hidden += 1
        parts = [part for part in GROUPS if records[part]]
        titles = [part.title for part in parts] if len(parts) > 1 else ["Options"]
        sections = [HelpSection(title, records[part]) for title, part in zip(titles, parts, strict=True)]
        formatter.write_many_sections(sections)
        if hidden:
            with formatter.indentation():
                formatter.write_paragraph()
                formatter.write_text(f"--help-all shows {hidden} more options.")


def help_all_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--help-all`` to a command."""
    return click.option(
        "--help-all", is_flag=True, is_eager=True, expose_value=False, callback=_show_all, help="Show all options."
    )(function)


def _show_all(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        ctx.meta[_ALL] = True
        echo(ctx.get_help())
        ctx.exit()
