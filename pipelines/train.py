"""mixlm-train: fine-tune a language model on a mix of latent and text tokens."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mixlm.planning.plan import MEASURING
from mixlm.training.options import LEAST, TrainingOptions
from pipelines.reports.plan import print_plan
from pipelines.shared.command import Results, command, say
from pipelines.shared.help import DATA, MEMORY, METHOD, MODEL, OPTIMISER, OUTPUT, group
from pipelines.shared.loading import look_first
from pipelines.shared.options import (
    Count,
    Number,
    answer_pattern_option,
    dry_run_option,
    options_of,
    template_of,
    template_options,
    template_values,
    text_of,
)
from pipelines.shared.progress import progress_bar
from pipelines.shared.resume import resume_option
from pipelines.shared.terminal import echo, notice


if TYPE_CHECKING:
    from mixlm.run import Run

_field = options_of(TrainingOptions)


def _option(name: str, help: str, **settings: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a click option for a field of ``TrainingOptions``, with the field's default and least value."""
    if name in LEAST:
        settings["type"] = Count(LEAST[name])
    return _field(name, help, **settings)


_rate = Number(min=0, min_open=True)
_FIRST = (
    *("model", "lora_rank", "valid", "method", "method_option", "learning_rate", "epochs", "steps", "batch_size"),
    *("bf16", "micro_batch_size", "out", "dry_run", "resume"),
)


def told(path: Path) -> dict[str, Any]:
    """Return what an unfinished run was told, as values of the parameters of the command."""
    from mixlm.training.folder import begun_run

    values, template = begun_run(path)
    assigned = [f"{name}={text_of(value)}" for name, value in values.pop("method_options").items()]
    return {"out": str(path), "method_option": assigned} | values | template_values(template)


@command("train", shares=True, first=_FIRST)
@click.argument("data")
@group(
    MODEL,
    click.option("--model", required=True, help="Base model: a folder, Hub id, .gguf file, or .yaml, from scratch."),
    _option("lora_rank", "Train a LoRA adapter of this rank, and the new rows; 0: all weights."),
    _option(
        "new_token_lr",
        "Peak rate of new vocabulary rows.  [default: the greater of --learning-rate and 1e-3]",
        type=_rate,
    ),
    _option(
        "new_token_noise",
        "Noise on the mean from which new rows start, in standard deviations of the old.",
        type=_rate,
    ),
    _option(
        "new_token_start",
        "Rows of latents start at the mean of all rows, at those of the text they stand for, or as stage 1's codes "
        "lie.  [default: text in a trained model, else mean]",
    ),
    _option(
        "attention", "Attention by transformers' name: sdpa, flash_attention_2, ..  [default: its choice]", type=str
    ),
)
@group(
    DATA,
    click.option("--valid", type=click.Path(), help="Validation file, where DATA is a raw file."),
    _option("max_length", "Leave out samples longer than this; 0: the model's context."),
    _option("check", "How answers are compared, for --select accuracy and later.  [default: as DATA means it]"),
)
@answer_pattern_option
@template_options
@group(
    METHOD,
    click.option("--method", required=True, help="Way of reasoning; `mixlm methods` lists them."),
    click.option(
        "-o", "--method-option", multiple=True, metavar="NAME=VALUE", help="Option of the method, e.g. mix=uniform."
    ),
)
@group(
    OPTIMISER,
    _option(
        "learning_rate", "Peak learning rate.  [default: 1e-3 from scratch, 1e-4 with LoRA, else 1e-5]", type=_rate
    ),
    _option("epochs", "Passes over the training rows.", type=_rate),
    _option("steps", "Optimizer steps; 0: as --epochs says."),
    _option("batch_size", "Samples of one optimizer step, over all devices."),
    _option("warmup_steps", "Steps of linear warm-up."),
    _option("scheduler", "Schedule after it."),
    _option("weight_decay", "Weight decay of AdamW."),
    _option("adam_beta2", "Second beta of AdamW."),
    _option("max_grad_norm", "Clip gradients to this norm."),
    _option("loss_on_prompt", "Learn the prompt too."),
    _option("seed", "Seed of new rows, order and mixing."),
)
@group(
    MEMORY,
    _option("micro_batch_size", "Samples of one forward pass on one device; 0: as many as its memory has room for."),
    _option("bf16", "Autocast to bfloat16; weights stay fp32."),
    _option("activation_checkpointing", "Trade time for memory."),
    _option("pack", "Lay several samples in one row."),
    _option("max_row_tokens", "Longest packed row; 0: the longest sample of the batch."),
    _option("compile", "Compile the model's blocks with torch."),
    _option("workers", "Processes that read ahead."),
)
@group(
    OUTPUT,
    click.option("--out", required=True, type=click.Path(), help="Run folder to write."),
    _option("save_every", "Checkpoints, to go on from: every so many steps, minutes (2m), or none.", type=str),
    _option("save_dtype", "Dtype of the saved weights."),
    _option("log_every", "Steps between log lines."),
    _option("eval_every", "Steps between evaluations on the validation rows; 0: none."),
    _option("select", "Checkpoint to keep: the last, or the best on the validation rows."),
    _option("report_to", "Experiment tracker."),
    dry_run_option,
)
@resume_option("RUN", told)
def main(
    data: str, model: str, out: str, method: str, method_option: tuple[str, ...], dry_run: bool, **values: Any
) -> Results:
    """Fine-tune a language model on DATA by a method of reasoning.

    DATA is the folder that mixlm-encode wrote, or, for methods that need no codes (`mixlm methods`), a file of traces.
    An interrupted run (a kill, Ctrl-C) goes on from its last checkpoint when the same command is given again, or
    --resume RUN.
    """
    from mixlm.methods.parse import parse_assignments

    template = template_of(values)
    options = TrainingOptions(method, parse_assignments(method_option), template, **values)  # before torch is imported
    look_first(None, data, values["valid"])
    if dry_run:
        from mixlm.planning.training import plan_training

        with progress_bar(MEASURING) as advance:
            plan = plan_training(data, model, out, options, advance, say)
        return print_plan(plan)
    from mixlm.processes import Processes
    from mixlm.run import is_finished
    from mixlm.training.train import train

    there = is_finished(out)
    with progress_bar("training", "--steps", "a smaller model") as advance:
        run = train(data, model, out, options, advance, say)
    if not Processes.current().first:
        return None
    if not there:
        echo(f"wrote {run.path}")
    notice(_next(run.path, data, options.valid))
    return _results(run)


def _results(run: "Run") -> dict[str, Any]:
    """Return where a run is, how long it was trained, and each figure as it was logged last."""
    from vqvae.training.curve import CURVE, read_curve

    figures = {name: value for line in read_curve(run.path / CURVE) for name, value in line.items()}
    figures.pop("step", None)
    told = {"out": run.path, "method": run.method_name, "steps": run.step + 1, "seconds": figures.pop("seconds", None)}
    return told | {"figures": figures}


def _next(run: Path, data: str, valid: str | None) -> str:
    """Return what to do with a run: questions that it has not learned from tell what it can do."""
    from mixlm.encoding.manifest import is_encoded, read_manifest

    ask = f'next: mixlm-generate {shlex.quote(str(run))} "a question"'
    held_out = data if is_encoded(data) and read_manifest(data)["counts"]["valid"]["samples"] else valid
    if held_out is None:
        return f"{ask}   or   mixlm evaluate {shlex.quote(str(run))} FILE, of questions that it has not learned from"
    return f"{ask}   or   mixlm evaluate {shlex.quote(str(run))} {shlex.quote(held_out)}"
