"""Stage 1 from traces to the encoded dataset: train a VQ-VAE, then turn every trace into codes."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mixlm.code_usage import write_usage
from mixlm.encoded import FORMAT_VERSION, is_encoded, read_manifest, write_manifest, write_shard
from mixlm.errors import InputError
from mixlm.fingerprint import tokenizer_fingerprint
from mixlm.models import is_scratch, open_tokenizer
from mixlm.samples import Sample, read_samples
from mixlm.template import Template
from mixlm.tokenization import tokenize_samples
from vqvae import ChunkVQVAE, ChunkVQVAEConfig, VQVAETrainingOptions, encode_traces, evaluate_vqvae, train_vqvae


Row = dict[str, Any]
ReportProgress = Callable[[int, int, dict[str, float]], None]
MOST_VALID = 1000


@dataclass(frozen=True)
class EncodingOptions:
    """Options of ``encode_dataset``.

    Attributes:
        template: Renders the samples.
        shape: Fields of ``ChunkVQVAEConfig`` that differ from their defaults.
        training: How to train the VQ-VAE.
        vqvae: Folder of a trained VQ-VAE to use in place of training one.
        valid: File of validation samples.
        valid_fraction: Without ``valid``: share of the samples that is held out, at most 1,000 samples.
        shard_rows: Rows of one Parquet file.
        dtype: Of the encoder while encoding: "float32" or "bfloat16".
        skip_bad_rows: Leave out malformed rows.
    """

    template: Template = field(default_factory=Template)
    shape: dict[str, Any] = field(default_factory=dict)
    training: VQVAETrainingOptions = field(default_factory=VQVAETrainingOptions)
    vqvae: str | None = None
    valid: str | None = None
    valid_fraction: float = 0.05
    shard_rows: int = 10_000
    dtype: str = "float32"
    skip_bad_rows: bool = False


def encode_dataset(
    traces: str,
    model: str,
    out: str | Path,
    options: EncodingOptions | None = None,
    progress: Callable[[str], ReportProgress] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Encode the samples of ``traces`` into the folder ``out``.

    An interrupted call goes on where it stopped when it is made again with the same arguments, and its codes are the
    same, bit for bit, as without the interruption.

    Args:
        traces: Anything that ``mixlm.files.read_rows`` reads.
        model: Names the tokenizer: folder, Hub id, ``.gguf`` file, or ``.yaml`` of a model from scratch.
        out: Folder to write; must not hold anything but an encoding of the same arguments.
        options: Everything else.
        progress: Given the name of a long part, returns what to call with (step, total, figures).
        say: Called with a line whenever the user should know something.

    Returns:
        The manifest.

    Raises:
        InputError: If anything given does not fit; finished files in ``out`` are then untouched.
    """
    options = options or EncodingOptions()
    out = Path(out)
    arguments = describe_arguments(traces, model, options)
    manifest = check_folder(out, arguments)
    if manifest and manifest["complete"]:
        say(f"{out}: already encoded; nothing to do")
        return manifest
    splits, tokenizer, counts = read_splits(traces, model, options)
    if manifest is None:
        config = ChunkVQVAEConfig(**options.shape)  # a shape that cannot be is refused before anything is written
        manifest = _first_manifest(arguments, options, config, tokenizer, counts)
    vqvae = _open_vqvae(out, manifest, splits, tokenizer, options, progress)
    manifest |= {name: getattr(vqvae.config, name) for name in ("chunk_length", "compression_rate", "codebook_size")}
    if "codebook" not in manifest:
        manifest["codebook"] = evaluate_vqvae(vqvae, splits["valid"] or splits["train"])
        manifest["codebook"]["measured_on"] = "valid" if splits["valid"] else "train"
        write_manifest(out, manifest)
    report = progress("encoding") if progress else None
    for split, rows in splits.items():
        _encode_split(out, manifest, split, rows, vqvae, options, report)
    write_usage(out, manifest, tokenizer)
    manifest["counts"] |= count_codes(splits, vqvae.config)
    manifest["complete"] = True
    write_manifest(out, manifest)
    return manifest


def describe_arguments(traces: str, model: str, options: EncodingOptions) -> dict[str, Any]:
    """Return what decides the codes, as JSON values; files by their content."""
    arguments = {"traces": str(traces), "model": str(model), **asdict(options)}
    arguments["training"].pop("save_every"), arguments["training"].pop("workers")
    checksums = {}
    for name in ("traces", "valid"):
        path = Path(str(arguments[name]))
        if path.is_file():
            with path.open("rb") as file:
                checksums[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return json.loads(json.dumps({**arguments, "checksums": checksums}))


def check_folder(out: Path, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """Return the manifest of an earlier call with the same arguments, or None for a new folder.

    Raises:
        InputError: If the folder holds something else.
    """
    if is_encoded(out):
        manifest = read_manifest(out)
        before = manifest["arguments"]
        changed = sorted(name for name in before.keys() | arguments.keys() if before.get(name) != arguments.get(name))
        if changed:
            raise InputError(
                f"{out}: encoded with another {', '.join(changed)}; give the same arguments, or another --out"
            )
        return manifest
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: exists and is no encoded dataset; choose another --out")
    return None


def read_splits(traces: str, model: str, options: EncodingOptions) -> tuple[dict[str, list[Row]], Any, dict[str, Any]]:
    """Read, split and tokenise the samples.

    Returns:
        Tokenized rows of "train" and "valid"; the tokenizer; counts of samples and of rows left out.
    """
    train, skipped = _read(traces, options)
    if not train:
        raise InputError(f"{traces}: holds no samples")
    if options.valid:
        valid, more = _read(options.valid, options)
        skipped += more
    else:
        held = min(round(len(train) * options.valid_fraction), MOST_VALID)
        chosen = set(np.random.default_rng(options.training.seed).permutation(len(train))[:held].tolist())
        valid = [sample for index, sample in enumerate(train) if index in chosen]
        train = [sample for index, sample in enumerate(train) if index not in chosen]
    texts = ("".join(options.template.render(sample)) for sample in train) if is_scratch(model) else ()
    tokenizer = open_tokenizer(model, texts)
    splits = {
        "train": tokenize_samples(tokenizer, options.template, train),
        "valid": tokenize_samples(tokenizer, options.template, valid),
    }
    counts = {split: {"samples": len(rows)} for split, rows in splits.items()}
    return splits, tokenizer, {**counts, "skipped_rows": skipped}


def _read(source: str, options: EncodingOptions) -> tuple[list[Sample], int]:
    found = list(read_samples(source, skip_bad_rows=options.skip_bad_rows))
    samples = [sample for sample in found if isinstance(sample, Sample)]
    return samples, len(found) - len(samples)


def _first_manifest(
    arguments: dict[str, Any],
    options: EncodingOptions,
    config: ChunkVQVAEConfig,
    tokenizer: Any,
    counts: dict[str, Any],
) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "complete": False,
        "fingerprint": tokenizer_fingerprint(tokenizer),
        "model": arguments["model"],
        "template": options.template.to_dict(),
        "dtype": options.dtype,
        "counts": counts,
        "arguments": arguments,
        "shards": {"train": [], "valid": []},
    }


def _open_vqvae(
    out: Path,
    manifest: dict[str, Any],
    splits: dict[str, list[Row]],
    tokenizer: Any,
    options: EncodingOptions,
    progress: Callable[[str], ReportProgress] | None,
) -> ChunkVQVAE:
    """Return the stage-1 model: the one that is in ``out`` already, the one given, or a new one."""
    import torch

    folder, fingerprint = out / "vqvae", manifest["fingerprint"]
    if "codebook" not in manifest:
        if options.vqvae:
            given = open_vqvae(options.vqvae)
            if given.config.fingerprint not in ("", fingerprint):
                raise InputError(
                    f"{options.vqvae}: trained for another tokenizer than that of {manifest['model']}; train a new one"
                )
            _claim(out, manifest, tokenizer)
            given.save_pretrained(folder)
        else:
            shape = {**options.shape, "vocab_size": len(tokenizer), "fingerprint": fingerprint}
            config = ChunkVQVAEConfig(**shape)
            report = progress("training the VQ-VAE") if progress else None
            train_vqvae(
                splits["train"],
                config,
                folder,
                options.training,
                report,
                before_training=lambda: _claim(out, manifest, tokenizer),
            )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return open_vqvae(folder, getattr(torch, options.dtype)).to(device)


def _claim(out: Path, manifest: dict[str, Any], tokenizer: Any) -> None:
    """Write down, before the first long part, what this folder is."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(out / "tokenizer")
    write_manifest(out, manifest)


def open_vqvae(folder: str | Path, dtype: Any = None) -> ChunkVQVAE:
    """Open a trained VQ-VAE.

    Raises:
        InputError: If the folder holds none.
    """
    if not (Path(folder) / "config.json").is_file():
        raise InputError(f"{folder}: no trained VQ-VAE; give the vqvae/ folder of an encoded dataset")
    try:
        return ChunkVQVAE.from_pretrained(folder, dtype=dtype).eval()
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: cannot be opened as a VQ-VAE: {' '.join(str(error).split())[:200]}") from None


def _encode_split(
    out: Path,
    manifest: dict[str, Any],
    split: str,
    rows: Sequence[Row],
    vqvae: ChunkVQVAE,
    options: EncodingOptions,
    report: ReportProgress | None,
) -> None:
    """Write the shards of one split that are not there yet; each is listed once it is whole."""
    names = list(dict.fromkeys(name for row in rows for name in [*row, "codes"]))
    for number, start in enumerate(range(0, len(rows), options.shard_rows)):
        name = f"{split}-{number:05d}.parquet"
        if name not in manifest["shards"][split]:
            shard = rows[start : start + options.shard_rows]
            codes = encode_traces(vqvae, [row["trace_ids"] for row in shard])
            write_shard(out / name, [{**row, "codes": code} for row, code in zip(shard, codes, strict=True)], names)
            manifest["shards"][split].append(name)
            write_manifest(out, manifest)
        if report:
            report(min(start + options.shard_rows, len(rows)), len(rows), {})


def count_codes(splits: dict[str, list[Row]], config: ChunkVQVAEConfig) -> dict[str, dict[str, int]]:
    """Return for each split the samples, trace tokens, chunks, codes and empty traces."""
    counts = {}
    for split, rows in splits.items():
        chunks = sum(len(row["trace_ids"]) // config.chunk_length for row in rows)
        counts[split] = {
            "samples": len(rows),
            "trace_tokens": sum(len(row["trace_ids"]) for row in rows),
            "chunks": chunks,
            "codes": chunks * config.codes_per_chunk,
            "empty_traces": sum(not row["trace_ids"] for row in rows),
        }
    return counts
