"""mixlm-train: fine-tune a language model on a mix of latent and text tokens."""

from dataclasses import fields
from typing import Any, get_args

import click

from mixlm.tasks import CheckMode
from mixlm.training.options import TrainingOptions
from pipelines.shared.command import command, say
from pipelines.shared.options import template_of, template_options
from pipelines.shared.progress import progress_bar


_DEFAULTS = {field.name: field.default for field in fields(TrainingOptions)}


def _option(name: str, help: str, **kwargs: Any):
    """Return a click option for a field of ``TrainingOptions``, with the field's default."""
    default = _DEFAULTS[name]
    if isinstance(default, bool):
        flag = f"--{name}/--no-{name}".replace("_", "-")
        return click.option(flag, name, default=default, show_default=True, help=help)
    kwargs = {"type": type(default), "show_default": True, **kwargs}
    return click.option(f"--{name}".replace("_", "-"), name, default=default, help=help, **kwargs)


_positive, _count = click.IntRange(min=1), click.IntRange(min=0)
_rate = click.FloatRange(min=0, min_open=True)


@command("train")
@click.argument("data")
@click.option(
    "--model", required=True, help="Base model: a folder, Hub id, .gguf file, or .yaml to train from scratch."
)
@click.option("--out", required=True, type=click.Path(), help="Run folder to write.")
@click.option("--method", required=True, help="Way of reasoning; `mixlm methods` lists them.")
@click.option(
    "-o", "--method-option", multiple=True, metavar="NAME=VALUE", help="Option of the method, e.g. mix=uniform."
)
@click.option("--valid", type=click.Path(), help="Validation file, where DATA is a raw file.")
@_option("learning_rate", "Peak learning rate.", type=_rate)
@_option(
    "new_token_lr", "Peak rate of new vocabulary rows.  [default: the greater of --learning-rate and 1e-3]", type=_rate
)
@_option(
    "new_token_noise", "Noise on the mean from which new rows start, in standard deviations of the old.", type=_rate
)
@_option(
    "new_token_start",
    "Rows of latents start at the mean of all rows, or at the rows of the text they stand for.",
    type=click.Choice(["mean", "text"]),
)
@_option("epochs", "Passes over the training rows.", type=_rate)
@_option("steps", "Optimizer steps; 0: as --epochs says.", type=_count)
@_option("batch_size", "Samples of one optimizer step, over all devices.", type=_positive)
@_option("micro_batch_size", "Samples of one forward pass on one device; 0: all that fall to it.", type=_count)
@_option("warmup_steps", "Steps of linear warm-up.", type=_count)
@_option("scheduler", "Schedule after it.", type=click.Choice(["cosine", "linear", "constant_with_warmup"]))
@_option("weight_decay", "Weight decay of AdamW.")
@_option("adam_beta2", "Second beta of AdamW.")
@_option("max_grad_norm", "Clip gradients to this norm.")
@_option("bf16", "Autocast to bfloat16; weights stay fp32.")
@_option("lora_rank", "Train a LoRA adapter of this rank, and the new rows; 0: all weights.", type=_count)
@_option("loss_on_prompt", "Learn the prompt too.")
@_option("pack", "Lay several samples in one row.")
@_option("max_row_tokens", "Longest packed row; 0: the longest sample of the batch.", type=_count)
@_option("max_length", "Leave out samples longer than this; 0: the model's context.", type=_count)
@_option("activation_checkpointing", "Trade time for memory.")
@_option("attention", "Attention by transformers' name: sdpa, flash_attention_2, ..  [default: its choice]", type=str)
@_option("compile", "Compile the model's blocks with torch.")
@_option("seed", "Seed of new rows, order and mixing.")
@_option("workers", "Processes that read ahead.", type=_count)
@_option("log_every", "Steps between log lines.", type=_positive)
@_option("save_every", "Steps between checkpoints; 0: none.", type=_count)
@_option("eval_every", "Steps between evaluations on the validation rows; 0: none.", type=_count)
@_option(
    "select",
    "Checkpoint to keep: the last, or the best on the validation rows.",
    type=click.Choice(["last", "loss", "accuracy"]),
)
@_option("check", "How answers are compared for --select accuracy.", type=click.Choice(get_args(CheckMode)))
@_option("report_to", "Experiment tracker.", type=click.Choice(["none", "tensorboard", "trackio", "wandb"]))
@_option("save_dtype", "Dtype of the saved weights.", type=click.Choice(["float32", "bfloat16", "float16"]))
@template_options
def main(
    data: str, model: str, out: str, method: str, method_option: tuple[str, ...], valid: str | None, **values: Any
) -> None:
    """Fine-tune a language model on DATA by a method of reasoning.

    DATA is the folder that mixlm-encode wrote, or, for methods that need no codes (`mixlm methods`), a file of traces.
    An interrupted run goes on from its last checkpoint when the same command is given again.
    """
    from mixlm.methods.parse import parse_assignments
    from mixlm.training.train import train

    template = template_of(values)
    options = TrainingOptions(method=method, method_options=parse_assignments(method_option), **values)
    with progress_bar("training") as progress:
        run = train(data, model, out, options, template, valid, progress, say=say)
    say(f"wrote {run.path}")
    say(f'next: mixlm-generate {run.path} "a question"   or   mixlm evaluate {run.path} {data}')
