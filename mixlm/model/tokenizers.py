"""Opening the tokenizer of a base model, or building one, and telling one from another."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mixlm.errors import InputError
from mixlm.model.loading import is_scratch, open_pretrained, read_scratch
from mixlm.model.special_tokens import MARK, special_ids
from vqvae.atomic_files import whole_file


if TYPE_CHECKING:
    from tokenizers.normalizers import Normalizer
    from tokenizers.pre_tokenizers import PreTokenizer
    from transformers import PreTrainedConfig, PreTrainedTokenizerFast


VOCABULARY = 1024  # of a tokenizer that is built, unless told otherwise
MOST_TOKENS = 10_000_000  # likewise
LEAST_WORDS = 2  # of a vocabulary, special tokens apart; transformers opens one with fewer where there is none


def open_tokenizer(model: str, texts: Iterable[str] = (), kept: Path | None = None) -> "PreTrainedTokenizerFast":
    """Open the tokenizer of ``model``, or build one from ``texts`` for a model from scratch.

    Args:
        model: Folder, Hub id, ``.gguf`` file, or ``.yaml`` of a model from scratch.
        texts: The corpus, read only for a model from scratch.
        kept: Where what was learned of the texts is kept, for the next call with the same; None: nowhere.

    Returns:
        A tokenizer of transformers with an end-of-sequence token.

    Raises:
        InputError: If there is no tokenizer to open, or it has no end-of-sequence token.
    """
    if is_scratch(model):
        recipe = read_scratch(model)
        return _scratch_tokenizer(texts, recipe["model_type"], _vocab_size(recipe, model), kept)
    tokenizer = _open_fast(model)
    if tokenizer.eos_token_id is None:
        raise InputError(
            f"{model}: its tokenizer has no end-of-sequence token; set eos_token in tokenizer_config.json"
        )
    return tokenizer


def _open_fast(model: str) -> "PreTrainedTokenizerFast":
    """Open a tokenizer that the tokenizers library runs, and try it.

    Raises:
        InputError: If there is none, it is written in Python, or it cannot be used.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = open_pretrained(AutoTokenizer, model)
        if type(tokenizer).__name__ == "MistralCommonBackend":  # where that package is installed; there is another way
            tokenizer = open_pretrained(AutoTokenizer, model, mistral_format=False)
        kind = type(tokenizer).__name__
        if not hasattr(tokenizer, "backend_tokenizer"):
            raise InputError(
                f"{model}: its tokenizer, {kind}, is written in Python; a fast one is needed: a tokenizer.json of the "
                'tokenizers library, and "tokenizer_class": "TokenizersBackend" in tokenizer_config.json'
            )
        tokenizer("1 a", split_special_tokens=True)
    except InputError:
        raise
    except Exception as error:  # of a damaged file or a class that it is not for, transformers raises anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise InputError(f"{model}: its tokenizer cannot be used ({reason}); is the folder's the model's?") from None
    if len(tokenizer.get_vocab().keys() - tokenizer.get_added_vocab().keys()) < LEAST_WORDS:
        raise InputError(f"{model}: holds no tokenizer, and transformers opens an empty {kind} in its place")
    return tokenizer


def _vocab_size(recipe: Mapping[str, Any], where: str) -> int:
    """Return how large a vocabulary the description of a model from scratch asks for."""
    settings = recipe.get("tokenizer", {})
    size = settings.get("vocab_size", VOCABULARY) if isinstance(settings, Mapping) else None
    if type(size) is not int or settings.keys() - {"vocab_size"}:
        raise InputError(
            f"{where}: 'tokenizer' takes a vocab_size and nothing else, as in {{vocab_size: {VOCABULARY}}}"
        )
    if not 0 < size <= MOST_TOKENS:
        raise InputError(f"{where}: vocab_size {size}: give a number from 1 to {MOST_TOKENS:,}")
    return size


def _scratch_tokenizer(
    texts: Iterable[str], model_type: str, vocab_size: int, kept: Path | None
) -> "PreTrainedTokenizerFast":
    """Build the tokenizer of a model from scratch, of the class that transformers opens its run with.

    Most types open any as it is. The class of some, such as Qwen2's, has a normalizer and a pre-tokenizer of its own;
    then it is built with those.
    """
    from huggingface_hub.errors import StrictDataclassError

    config, empty = {"model_type": model_type}, build_tokenizer((), vocab_size)
    try:
        opened = reopened(empty, config)
    except (ValueError, StrictDataclassError):  # no such type, or none without further fields: making the model tells
        opened = empty
    if not differences(empty, opened):
        return build_tokenizer(texts, vocab_size, kept=kept)
    backend = opened.backend_tokenizer
    return reopened(build_tokenizer(texts, vocab_size, backend.normalizer, backend.pre_tokenizer, kept), config)


def build_tokenizer(
    texts: Iterable[str],
    vocab_size: int = VOCABULARY,
    normalizer: "Normalizer | None" = None,
    pre_tokenizer: "PreTokenizer | None" = None,
    kept: Path | None = None,
) -> "PreTrainedTokenizerFast":
    """Build a byte-level BPE tokenizer from ``texts``, with one token that ends and pads.

    Any text decodes back to itself, as far as the normalizer leaves it. The same texts give the same tokenizer.

    Args:
        texts: What it is built from.
        vocab_size: Its size.
        normalizer: What it does to texts first; None: nothing.
        pre_tokenizer: Where it parts words, by bytes; None: as GPT-2's.
        kept: As ``open_tokenizer`` has it.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    learned = _kept_text(kept) if kept else None
    if learned is None:
        learned = _learn_tokenizer(texts, vocab_size, normalizer, pre_tokenizer)
        if kept:
            _keep_text(kept, learned)
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(learned),
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
    )


def _learn_tokenizer(
    texts: Iterable[str], vocab_size: int, normalizer: "Normalizer | None", pre_tokenizer: "PreTokenizer | None"
) -> str:
    """Return what the tokenizers library learns of texts, as JSON."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer or pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.to_str()


def _kept_text(file: Path) -> str | None:
    """Return what ``_keep_text`` has written; None if it is not there, or not as it was."""
    with suppress(OSError, UnicodeDecodeError):
        digest, _, text = file.read_text(encoding="utf-8").partition("\n")
        return text if hashlib.sha256(text.encode()).hexdigest() == digest else None
    return None


def _keep_text(file: Path, text: str) -> None:
    """Write a text below its checksum."""
    with whole_file(file) as out:
        out.write(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")


def reopened(tokenizer: "PreTrainedTokenizerFast", config: Mapping[str, Any] | None = None) -> Any:
    """Return what ``AutoTokenizer`` opens where a tokenizer was saved.

    transformers chooses the class of a tokenizer by the type of the model beside it, and many classes put parts of
    their own in place of those that were saved.

    Args:
        tokenizer: The tokenizer.
        config: Of the model beside it, as ``config.json`` has it; None: there is none.
    """
    from transformers import AutoTokenizer

    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        if config is not None:
            (Path(folder) / "config.json").write_text(json.dumps(dict(config)), encoding="utf-8")
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def differences(one: "PreTrainedTokenizerFast", other: "PreTrainedTokenizerFast") -> list[str]:
    """Return the names of what decides ids, texts or prompts and is not the same in two tokenizers."""
    states = [_state(tokenizer) for tokenizer in (one, other)]
    return [name for name in states[0] if states[0][name] != states[1][name]]


def _state(tokenizer: "PreTrainedTokenizerFast") -> dict[str, Any]:
    """Return all of a tokenizer that decides what ids a text has, what text ids have, and what a chat is."""
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    decisive = ("model", "normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens")
    special = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad", "unk")}
    own = {"special ids": special, "chat template": tokenizer.chat_template, "tokens of ours": special_ids(tokenizer)}
    return {name: parts[name] for name in decisive} | own


def tokenizer_digest(tokenizer: "PreTrainedTokenizerFast") -> str:
    """Return a hash of all that decides what ids a text or a chat has, 64 hexadecimal digits."""
    state = {"class": type(tokenizer).__name__, **_state(tokenizer)}
    return hashlib.sha256(json.dumps(state, sort_keys=True, default=str).encode()).hexdigest()


def check_reopening(tokenizer: "PreTrainedTokenizerFast", config: "PreTrainedConfig | None" = None) -> None:
    """Find out, before anything depends on it, whether a tokenizer is the same when it is saved and opened again.

    Args:
        tokenizer: The tokenizer.
        config: Of the model that it is to be saved with; None: it is saved alone.

    Raises:
        InputError: If it is not.
    """
    opened = reopened(tokenizer, config and json.loads(config.to_json_string()))
    changed = differences(tokenizer, opened)
    if changed:
        beside = f"beside a model of type '{config.model_type}' " if config else ""
        raise InputError(
            f"saved {beside}the tokenizer, {type(tokenizer).__name__}, would be opened as a "
            f"{type(opened).__name__} with another {', '.join(changed)}, and the model would read other ids than it "
            "learned; encode the data with the model that is to be trained"
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
