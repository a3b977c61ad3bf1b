import json

import pytest
from tokenizers import normalizers, pre_tokenizers
from transformers import AutoTokenizer

from mixlm.data.tokenization import tokenize_text
from mixlm.model.special_tokens import (
    BO_THOUGHT,
    EO_THOUGHT,
    PAUSE,
    THOUGHT,
    SpecialIds,
    add_project_tokens,
    latent_span,
    special_ids,
)
from mixlm.model.tokenizers import build_tokenizer, open_tokenizer, save_base_tokenizer, tokenizer_fingerprint
from tests.tiny_runs import saved_run


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


def test_a_run_of_before_its_tokenizer_was_marked_tells_its_tokens_itself(tmp_path):
    run = saved_run(tmp_path / "run")
    settings = tmp_path / "run" / "tokenizer_config.json"
    values = json.loads(settings.read_text())
    assert SpecialIds(run.ids.eos, **values.pop("mixlm_tokens")) == run.ids
    settings.write_text(json.dumps(values))
    assert special_ids(AutoTokenizer.from_pretrained(run.path)).present() == []
    tokenizer = open_tokenizer(str(run.path))
    assert special_ids(tokenizer) == run.ids and tokenizer_fingerprint(tokenizer) == run.fingerprint
    (tmp_path / "run" / "mixlm.json").write_text("{")  # opening the run says so
    assert special_ids(open_tokenizer(str(run.path))).present() == []
