"""mixlm-encode: compress reasoning traces into codes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from mixlm.encoding.options import AUTO, PRESETS, ROWS_OF_PAPER, EncodingOptions
from mixlm.errors import InputError
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
    positive,
    template_of,
    template_options,
    template_values,
)
from pipelines.shared.progress import progress_bar
from pipelines.shared.resume import resume_option
from vqvae.options import LONGEST_PROMPT, VQVAEModelOptions, VQVAETrainingOptions


if TYPE_CHECKING:
    from vqvae.advance import Advance

_option = options_of(EncodingOptions, VQVAEModelOptions, VQVAETrainingOptions)
_count = Count()
_SHAPE = (
    *("chunk_length", "compression_rate", "codebook_size", "hidden_size", "num_layers", "num_heads", "code_dim"),
    *("condition_on_prompt", "context", "max_length", "quantizer", "commitment_weight", "warmup_steps"),
    *("code_dropout", "objective", "align", "merge", "max_prompt_length"),
)
_PRESET = "[default: as --preset]"
_FIRST = (
    *("model", "vqvae", "valid", "preset", "objective", "align", "chunk_length", "codebook_size", "steps"),
    *("batch_size", "bf16", "out", "dry_run", "resume"),
)
_TRAINED = ("steps", "batch_size", "learning_rate", "save_every", "bf16")  # what decides nothing but a training
_TRAINING = (*_TRAINED, "seed", "workers")
_IDLE = (  # what does nothing, where, and why
    (
        ("preset", *_SHAPE, *_TRAINED, "reader_lora_rank"),
        lambda given: bool(given["vqvae"]),
        "with --vqvae: that model is trained already",
    ),
    (("valid_fraction",), lambda given: bool(given["valid"]), "with --valid, which holds rows out already"),
    (("max_length",), lambda given: given["context"] != "trace", "without --context trace"),
    (("merge",), lambda given: given["objective"] == "reconstruction", "with --objective reconstruction"),
    (
        ("preset",),
        lambda given: all(given[size] for size in PRESETS["paper"]),
        "with --codebook-size, --hidden-size and --num-layers: it chooses them",
    ),
)


def told(path: Path) -> dict[str, Any]:
    """Return what an unfinished encoding was told, as values of the parameters of the command."""
    from mixlm.encoding.manifest import is_encoded, read_manifest

    if not is_encoded(path):
        raise InputError(f"{path}: no encoding has begun there; give the whole command")
    manifest = read_manifest(path)
    told = {**manifest["arguments"], "out": str(path), "skip_bad_rows": manifest["skip_bad_rows"]}
    shape, training, template = told.pop("shape"), told.pop("training"), told.pop("template")
    return told | template_values(template) | shape | training


@command("encode", shares=True, first=_FIRST)
@click.argument("traces")
@group(
    MODEL,
    click.option(
        "--model",
        required=True,
        help="Whose tokenizer: a folder, Hub id, .gguf file, or .yaml of a model from scratch.",
    ),
    _option("vqvae", "Use this trained VQ-VAE instead of training one.", type=click.Path()),
    _option(
        "preset",
        "Sizes that are not given: small (256 codes, 128 wide, 1 layer) or paper (1024, 512, 2). auto: paper with a "
        f"GPU and at least {ROWS_OF_PAPER:,} rows, else small, with fewer codes for few rows.",
        type=click.Choice([AUTO, *PRESETS]),
        default=AUTO,
    ),
    _option("hidden_size", f"Width of the VQ-VAE.  {_PRESET}", type=positive, default=None, show_default=False),
    _option(
        "num_layers",
        f"Blocks of encoder and of decoder.  {_PRESET}",
        type=positive,
        default=None,
        show_default=False,
    ),
    _option("num_heads", "Attention heads.", type=positive),
)
@group(
    DATA,
    _option("valid", "File of validation samples.", type=click.Path()),
    _option("valid_fraction", "Else: share held out.", type=Number(0, 0.5)),
    click.option("--skip-bad-rows", is_flag=True, help="Leave out malformed rows instead of stopping."),
)
@answer_pattern_option
@template_options
@group(
    METHOD,
    _option(
        "objective",
        "What codes are trained for: to reconstruct their text, to predict what comes next, or to let --model predict "
        "it.",
    ),
    _option("align", "Where chunks end: every L tokens, or with the step."),
    _option(
        "chunk_length",
        "Trace tokens of a chunk, L.  [default: 16; with --align step the longest step, at most 64]",
        type=positive,
        show_default=False,
    ),
    _option(
        "compression_rate", "Trace tokens of a code, r; divides L.  [default: L]", type=positive, show_default=False
    ),
    _option("codebook_size", f"Number of codes, K.  {_PRESET}", type=positive, default=None, show_default=False),
    _option("code_dim", "Width of a codebook vector.", type=positive),
    _option("condition_on_prompt", "Whether codes are read given P.", show_default=False),
    _option("context", "What the encoder sees."),
    _option("max_length", "How far back it sees with --context trace.", type=positive),
    _option(
        "max_prompt_length",
        "Tokens of a prompt that are read, the last ones.  [default: 256; where codes predict, the longest prompt, at "
        f"most {LONGEST_PROMPT}]",
        type=positive,
        show_default=False,
    ),
    _option("quantizer", "How the codebook learns."),
    _option("commitment_weight", "Weight of the commitment loss, beta."),
    _option("merge", "Make one of codes that predict the same.", show_default=False),
    _option("code_dropout", "Share decoded without a code.", type=Number(0, 1)),
    _option(
        "reader_lora_rank",
        "With language-model: LoRA rank by which --model learns beside; 0: frozen.",
        type=_count,
    ),
)
@group(
    OPTIMISER,
    _option("steps", "Training steps of the VQ-VAE.", type=positive),
    _option("batch_size", "Samples of a step.", type=positive),
    _option("learning_rate", "Of Adam.", type=Number(0, min_open=True)),
    _option(
        "warmup_steps",
        "Steps without quantising.  [default: a third; 0 with --quantizer gradient]",
        type=_count,
        show_default=False,
    ),
    _option("seed", "Of weights, order and the validation split."),
)
@group(
    MEMORY,
    _option("bf16", "Train the VQ-VAE under bfloat16 autocast.", show_default=False),
    _option(
        "dtype",
        "While encoding. The codes of one are not those of the other, so take one for all data of a model.",
    ),
    click.option(
        "--workers",
        type=_count,
        help="Processes that read ahead.  [default: one a core to tokenise, none in training]",
    ),
)
@group(
    OUTPUT,
    click.option("--out", required=True, type=click.Path(), help="Folder to write."),
    _option("save_every", "Checkpoints of the VQ-VAE: every so many steps, minutes (2m), or none.", type=str),
    _option("shard_rows", "Rows of one output file.", type=positive),
    dry_run_option,
)
@resume_option("OUT", told)
def main(traces: str, model: str, out: str, dry_run: bool, **values: Any) -> Results:
    """Compress the reasoning traces of TRACES into codes.

    TRACES is a .jsonl, .json or .parquet file, a dataset folder or a Hub dataset id. An interrupted call (a kill,
    Ctrl-C) goes on where it stopped when the same command is given again, or --resume OUT.
    """
    refuse_idle(click.get_current_context())
    look_first(None, traces, values["valid"])
    context = click.get_current_context()
    left = {name for name in values if context.get_parameter_source(name) is ParameterSource.DEFAULT}
    shape = {name: value for name in _SHAPE if (value := values.pop(name)) is not None and name not in left}
    training = {name: values.pop(name) for name in _TRAINING}
    values["workers"], training["workers"] = training["workers"], training["workers"] or 0
    options = EncodingOptions(
        template=template_of(values), shape=shape, training=VQVAETrainingOptions(**training), **values
    )
    if dry_run:
        from mixlm.planning.encoding import plan_encoding

        with _bars() as bar:
            plan = plan_encoding(traces, model, out, options, bar, say)
        return print_plan(plan, "then codes are probed and rows encoded")
    from mixlm.encoding.encode import encode_dataset
    from mixlm.processes import Processes
    from pipelines.reports.encoding import print_encoding

    with _bars() as bar:
        manifest = encode_dataset(traces, model, out, options, bar, say)
    if not Processes.current().first:
        return None
    print_encoding(manifest, out, model)
    return {"out": out, "counts": manifest["counts"], "codebook": manifest["codebook"]}


@contextmanager
def _bars() -> Iterator[Callable[[str], "Advance"]]:
    """Yield what shows how far a part is, given its name; all that it has shown ends with the block."""
    from mixlm.encoding.encode import TRAINING

    with ExitStack() as shown:
        sizes = {TRAINING: ("--steps", "a smaller --preset")}
        yield lambda label: shown.enter_context(progress_bar(label, *sizes.get(label, ())))


def refuse_idle(context: click.Context) -> None:
    """Refuse what somebody has given and does nothing; what ``--resume`` brings another call was given or left."""
    resumed = context.get_parameter_source("resume") is not ParameterSource.DEFAULT
    own = {ParameterSource.DEFAULT, *([ParameterSource.DEFAULT_MAP] if resumed else [])}
    for names, is_idle, why in _IDLE:
        for name in names if is_idle(context.params) else ():
            if context.get_parameter_source(name) not in own:
                raise click.UsageError(f"--{name.replace('_', '-')} does nothing {why}; leave it out")
