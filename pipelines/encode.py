"""mixlm-encode: compress reasoning traces into codes."""

from typing import Any

import click
from click.core import ParameterSource

from pipelines.shared.command import command, say
from pipelines.shared.options import template_of, template_options
from pipelines.shared.progress import progress_bar


_positive, _count = click.IntRange(min=1), click.IntRange(min=0)
_SHAPE = (
    *("chunk_length", "compression_rate", "codebook_size", "hidden_size", "num_layers", "num_heads", "code_dim"),
    *(
        "condition_on_prompt",
        "context",
        "max_length",
        "quantizer",
        "commitment_weight",
        "warmup_steps",
        "code_dropout",
    ),
)
_TRAINING = ("steps", "batch_size", "learning_rate", "seed", "save_every", "bf16", "workers")


@command("encode")
@click.argument("traces")
@click.option(
    "--model", required=True, help="Whose tokenizer: a folder, Hub id, .gguf file, or .yaml of a model from scratch."
)
@click.option("--out", required=True, type=click.Path(), help="Folder to write.")
@click.option("--valid", type=click.Path(), help="File of validation samples.")
@click.option(
    "--valid-fraction", default=0.05, show_default=True, type=click.FloatRange(0, 0.5), help="Else: share held out."
)
@click.option("--vqvae", type=click.Path(), help="Use this trained VQ-VAE instead of training one.")
@click.option("--chunk-length", default=16, show_default=True, type=_positive, help="Trace tokens of a chunk, L.")
@click.option("--compression-rate", type=_positive, help="Trace tokens of a code, r; divides L.  [default: L]")
@click.option("--codebook-size", default=1024, show_default=True, type=_positive, help="Number of codes, K.")
@click.option("--hidden-size", default=512, show_default=True, type=_positive, help="Width of the VQ-VAE.")
@click.option("--num-layers", default=2, show_default=True, type=_positive, help="Blocks of encoder and of decoder.")
@click.option("--num-heads", default=4, show_default=True, type=_positive, help="Attention heads.")
@click.option("--code-dim", default=64, show_default=True, type=_positive, help="Width of a codebook vector.")
@click.option("--condition-on-prompt/--no-condition-on-prompt", default=True, help="Whether codes are read given P.")
@click.option(
    "--context",
    default="chunk",
    show_default=True,
    type=click.Choice(["chunk", "trace"]),
    help="What the encoder sees.",
)
@click.option(
    "--max-length", default=256, show_default=True, type=_positive, help="How far back it sees with --context trace."
)
@click.option(
    "--quantizer",
    default="ema",
    show_default=True,
    type=click.Choice(["ema", "gradient"]),
    help="How the codebook learns.",
)
@click.option("--commitment-weight", default=0.25, show_default=True, help="Weight of the commitment loss, beta.")
@click.option(
    "--warmup-steps", type=_count, help="Steps without quantising.  [default: a third; 0 with --quantizer gradient]"
)
@click.option(
    "--code-dropout", default=0.1, show_default=True, type=click.FloatRange(0, 1), help="Share decoded without a code."
)
@click.option("--steps", default=2000, show_default=True, type=_positive, help="Training steps of the VQ-VAE.")
@click.option("--batch-size", default=32, show_default=True, type=_positive, help="Samples of a step.")
@click.option(
    "--learning-rate", default=1e-3, show_default=True, type=click.FloatRange(0, min_open=True), help="Of Adam."
)
@click.option("--seed", default=0, show_default=True, help="Of weights, order and the validation split.")
@click.option(
    "--save-every", default=500, show_default=True, type=_count, help="Steps between checkpoints of the VQ-VAE."
)
@click.option("--bf16/--no-bf16", default=False, help="Train the VQ-VAE under bfloat16 autocast.")
@click.option(
    "--workers", type=_count, help="Processes that read ahead.  [default: one a core to tokenise, none in training]"
)
@click.option(
    "--dtype",
    default="float32",
    show_default=True,
    type=click.Choice(["float32", "bfloat16"]),
    help="While encoding. The codes of one are not those of the other, so take one for all data of a model.",
)
@click.option("--shard-rows", default=10_000, show_default=True, type=_positive, help="Rows of one output file.")
@click.option("--skip-bad-rows", is_flag=True, help="Leave out malformed rows instead of stopping.")
@template_options
def main(traces: str, model: str, out: str, **values: Any) -> None:
    """Compress the reasoning traces of TRACES into codes.

    TRACES is a .jsonl, .json or .parquet file, a dataset folder or a Hub dataset id. An interrupted call goes on where
    it stopped when the same command is given again.
    """
    from contextlib import ExitStack

    from mixlm.encoding.encode import encode_dataset
    from mixlm.encoding.options import EncodingOptions
    from pipelines.reports.encoding import print_report
    from vqvae import VQVAETrainingOptions

    if values["vqvae"]:
        _refuse_shape()
    shape = {name: values.pop(name) for name in _SHAPE}
    training = {name: values.pop(name) for name in _TRAINING}
    values["processes"], training["workers"] = training["workers"], training["workers"] or 0
    shape["compression_rate"] = shape["compression_rate"] or shape["chunk_length"]
    if shape["quantizer"] == "gradient":
        shape["kmeans"] = False
    if shape["warmup_steps"] is None:
        shape["warmup_steps"] = 0 if shape["quantizer"] == "gradient" else training["steps"] // 3
    options = EncodingOptions(
        template=template_of(values), shape=shape, training=VQVAETrainingOptions(**training), **values
    )
    with ExitStack() as bars:
        manifest = encode_dataset(
            traces, model, out, options, lambda label: bars.enter_context(progress_bar(label)), say=say
        )
    if manifest["complete"]:
        print_report(manifest, out, model)


def _refuse_shape() -> None:
    """Refuse options of a VQ-VAE's shape beside --vqvae: the trained one has its own.

    Raises:
        click.UsageError: If one was given.
    """
    context = click.get_current_context()
    for name in (*_SHAPE, "steps", "learning_rate"):
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            option = f"--{name}".replace("_", "-")
            raise click.UsageError(f"{option} does nothing with --vqvae: that model is trained already; leave one out")
