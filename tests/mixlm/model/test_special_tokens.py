import pytest
from transformers import AutoTokenizer

from mixlm.model.special_tokens import (
    BO_LATENT,
    BO_THOUGHT,
    EO_THOUGHT,
    PAUSE,
    THOUGHT,
    SpecialIds,
    add_project_tokens,
    is_project_name,
    latent_name,
    latent_span,
    namesakes,
    special_ids,
)
from mixlm.model.tokenizers import build_tokenizer


def test_ids_follow_names() -> None:
    vocabulary = {"hello": 0, "<boLatent>": 5, "<eoLatent>": 6, "<latent_0>": 7, "<latent_1>": 8, "<pause>": 9}
    special = SpecialIds.from_names(3, vocabulary)
    assert special == SpecialIds(eos=3, bo_latent=5, eo_latent=6, first_latent=7, codebook_size=2, pause=9)
    assert list(special.latent_ids) == [7, 8]
    assert special.latent(1) == 8 and special.code(8) == 1
    assert special.is_latent(7) and not special.is_latent(9)
    assert special.present() == [5, 6, 7, 8, 9]
    assert special.names() == {name: index for name, index in vocabulary.items() if name != "hello"}


def test_a_vocabulary_without_our_tokens_has_no_latents() -> None:
    special = SpecialIds.from_names(3, {})
    assert special == SpecialIds(eos=3) and list(special.latent_ids) == [] and special.present() == []


def test_latents_in_another_order_are_refused() -> None:
    with pytest.raises(ValueError, match="not consecutive"):
        SpecialIds.from_names(0, {"<latent_0>": 8, "<latent_1>": 7})
    with pytest.raises(ValueError, match="not consecutive"):
        SpecialIds.from_names(0, {"<latent_0>": 7, "<latent_2>": 9})


def test_the_span_lists_delimiters_then_codes() -> None:
    assert latent_span(2) == ["<boLatent>", "<eoLatent>", "<latent_0>", "<latent_1>"]
    assert all(map(is_project_name, latent_span(3)))
    assert not is_project_name("<latent_x>") and not is_project_name("latent_1")
    assert latent_name(1023) == "<latent_1023>"


def tokenizer_with(own: list[str]):
    """A tokenizer of a base model that has tokens ``own``."""
    tokenizer = build_tokenizer(["1 + 2 = 3"], vocab_size=270)
    tokenizer.add_tokens(own, special_tokens=True)
    return tokenizer


def test_tokens_of_the_base_models_own_are_not_ours_whatever_their_names(tmp_path) -> None:
    own = [THOUGHT, "</thought>", PAUSE, "<latent_5>", BO_LATENT]
    tokenizer = tokenizer_with(own)
    before = tokenizer.get_vocab()
    assert special_ids(tokenizer) == SpecialIds(tokenizer.eos_token_id)
    assert namesakes(tokenizer) == [THOUGHT, PAUSE, "<latent_5>", BO_LATENT]
    new = add_project_tokens(tokenizer, latent_span(2))
    assert tokenizer.convert_ids_to_tokens(new) == [
        "<mixlm_boLatent>", "<mixlm_eoLatent>", "<mixlm_latent_0>", "<mixlm_latent_1>"
    ]  # fmt: skip
    special = SpecialIds(tokenizer.eos_token_id, new[0], new[1], new[2], 2)
    assert special_ids(tokenizer) == special
    assert {name: tokenizer.get_vocab()[name] for name in before} == before
    tokenizer.save_pretrained(tmp_path / "one")
    AutoTokenizer.from_pretrained(tmp_path / "one").save_pretrained(tmp_path / "two")
    again = AutoTokenizer.from_pretrained(tmp_path / "two")
    assert special_ids(again) == special and namesakes(again) == namesakes(tokenizer)


def test_what_is_there_of_ours_is_not_added_again() -> None:
    tokenizer = tokenizer_with([])
    first = add_project_tokens(tokenizer, latent_span(2))
    assert add_project_tokens(tokenizer, latent_span(2)) == []
    more = add_project_tokens(tokenizer, [*latent_span(2), BO_THOUGHT, EO_THOUGHT, PAUSE])
    assert tokenizer.convert_ids_to_tokens([*first, *more]) == [*latent_span(2), BO_THOUGHT, EO_THOUGHT, PAUSE]
    assert special_ids(tokenizer).present() == [*first, *more] and namesakes(tokenizer) == []


def test_a_method_takes_other_names_for_all_that_it_adds_or_for_none() -> None:
    tokenizer = tokenizer_with([THOUGHT, "<mixlm_thought>"])
    new = add_project_tokens(tokenizer, [BO_THOUGHT, EO_THOUGHT, THOUGHT])
    names = ["<mixlm_mixlm_boThought>", "<mixlm_mixlm_eoThought>", "<mixlm_mixlm_thought>"]
    assert tokenizer.convert_ids_to_tokens(new) == names
    assert tokenizer.convert_ids_to_tokens(add_project_tokens(tokenizer, [PAUSE])) == [PAUSE]


def test_a_tokenizer_without_tokens_of_ours_is_saved_without_a_mark(tmp_path) -> None:
    tokenizer = tokenizer_with([PAUSE])
    assert add_project_tokens(tokenizer, []) == []
    tokenizer.save_pretrained(tmp_path)
    assert "mixlm" not in (tmp_path / "tokenizer_config.json").read_text()
