import json
import shutil
from pathlib import Path

import pytest
from tokenizers import normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import CONFIG_MAPPING, AutoTokenizer, ByT5Tokenizer, MistralConfig, Qwen2Config

from mixlm.data.tokenization import tokenize_text
from mixlm.errors import InputError
from mixlm.model.special_tokens import (
    BO_THOUGHT,
    EO_THOUGHT,
    PAUSE,
    THOUGHT,
    add_project_tokens,
    latent_span,
    special_ids,
)
from mixlm.model.tokenizers import (
    build_tokenizer,
    check_reopening,
    differences,
    open_tokenizer,
    reopened,
    save_base_tokenizer,
    tokenizer_fingerprint,
)


TEXTS = ["so now 3 + 4 gives 7 .", "so now 7 - 2 gives 5 ."]
PROJECT = [*latent_span(12), PAUSE, BO_THOUGHT, THOUGHT, EO_THOUGHT]


def make(extended: bool = False):
    tokenizer = build_tokenizer(TEXTS, vocab_size=280)
    if extended:
        add_project_tokens(tokenizer, PROJECT)
    return tokenizer


def test_this_projects_tokens_change_nothing_before_and_after_saving(tmp_path):
    expected = tokenizer_fingerprint(make())
    assert tokenizer_fingerprint(make(extended=True)) == expected
    make(extended=True).save_pretrained(tmp_path)
    assert tokenizer_fingerprint(AutoTokenizer.from_pretrained(tmp_path)) == expected


def another_vocabulary(tokenizer):
    return build_tokenizer(["quite other words"], vocab_size=280)


def another_token(tokenizer):
    tokenizer.add_tokens(["<latent_x>"], special_tokens=True)
    return tokenizer


def another_normalizer(tokenizer):
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    return tokenizer


def another_pre_tokenizer(tokenizer):
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return tokenizer


@pytest.mark.parametrize(
    "change", [another_vocabulary, another_token, another_normalizer, another_pre_tokenizer], ids=lambda f: f.__name__
)
def test_whatever_changes_the_ids_of_text_changes_the_fingerprint(change):
    assert tokenizer_fingerprint(change(make())) != tokenizer_fingerprint(make())


def test_the_base_of_a_runs_tokenizer_is_the_tokenizer_that_it_started_from(tmp_path):
    save_base_tokenizer(make(extended=True), tmp_path)
    base, first = AutoTokenizer.from_pretrained(tmp_path), make()
    assert base.get_vocab() == first.get_vocab() and len(base) == len(first)
    assert base.eos_token_id == first.eos_token_id == base.pad_token_id
    assert tokenizer_fingerprint(base) == tokenizer_fingerprint(first)
    assert base(TEXTS[0])["input_ids"] == tokenize_text(first, TEXTS[0])
    assert not any(name in (tmp_path / "tokenizer_config.json").read_text() for name in PROJECT)
    assert [token["content"] for token in json.loads((tmp_path / "tokenizer.json").read_text())["added_tokens"]] == [
        "<|endoftext|>"
    ]


def test_a_base_models_own_tokens_are_part_of_its_tokenizer(tmp_path):
    own = make()
    own.add_tokens(["<thought>", "</thought>", "<pause>"], special_tokens=True)
    assert tokenizer_fingerprint(own) != tokenizer_fingerprint(make())
    before, fingerprint = own.get_vocab(), tokenizer_fingerprint(own)
    add_project_tokens(own, PROJECT)
    assert tokenizer_fingerprint(own) == fingerprint
    save_base_tokenizer(own, tmp_path)
    base = AutoTokenizer.from_pretrained(tmp_path)
    assert base.get_vocab() == before and tokenizer_fingerprint(base) == fingerprint


def test_tokens_that_follow_ours_do_not_move(tmp_path):
    later = make(extended=True)
    later.add_tokens(["<tool>"], special_tokens=True)
    save_base_tokenizer(later, tmp_path)
    base = AutoTokenizer.from_pretrained(tmp_path)
    assert base.get_vocab() == later.get_vocab() and special_ids(base) == special_ids(later)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3_text", "mistral", "qwen2", "qwen3_5", "qwen4_exp"])
def test_a_model_from_scratch_has_the_tokenizer_that_its_run_is_opened_with(kind, tmp_path):
    recipe = tmp_path / "model.yaml"
    recipe.write_text(f"model_type: {kind}\ntokenizer: {{vocab_size: 280}}\n")
    tokenizer = open_tokenizer(str(recipe), TEXTS)
    assert 257 < len(tokenizer) < 280 and tokenizer.eos_token_id == tokenizer.pad_token_id
    add_project_tokens(tokenizer, PROJECT)
    check_reopening(tokenizer, CONFIG_MAPPING[kind]())  # with a model of that type, and alone
    check_reopening(tokenizer)
    for text in TEXTS:
        ids = tokenize_text(tokenizer, text)
        assert tokenizer.decode(ids) == text and len(ids) < len(text)  # merges were learned that are used


def test_a_tokenizer_that_the_models_type_would_change_is_refused():
    """Qwen2's class puts its own normalizer and pre-tokenizer in place of those of any other tokenizer."""
    tokenizer = make(extended=True)
    opened = reopened(tokenizer, {"model_type": "qwen2"})
    assert {"normalizer", "pre_tokenizer"} <= {*differences(tokenizer, opened)}
    with pytest.raises(InputError, match="type 'qwen2'.* as a Qwen2Tokenizer with another .*pre_tokenizer"):
        check_reopening(tokenizer, Qwen2Config())


def another_template(tokenizer):
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    return tokenizer


def another_start(tokenizer):
    processor = TemplateProcessing(single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)])
    tokenizer.backend_tokenizer.post_processor = processor
    return tokenizer


def another_end(tokenizer):
    tokenizer.eos_token = "<|end|>"
    return tokenizer


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (another_vocabulary, "model"),
        (another_token, "added_tokens"),
        (another_normalizer, "normalizer"),
        (another_pre_tokenizer, "pre_tokenizer"),
        (another_start, "post_processor"),
        (another_template, "chat template"),
        (another_end, "special ids"),
    ],
)
def test_whatever_decides_ids_texts_or_prompts_is_compared(change, name):
    assert differences(make(), make()) == []
    assert name in differences(change(make()), make())


@pytest.mark.parametrize("settings", ["5", "{size: 300}", "{vocab_size: many}"])
def test_a_description_of_a_tokenizer_that_says_something_else_is_refused(settings, tmp_path):
    recipe = tmp_path / "model.yaml"
    recipe.write_text(f"model_type: llama\ntokenizer: {settings}\n")
    with pytest.raises(InputError, match="model.yaml: 'tokenizer' takes a vocab_size and nothing else"):
        open_tokenizer(str(recipe), TEXTS)


def test_a_tokenizer_written_in_python_is_refused(tmp_path):
    ByT5Tokenizer().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="ByT5Tokenizer, is written in Python; a fast one is needed"):
        open_tokenizer(str(tmp_path))


@pytest.mark.parametrize("kind", ["gpt2", "qwen2", "gemma", "t5"])
def test_a_folder_without_a_tokenizer_is_refused(kind, tmp_path):
    """transformers opens a tokenizer of no words in its place."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(InputError, match="holds no tokenizer"):
        open_tokenizer(str(tmp_path))


def test_a_tokenizer_that_cannot_read_a_text_is_refused(tmp_path):
    """Its class is not for its vocabulary: words by pieces, and nothing for words that are unknown."""
    make().save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**settings, "tokenizer_class": "T5Tokenizer"}))
    with pytest.raises(InputError, match="cannot be (used|opened)"):
        open_tokenizer(str(tmp_path))


def test_a_mistral_model_is_read_by_the_tokenizers_library_where_mistral_common_is_installed(tmp_path):
    common = pytest.importorskip("mistral_common")
    [file, *_] = sorted((Path(common.__file__).parent / "data").glob("tekken*.json"))
    shutil.copy(file, tmp_path / "tekken.json")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mistral"}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
    tokenizer = open_tokenizer(str(tmp_path))
    add_project_tokens(tokenizer, PROJECT)
    assert tokenizer.decode(tokenize_text(tokenizer, TEXTS[0])) == TEXTS[0]
    check_reopening(tokenizer, MistralConfig())
