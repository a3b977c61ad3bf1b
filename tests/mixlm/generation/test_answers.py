from mixlm.generation.answers import TokenCounts, count_tokens
from mixlm.model.special_tokens import SpecialIds


SPECIAL = SpecialIds(
    eos=0,
    bo_latent=10,
    eo_latent=11,
    first_latent=12,
    codebook_size=4,
    pause=16,
    bo_thought=17,
    thought=18,
    eo_thought=19,
)


def test_every_kind_is_counted_by_hand():
    # <boLatent> z z z <eoLatent> | text text <eos> | pause pause | <boThought> t t t t <eoThought>
    ids = [10, 12, 15, 13, 11, 5, 6, 0, 16, 16, 17, 18, 18, 18, 18, 19]
    counts = count_tokens(ids, SPECIAL)
    assert counts == TokenCounts(text=3, latent=3, delimiter=4, pause=2, thought=4, thought_delimiter=2)
    assert counts.total == len(ids) == 16
    assert counts.paper_tokens == 12  # without two pauses and two delimiters of thoughts


def test_sums_are_part_of_the_plain_form():
    assert count_tokens([10, 12, 11, 5, 0], SPECIAL).to_dict() == {
        "text": 2,
        "latent": 1,
        "delimiter": 2,
        "pause": 0,
        "thought": 0,
        "total": 5,
        "paper_tokens": 5,
    }


def test_a_vocabulary_without_project_tokens_has_text_only():
    assert count_tokens([10, 12, 11, 0], SpecialIds(eos=0)) == TokenCounts(text=4)
