import pytest

from mixlm.model.special_tokens import SpecialIds, is_project_token, latent_name, latent_span, project_tokens


def test_ids_follow_names() -> None:
    vocabulary = {"hello": 0, "<boLatent>": 5, "<eoLatent>": 6, "<latent_0>": 7, "<latent_1>": 8, "<pause>": 9}
    special = SpecialIds.from_names(3, project_tokens(vocabulary))
    assert special == SpecialIds(eos=3, bo_latent=5, eo_latent=6, first_latent=7, codebook_size=2, pause=9)
    assert list(special.latent_ids) == [7, 8]
    assert special.latent(1) == 8 and special.code(8) == 1
    assert special.is_latent(7) and not special.is_latent(9)
    assert special.present() == [5, 6, 7, 8, 9]


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
    assert all(map(is_project_token, latent_span(3)))
    assert not is_project_token("<latent_x>") and not is_project_token("latent_1")
    assert latent_name(1023) == "<latent_1023>"
