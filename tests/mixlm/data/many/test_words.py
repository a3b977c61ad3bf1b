"""Ids looked up word by word are those that the tokenizer gives to the whole text."""

import json
import random
from functools import partial

import pytest
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from mixlm.data.many import words as words_module
from mixlm.data.many.words import Placed, Words, pattern_of
from mixlm.data.samples import read_samples
from mixlm.data.template import Template
from mixlm.data.tokenization import place_texts, tokenize_samples
from mixlm.model.tokenizers import build_tokenizer
from tests.tiny_data import raw_rows


CORPUS = ["It's 12,345 apples; they'll cost $3.50 each!\n\nSo 12*3 = <<12*3=36>>36 apples.\tThe END  of\r\n it."] * 3
CHARACTERS = "aZ'sStTrRelLvVdDmM019 .,;:!?$<>=*+-/\\\"#_()[]{}\n\r\t\x0b\x0c\x1c\x00\x7f"
LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = LLAMA.replace("{1,3}", "")


def split(pattern: str) -> pre_tokenizers.PreTokenizer:
    parted = pre_tokenizers.Split(Regex(pattern), "isolated")
    return pre_tokenizers.Sequence([parted, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def trained(pre_tokenizer=None, normalizer=None, post_processor=None, own=()) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizer or pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    if normalizer:
        backend.normalizer = normalizer
    if post_processor:
        backend.post_processor = post_processor
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<end>"], initial_alphabet=alphabet)
    backend.train_from_iterator(CORPUS, trainer)
    backend.add_tokens([AddedToken(token) for token in own])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>")


KNOWN = {
    "gpt2": trained(),
    "llama": trained(split(LLAMA)),
    "qwen": trained(split(QWEN), normalizers.NFC(), own=["<think>", "<tool_call>"]),
    "trimmed": trained(post_processor=processors.ByteLevel(trim_offsets=True, add_prefix_space=False)),
}


def texts(count: int) -> list[str]:
    """Return texts of all kinds: random ones, some beyond ASCII, names of tokens."""
    chance = random.Random(0)
    found = ["".join(chance.choices(CHARACTERS, k=chance.randrange(30))) for _ in range(count)]
    found += ["".join(chance.choices(CHARACTERS[:9] + " é中\u00a0\u2028ſ’", k=12)) for _ in range(count // 10)]
    return [*found, *CORPUS, "", "<end> and <think> in <tool_call>", "'S 'ſ  \n x"]


@pytest.mark.parametrize("kind", KNOWN)
def test_ids_and_places_are_the_tokenizers(kind):
    tokenizer = KNOWN[kind]
    words = Words(tokenizer, partial(place_texts, tokenizer))
    given = texts(3000)
    assert words.of(given) == place_texts(tokenizer, given)
    assert words.parts and words.of(given, False) == place_texts(tokenizer, given, False)


def test_only_new_words_and_some_texts_are_tokenised():
    tokenizer, asked = KNOWN["gpt2"], []

    def place(given, begun=True):
        asked.append([*given])
        return place_texts(tokenizer, given, begun)

    words = Words(tokenizer, place)
    words.of(["a b a b"] * 100)
    assert sorted(asked[0]) == [" a", " b", "a"] and asked[1] == [] and asked[2] == ["a b a b"] * 4
    words.of(["a b"] * 2)
    assert asked[3:] == [[], [], ["a b"] * 2]


def test_at_the_first_difference_nothing_is_looked_up_any_more():
    tokenizer = KNOWN["gpt2"]

    def strange(given, begun=True):
        """Place texts, of which one of a single letter has other ids than within another."""
        placed = place_texts(tokenizer, given, begun)
        return [Placed([0], [0]) if text == "a" else own for text, own in zip(given, placed, strict=True)]

    words = Words(tokenizer, strange)
    assert words.of(["a b"] * 9) == strange(["a b"] * 9) and words.parts is None
    assert words.of(["a c"]) == strange(["a c"])


def test_words_are_forgotten_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(words_module, "MOST_WORDS", 3)
    tokenizer = KNOWN["gpt2"]
    words = Words(tokenizer, partial(place_texts, tokenizer))
    for given in (["one two three four five"], ["six"], ["one six"]):
        assert words.of(given) == place_texts(tokenizer, given)
    assert len(words.ids) < 5


@pytest.mark.parametrize(
    "tokenizer",
    [
        trained(pre_tokenizers.ByteLevel(add_prefix_space=True)),
        trained(pre_tokenizers.Whitespace()),
        trained(split(r"\p{L}+|\p{N}")),
        trained(normalizer=normalizers.Lowercase()),
        trained(post_processor=processors.ByteLevel(trim_offsets=True, add_prefix_space=True)),
    ],
    ids=["prefix space", "white space", "another pattern", "lower case", "first place"],
)
def test_of_other_tokenizers_nothing_is_looked_up(tokenizer):
    assert pattern_of(json.loads(tokenizer.backend_tokenizer.to_str()))[0] is None
    given = ["Some TEXT 12"] * 3
    assert Words(tokenizer, partial(place_texts, tokenizer)).of(given) == place_texts(tokenizer, given)


def test_rows_are_the_same_either_way(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in raw_rows(30)))
    tokenizer, samples = build_tokenizer(CORPUS, 300), [*read_samples(file)]
    words = Words(tokenizer, partial(place_texts, tokenizer))
    rows = tokenize_samples(tokenizer, Template(), samples)
    assert tokenize_samples(tokenizer, Template(), samples, place=words.of) == rows
