import pytest
import torch

from mixlm.errors import InputError
from mixlm.generation.grammar import LatentGrammar, span_limits
from mixlm.generation.options import parse_latent_mode
from mixlm.model.special_tokens import SpecialIds


# Text 0-3 (0 ends), <boLatent> 4, <eoLatent> 5, latents 6-8, <pause> 9, spare rows 10-11.
SPECIAL = SpecialIds(eos=0, bo_latent=4, eo_latent=5, first_latent=6, codebook_size=3, pause=9)
TEXT, BO, EO, LATENTS = {0, 1, 2, 3}, {4}, {5}, {6, 7, 8}
PREFIX = "prefix"


def allowed(modes: list[str], written: list[list[int]], spans: str = PREFIX) -> list[set[int]]:
    prompts = torch.tensor([[4, 6, 5]] * len(written))  # a span in the prompt is none of the answer's
    ids = torch.cat([prompts, torch.tensor(written, dtype=torch.long).view(len(written), -1)], 1)
    limits = span_limits([parse_latent_mode(mode) for mode in modes], spans)
    scores = torch.randn(len(written), 12, generator=torch.Generator().manual_seed(0))
    before = scores.clone()
    after = LatentGrammar(SPECIAL, limits, prompt_width=3, tokens=10)(ids, scores)
    assert torch.equal(scores, before)
    kept = after != -torch.inf
    assert torch.equal(after[kept], scores[kept])
    return [set(row.nonzero().flatten().tolist()) for row in kept]


@pytest.mark.parametrize(
    ("mode", "first"),
    [
        ("free", TEXT | BO),
        ("text", TEXT),
        ("max:2", TEXT | BO),
        ("max:0", TEXT),
        ("exact:2", BO),
        ("exact:0", TEXT),
    ],
)
def test_a_span_opens_only_at_the_first_token(mode, first):
    assert allowed([mode], [[]]) == [first]
    assert allowed([mode], [[1]]) == [TEXT]
    assert allowed([mode], [[1, 2, 3]]) == [TEXT]


@pytest.mark.parametrize(
    ("mode", "after_0", "after_1", "after_2", "after_3"),
    [
        ("free", LATENTS, LATENTS | EO, LATENTS | EO, LATENTS | EO),
        ("max:1", LATENTS, EO, EO, EO),
        ("max:2", LATENTS, LATENTS | EO, EO, EO),
        ("exact:1", LATENTS, EO, EO, EO),
        ("exact:2", LATENTS, LATENTS, EO, EO),
        ("exact:3", LATENTS, LATENTS, LATENTS, EO),
    ],
)
def test_inside_a_span_only_latents_then_its_end(mode, after_0, after_1, after_2, after_3):
    answers = [[4], [4, 6], [4, 6, 8], [4, 6, 8, 6]]
    found = [allowed([mode], [answer])[0] for answer in answers]
    assert found == [after_0, after_1, after_2, after_3]


@pytest.mark.parametrize("mode", ["free", "max:2", "exact:2"])
def test_after_the_span_there_is_text_alone(mode):
    assert allowed([mode], [[4, 6, 7, 5]]) == [TEXT]
    assert allowed([mode], [[4, 6, 7, 5, 1, 0]]) == [TEXT]


def test_rows_of_one_batch_keep_their_own_state_and_limits():
    modes = ["exact:1", "exact:3", "text", "free", "max:1"]
    written = [[4, 6], [4, 6], [1, 2], [4, 6], [4, 6]]
    assert allowed(modes, written) == [EO, LATENTS, TEXT, LATENTS | EO, EO]


@pytest.mark.parametrize("mode", ["free", "text", "max:4", "exact:0"])
def test_a_method_without_spans_writes_text_alone(mode):
    assert allowed([mode], [[]], "none") == [TEXT]
    assert allowed([mode], [[1]], "none") == [TEXT]


def test_a_vocabulary_without_project_tokens_has_all_of_itself():
    limits = span_limits([parse_latent_mode("free")], "none")
    grammar = LatentGrammar(SpecialIds(eos=0), limits, prompt_width=0, tokens=10)
    for written in ([[]], [[4, 5]]):
        scores = grammar(torch.tensor(written, dtype=torch.long), torch.zeros(1, 12))
        assert (scores == 0).sum() == 10 and (scores[:, 10:] == -torch.inf).all()


def test_latents_of_a_method_that_writes_none_are_refused():
    with pytest.raises(InputError, match="--latents exact:2: the run's method writes no latents"):
        span_limits([parse_latent_mode("exact:2")], "none")
