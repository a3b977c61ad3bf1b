"""What a folder to encode into holds already, and the manifest that makes it an encoded dataset."""

from pathlib import Path
from typing import Any

from mixlm.encoded import FORMAT_VERSION, is_encoded, read_manifest
from mixlm.encoding_options import EncodingOptions
from mixlm.errors import InputError
from mixlm.fingerprint import tokenizer_fingerprint
from vqvae import ChunkVQVAEConfig


TOKENS = ".mixlm-tokens"  # folder of what is tokenised already, until the end


def check_folder(out: Path, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """Return the manifest of an earlier call with the same arguments, or None for a new folder.

    Raises:
        InputError: If the folder holds something else.
    """
    if is_encoded(out):
        manifest = read_manifest(out)
        before = manifest.get("arguments", {})
        changed = sorted(name for name in before.keys() | arguments.keys() if before.get(name) != arguments.get(name))
        if changed and not _has_work(out, manifest):
            return None
        if changed:
            raise InputError(
                f"{out}: encoded with another {', '.join(changed)}; give the same arguments, or another --out"
            )
        return manifest
    if out.exists() and (not out.is_dir() or any(path.name != TOKENS for path in out.iterdir())):
        raise InputError(f"{out}: exists and is no encoded dataset; choose another --out")
    return None


def _has_work(out: Path, manifest: dict[str, Any]) -> bool:
    """Tell whether a folder holds more than the copy of a model that was given: a model in training, or codes."""
    return not manifest["arguments"]["vqvae"] or any(out.glob("*.parquet"))


def same_tokenizer(manifest: dict[str, Any] | None, tokenizer: Any) -> dict[str, Any] | None:
    """Return the manifest of an interrupted call, if there is one, after a look at the tokenizer.

    Raises:
        InputError: If it is another one than before the interruption.
    """
    if manifest and manifest["fingerprint"] != tokenizer_fingerprint(tokenizer):
        raise InputError(
            f"{manifest['model']}: its tokenizer has changed since encoding was interrupted; encode into another --out"
        )
    return manifest


def first_manifest(arguments: dict[str, Any], options: EncodingOptions, tokenizer: Any) -> dict[str, Any]:
    """Return the manifest of a dataset that is to be encoded.

    Raises:
        InputError: If there can be no model of the shape asked for.
    """
    ChunkVQVAEConfig(**options.shape)
    return {
        "format_version": FORMAT_VERSION,
        "complete": False,
        "fingerprint": tokenizer_fingerprint(tokenizer),
        "model": arguments["model"],
        "template": options.template.to_dict(),
        "dtype": options.dtype,
        "arguments": arguments,
    }
