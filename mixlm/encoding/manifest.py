"""The manifest of an encoded dataset: what it is, how it was made, and whether a call may go on with it."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixlm.damage import remedy
from mixlm.data.chat.rendering import clock_note, dated
from mixlm.data.reading import open_raw, place_of, require_apart
from mixlm.data.samples import CheckName
from mixlm.data.template import Template
from mixlm.encoding import ABOUT, MANIFEST, VQVAE
from mixlm.encoding.options import AUTO, PRESETS, EncodingOptions, fitting_preset
from mixlm.errors import InputError
from mixlm.model.tokenizers import tokenizer_digest, tokenizer_fingerprint
from vqvae import ChunkVQVAEConfig
from vqvae.atomic_files import checksum, draft_of, remove_drafts, write_sealed
from vqvae.checksums import sums_of, unsealed
from vqvae.options import VQVAEModelOptions
from vqvae.training.checkpoints import CHECKPOINTS


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MANIFEST_VERSION = 1
_BEGUN = {  # kinds of what every manifest tells
    **dict.fromkeys(("template", "arguments"), dict),
    **dict.fromkeys(("fingerprint", "tokenizer", "model", "check"), str),
    **dict.fromkeys(("complete", "skip_bad_rows"), bool),
}
_WHOLE = {  # of what one tells besides, once all is encoded
    **dict.fromkeys(("codebook", "counts", "shards"), dict),
    **dict.fromkeys(("chunk_length", "compression_rate", "codebook_size"), int),
    **dict.fromkeys(("align", "objective"), str),
}
_SHORT = 60  # characters of a value in a message
TOKENS = ".mixlm-tokens"  # folder of what is tokenised already, until the end


def is_encoded(path: str | Path) -> bool:
    """Tell whether ``path`` is a folder with a manifest."""
    return (Path(path) / MANIFEST).is_file()


def holds_codes(source: str | Path) -> bool:
    """Tell whether rows are those of an encoded dataset; an ``InputError`` if a split is named with its folder.

    Without their codes, as other commands read them, rows have whatever split ``datasets`` finds there.
    """
    place = place_of(source)
    if is_encoded(place) and place != Path(source):
        raise InputError(f"{source}: {place} is an encoded dataset; give its folder alone")
    return is_encoded(source)


def read_manifest(path: str | Path) -> dict[str, Any]:
    """Read the manifest of an encoded dataset, whole or not; an ``InputError`` if it is damaged or newer than this."""
    file = Path(path) / MANIFEST
    try:
        manifest = unsealed(file.read_bytes())
        version = int(manifest["format_version"])
        if version <= MANIFEST_VERSION and isinstance(manifest.get("template"), dict):
            Template.from_dict(manifest["template"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{file}: damaged ({error}); {remedy(Path(path))}") from None
    if version > MANIFEST_VERSION:
        raise InputError(f"{file}: written by a newer mixlm (format {version}); update mixlm")
    for name, kind in (_BEGUN | _WHOLE if manifest.get("complete") else _BEGUN).items():
        if not isinstance(manifest.get(name), kind):
            raise InputError(f"{file}: tells no {name} as mixlm-encode writes it; encode again into another --out")
    return manifest


def write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest in one step, so that it is never half there, with a digest of itself."""
    write_sealed(path / MANIFEST, manifest)


def sized_options(
    out: Path, traces: str, options: EncodingOptions, say: Callable[[str], None] = lambda line: None
) -> EncodingOptions:
    """Return options with all sizes of stage 1: those given, and those of the preset.

    Args:
        out: The folder; what has begun there goes on with the sizes that it had, where the options leave them open.
        traces: Anything that ``mixlm.data.reading.open_raw`` opens; how many rows it has decides where nothing else
            does.
        options: As they were given.
        say: Told the preset, where the machine or the rows have decided.
    """
    name, sizes = options.preset, PRESETS.get(options.preset, {})
    if name == AUTO and is_encoded(out):
        before = read_manifest(out)["arguments"]["shape"]
        sizes = {size: before[size] for size in PRESETS["paper"]}
    elif name == AUTO:
        name, sizes = fitting_preset(len(open_raw(traces)))
        if not options.vqvae and (chosen := _in_words(sizes, options)):
            other = next(other for other in PRESETS if other != name)
            say(f"preset    {name}: {chosen}; --preset {other} takes {_in_words(PRESETS[other], options)}")
    return replace(options, shape={**sizes, **options.shape})


def _in_words(sizes: Mapping[str, int], options: EncodingOptions) -> str:
    """Return in words those sizes that options leave open."""
    words = {"codebook_size": "{} codes", "hidden_size": "{} wide", "num_layers": "{} layers each"}
    told = [words[size].format(value) for size, value in sizes.items() if size not in options.shape]
    return ", ".join(told).replace("1 layers", "1 layer")


def describe_arguments(traces: str, model: str, options: EncodingOptions) -> dict[str, Any]:
    """Return what decides the codes, as JSON values; files by their content.

    Whether malformed rows are left out is not part of it: shards without such a row are the same either way, so a call
    that one of them has stopped can go on without it.

    Raises:
        InputError: If there can be no model of the shape asked for.
    """
    arguments = {"traces": str(traces), "model": str(model), **asdict(options)}
    config = ChunkVQVAEConfig(**options.shape).for_training(options.training.steps)
    arguments["shape"] = {field.name: getattr(config, field.name) for field in fields(VQVAEModelOptions)}
    arguments["training"].pop("save_every"), arguments["training"].pop("workers")
    arguments.pop("skip_bad_rows"), arguments.pop("workers"), arguments.pop("preset")
    arguments["template"].pop("date")  # which nobody gives
    sums = {name: _content_sum(place_of(str(arguments[name]))) for name in ("traces", "valid")}
    weights = {"vqvae": options.vqvae, "model": model if config.objective == "language-model" else None}
    sums |= {name: _weights_sum(Path(folder)) for name, folder in weights.items() if folder}
    sums = {name: one for name, one in sums.items() if one}
    return json.loads(json.dumps({**arguments, "checksums": sums}))


def _content_sum(path: Path) -> str | None:
    """Return a hash of what a file holds, or the files of a folder that may hold rows; None of anything else."""
    if not path.is_dir():
        return checksum(path) if path.is_file() else None
    files = [file for file in path.rglob("*") if file.suffix not in ("", ".md") and file.is_file()]
    shown = [file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    return hashlib.sha256(json.dumps(sums_of(path, shown)).encode()).hexdigest()


def _weights_sum(folder: Path) -> str | None:
    """Return a hash of the weights and the configuration in a folder, or of a file of both; None of anything else."""
    if folder.is_file():
        return checksum(folder)
    kinds = ("model*.safetensors", "pytorch_model*.bin", "*.safetensors", "*.gguf")  # the first are what is loaded
    weights = next(filter(None, ([*folder.glob(kind)] for kind in kinds)), [])
    files = [*folder.glob("config.json"), *weights]
    return hashlib.sha256(json.dumps(sums_of(folder, files)).encode()).hexdigest() if files else None


def changed_arguments(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the names of arguments, of one call or both, that are not the same in both."""
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def told_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return in words what ``changed_arguments`` names, with both values; of groups, what has changed in them."""
    words = []
    for name in changed_arguments(before, now):
        then, later = before.get(name), now.get(name)
        if isinstance(then, dict) and isinstance(later, dict):
            words.append(told_changes(then, later))
        else:
            words.append(f"{name} ({_in_short(then)} then, {_in_short(later)} now)")
    return ", ".join(words)


def _in_short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if value is not None else "none"
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}.."


def earlier_manifest(out: Path, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """Return the manifest of an earlier call with the same arguments, or None for a new folder.

    Raises:
        InputError: If the folder holds something else, or lies among the rows.
    """
    for rows in filter(None, (arguments["traces"], arguments["valid"])):
        require_apart(out, str(rows))
    if is_encoded(out):
        manifest = read_manifest(out)
        before = manifest["arguments"]
        for name in {"vqvae", "model"} - arguments["checksums"].keys():  # which may be gone when its work is done
            before["checksums"].pop(name, None)
        changed = changed_arguments(before, arguments)
        if changed and not _has_work(out, before):
            return None
        if changed == ["checksums"]:
            before, now = before["checksums"], arguments["checksums"]
            file = arguments[changed_arguments(before, now)[0]]
            raise InputError(f"{file}: has changed since {out} was made of it; put it back, or choose another --out")
        if changed:
            told = told_changes(before, {**arguments, "checksums": before["checksums"]})
            raise InputError(f"{out}: encoded with another {told}; give the same arguments, or another --out")
        return manifest
    begun = {TOKENS, draft_of(out / MANIFEST).name}  # what a process leaves that is killed as it begins
    if out.exists() and (not out.is_dir() or any(path.name not in begun for path in out.iterdir())):
        raise InputError(f"{out}: exists and is no encoded dataset; choose another --out")
    return None


def _has_work(out: Path, arguments: dict[str, Any]) -> bool:
    """Tell whether a folder holds more than the copy of a model that was given: a model in training, or codes."""
    return not arguments["vqvae"] or any(out.glob("*.parquet"))


def rows_identity(manifest: dict[str, Any], options: EncodingOptions, held_out: list[int]) -> dict[str, Any]:
    """Return what decides the ids of all rows and the shards they are in, as JSON values."""
    told = {name: manifest["arguments"][name] for name in ("traces", "model", "valid", "checksums", "shard_rows")}
    made = {name: manifest[name] for name in ("template", "fingerprint", "tokenizer")}
    return {**told, **made, "skip": options.skip_bad_rows, "held_out": held_out, "pattern": options.answer_pattern}


def settled_options(
    out: Path,
    earlier: dict[str, Any] | None,
    options: EncodingOptions,
    tokenizer: "PreTrainedTokenizerFast",
    say: Callable[[str], None],
) -> EncodingOptions:
    """Return options with the template by which all rows are rendered, on whatever day a call goes on with them.

    Args:
        out: The folder, which may hold rows that an interrupted call has tokenised.
        earlier: The manifest of an interrupted call, if there is one.
        options: As they were given.
        tokenizer: The tokenizer, whose chat template may read the clock.
        say: Told the date that prompts have then.
    """
    about = out / TOKENS / ABOUT
    if earlier:
        template = dated(Template.from_dict(earlier["template"]), tokenizer)
    else:
        template = dated(options.template, tokenizer, _begun_date(about))
    if note := clock_note(template):
        say(note)
    return replace(options, template=template)


def _begun_date(about: Path) -> str | None:
    """Return the date of prompts that an interrupted call has tokenised; None if there are none, or it is damaged."""
    try:
        told = json.loads(about.read_bytes())["template"].get("date")
        return told if told is None or datetime.fromisoformat(told) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def manifest_to_fill(
    earlier: dict[str, Any] | None,
    arguments: dict[str, Any],
    options: EncodingOptions,
    tokenizer: "PreTrainedTokenizerFast",
    check: CheckName,
) -> dict[str, Any]:
    """Return the manifest of an interrupted call, if there is one, or that of a dataset that is to be encoded.

    ``check`` is how answers to its rows are to be compared.

    Raises:
        InputError: If the tokenizer is another one than before the interruption.
    """
    fingerprint, digest = tokenizer_fingerprint(tokenizer), tokenizer_digest(tokenizer)
    if earlier is None:
        return {
            "format_version": MANIFEST_VERSION,
            "complete": False,
            "fingerprint": fingerprint,
            "tokenizer": digest,
            "model": arguments["model"],
            "template": options.template.to_dict(),
            "check": check,
            "dtype": options.dtype,
            "skip_bad_rows": options.skip_bad_rows,
            "arguments": arguments,
        }
    if earlier["fingerprint"] != fingerprint or earlier["tokenizer"] != digest:
        raise InputError(
            f"{earlier['model']}: its tokenizer has changed since encoding was interrupted; encode into another --out"
        )
    return earlier


def tidy(out: Path) -> None:
    """Remove what an encoded dataset does not need, once it is complete."""
    shutil.rmtree(out / TOKENS, ignore_errors=True)
    shutil.rmtree(out / VQVAE / CHECKPOINTS, ignore_errors=True)
    remove_drafts(out)
