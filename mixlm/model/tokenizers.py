"""Opening the tokenizer of a base model, or building one, and telling one from another."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixlm.errors import InputError
from mixlm.model.loading import is_scratch, open_pretrained, read_scratch
from mixlm.model.special_tokens import MARK, SpecialIds, mark_tokens, special_ids


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


INFO_NAME = "mixlm.json"  # of a run


def open_tokenizer(model: str, texts: Iterable[str] = ()) -> "PreTrainedTokenizerFast":
    """Open the tokenizer of ``model``, or build one from ``texts`` for a model from scratch.

    Args:
        model: Folder, Hub id, ``.gguf`` file, or ``.yaml`` of a model from scratch.
        texts: The corpus, read only for a model from scratch.

    Returns:
        A tokenizer of transformers with an end-of-sequence token.

    Raises:
        InputError: If there is no tokenizer to open, or it has no end-of-sequence token.
    """
    if is_scratch(model):
        return build_tokenizer(texts, **read_scratch(model).get("tokenizer", {}))
    from transformers import AutoTokenizer

    tokenizer = open_pretrained(AutoTokenizer, model)
    if MARK not in tokenizer.init_kwargs:
        _mark_older_run(tokenizer, Path(model) / INFO_NAME)
    if tokenizer.eos_token_id is None:
        raise InputError(
            f"{model}: its tokenizer has no end-of-sequence token; set eos_token in tokenizer_config.json"
        )
    return tokenizer


def _mark_older_run(tokenizer: "PreTrainedTokenizerFast", info: Path) -> None:
    """Mark the tokens of a run that was written before its tokenizer carried their ids: it tells them itself."""
    with suppress(OSError, ValueError, KeyError, TypeError):  # no run, or a damaged one, which opening it tells
        mark_tokens(tokenizer, SpecialIds(**json.loads(info.read_text(encoding="utf-8"))["ids"]))


def build_tokenizer(texts: Iterable[str], vocab_size: int = 1024) -> "PreTrainedTokenizerFast":
    """Build a byte-level BPE tokenizer from ``texts``, with one token that ends and pads.

    Any text decodes back to itself. The same texts give the same tokenizer.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
    )


def tokenizer_fingerprint(tokenizer: "PreTrainedTokenizerFast") -> str:
    """Return a hash of the base vocabulary, merges, normaliser and pre-tokeniser.

    This project's own tokens play no part, so a run has the fingerprint of the model it started from.

    Args:
        tokenizer: A fast tokenizer of transformers.

    Returns:
        16 hexadecimal digits.
    """
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    ours = set(special_ids(tokenizer).present())
    added = [(token["id"], token["content"]) for token in parts["added_tokens"] if token["id"] not in ours]
    decisive = {
        "model": parts["model"],
        "normalizer": parts["normalizer"],
        "pre_tokenizer": parts["pre_tokenizer"],
        "added": sorted(added),
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]


def save_base_tokenizer(tokenizer: "PreTrainedTokenizerFast", folder: Path) -> None:
    """Save a tokenizer without this project's tokens, which only a run has.

    Where a token of somebody else's follows them, whose id would move, they are saved, too.
    """
    tokenizer.save_pretrained(folder)
    ours = set(special_ids(tokenizer).present())
    if not ours or max(set(tokenizer.get_vocab().values()) - ours) > min(ours):
        return
    with _edited(folder / "tokenizer.json") as parts:
        parts["added_tokens"] = [token for token in parts["added_tokens"] if token["id"] not in ours]
    with _edited(folder / "tokenizer_config.json") as settings:
        del settings[MARK]


@contextmanager
def _edited(file: Path) -> Iterator[dict[str, Any]]:
    """Give the content of a JSON file to be changed, and write it back."""
    content = json.loads(file.read_text(encoding="utf-8"))
    yield content
    file.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
