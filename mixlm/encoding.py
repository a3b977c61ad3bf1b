"""Stage 1 from traces to the encoded dataset: train a VQ-VAE, then turn every trace into codes."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from mixlm.code_usage import write_usage
from mixlm.encoded import FORMAT_VERSION, is_encoded, read_manifest, write_manifest, write_shard
from mixlm.encoding_options import EncodingOptions, describe_arguments
from mixlm.errors import InputError
from mixlm.fingerprint import save_base_tokenizer, tokenizer_fingerprint
from mixlm.splits import Row, count_rows, read_splits
from vqvae import ChunkVQVAE, ChunkVQVAEConfig, encode_traces, evaluate_vqvae, train_vqvae


ReportProgress = Callable[[int, int, dict[str, float]], None]


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
    same, bit for bit, as without the interruption. Of several processes that make the same call, all train stage 1 and
    the first writes everything.

    Args:
        traces: Anything that ``mixlm.files.read_rows`` reads.
        model: Names the tokenizer: folder, Hub id, ``.gguf`` file, or ``.yaml`` of a model from scratch.
        out: Folder to write; must not hold anything but an encoding of the same arguments.
        options: Everything else.
        progress: Given the name of a long part, returns what to call with (step, total, figures).
        say: Called with a line whenever the user should know something.

    Returns:
        The manifest; unfinished in all processes but the first.

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
    manifest = _same_tokenizer(manifest, tokenizer) or _first_manifest(arguments, options, tokenizer, counts)
    if "codebook" not in manifest:
        _make_vqvae(out, manifest, splits, tokenizer, options, progress)
    if _is_first_process():
        _encode_splits(out, manifest, splits, tokenizer, options, progress)
    return manifest


def check_folder(out: Path, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """Return the manifest of an earlier call with the same arguments, or None for a new folder.

    Raises:
        InputError: If the folder holds something else.
    """
    if is_encoded(out):
        manifest = read_manifest(out)
        before = manifest.get("arguments", {})
        changed = sorted(name for name in before.keys() | arguments.keys() if before.get(name) != arguments.get(name))
        if changed:
            raise InputError(
                f"{out}: encoded with another {', '.join(changed)}; give the same arguments, or another --out"
            )
        return manifest
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: exists and is no encoded dataset; choose another --out")
    return None


def _same_tokenizer(manifest: dict[str, Any] | None, tokenizer: Any) -> dict[str, Any] | None:
    """Return the manifest of an interrupted call, if there is one, after a look at the tokenizer."""
    if manifest and manifest["fingerprint"] != tokenizer_fingerprint(tokenizer):
        raise InputError(
            f"{manifest['model']}: its tokenizer has changed since encoding was interrupted; encode into another --out"
        )
    return manifest


def _first_manifest(
    arguments: dict[str, Any], options: EncodingOptions, tokenizer: Any, counts: dict[str, Any]
) -> dict[str, Any]:
    ChunkVQVAEConfig(**options.shape)  # a shape that cannot be is refused before anything is written
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


def _make_vqvae(
    out: Path,
    manifest: dict[str, Any],
    splits: dict[str, list[Row]],
    tokenizer: Any,
    options: EncodingOptions,
    progress: Callable[[str], ReportProgress] | None,
) -> None:
    """Put a stage-1 model into ``out``: the one given, or a new one."""

    def claim() -> None:
        """Let one process write what the folder is."""
        if _is_first_process():
            _claim(out, manifest, tokenizer)

    if options.vqvae:
        given = _given_vqvae(options.vqvae, manifest, splits["train"])
        claim()
        if _is_first_process():
            given.save_pretrained(out / "vqvae")
        return
    shape = {**options.shape, "vocab_size": len(tokenizer), "fingerprint": manifest["fingerprint"]}
    report = progress("training the VQ-VAE") if progress else None
    train_vqvae(splits["train"], ChunkVQVAEConfig(**shape), out / "vqvae", options.training, report, claim)


def _is_first_process() -> bool:
    """Tell whether this is the first of the processes that accelerate or torchrun started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def _given_vqvae(folder: str, manifest: dict[str, Any], rows: Sequence[Row]) -> ChunkVQVAE:
    """Open a model that was trained before, and check that it fits tokenizer and traces."""
    given = open_vqvae(folder)
    if given.config.fingerprint not in ("", manifest["fingerprint"]):
        raise InputError(f"{folder}: trained for another tokenizer than that of {manifest['model']}; train a new one")
    if not count_rows(rows, given.config)["chunks"]:
        raise InputError(
            f"no trace has a whole chunk of {given.config.chunk_length} tokens, as {folder} encodes; "
            "train a new one with a lower --chunk-length"
        )
    return given


def _claim(out: Path, manifest: dict[str, Any], tokenizer: Any) -> None:
    """Write down, before the first long part, what this folder is: first of all the manifest, which makes it ours."""
    out.mkdir(parents=True, exist_ok=True)
    write_manifest(out, manifest)
    save_base_tokenizer(tokenizer, out / "tokenizer")


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


def _measure(out: Path, manifest: dict[str, Any], splits: dict[str, list[Row]], vqvae: ChunkVQVAE) -> None:
    """Write shape, counts and quality of the model into the manifest; its checkpoints have then done their work.

    Quality is measured on the validation traces, or on the training traces if no validation trace has a whole chunk.
    """
    config = vqvae.config
    manifest |= {name: getattr(config, name) for name in ("chunk_length", "compression_rate", "codebook_size")}
    for split, rows in splits.items():
        manifest["counts"][split] |= count_rows(rows, config)
    split = "valid" if manifest["counts"]["valid"]["chunks"] else "train"
    manifest["codebook"] = {**evaluate_vqvae(vqvae, splits[split]), "measured_on": split}
    write_manifest(out, manifest)
    shutil.rmtree(out / "vqvae" / "checkpoints", ignore_errors=True)


def _encode_splits(
    out: Path,
    manifest: dict[str, Any],
    splits: dict[str, list[Row]],
    tokenizer: Any,
    options: EncodingOptions,
    progress: Callable[[str], ReportProgress] | None,
) -> None:
    """Measure the model that is in ``out``, write all shards, and finish the manifest."""
    vqvae = open_vqvae(out / "vqvae", getattr(torch, options.dtype)).to("cuda" if torch.cuda.is_available() else "cpu")
    if "codebook" not in manifest:
        _measure(out, manifest, splits, vqvae)
    for split, rows in splits.items():
        report = progress(f"encoding {split}") if progress and rows else None
        _encode_split(out, manifest, split, rows, vqvae, options, report)
    write_usage(out, manifest, tokenizer)
    manifest["complete"] = True
    write_manifest(out, manifest)


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
