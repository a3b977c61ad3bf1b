import pytest
import torch

from mixlm.generation.answerer import Request
from mixlm.generation.answers import Answer
from mixlm.generation.engine import Engine
from mixlm.generation.grammar import KindFirst, LatentGrammar, span_limits
from mixlm.generation.options import GenerationOptions, parse_latent_mode
from mixlm.model.special_tokens import SpecialIds
from tests.tiny_runs import SPARE_ROWS, tiny_model, tiny_run, tiny_tokenizer


# Text 0-3 (0 ends), <boLatent> 4, <eoLatent> 5, latents 6-8, <pause> 9.
SPECIAL = SpecialIds(eos=0, bo_latent=4, eo_latent=5, first_latent=6, codebook_size=3, pause=9)
PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 1, 2, 3, 4], [0, 0, 2], [7, 7], [3, 2, 1, 5]]
TOKENIZER, RUN = tiny_tokenizer(), tiny_run()


def chosen(shares: list[float], written: list[int], spans: str = "prefix", mode: str = "free") -> tuple[int, int]:
    """Return what greedy decoding takes after ``written``, plainly and kind first, given each token's probability."""
    ids, scores = torch.tensor([[1, *written]]), torch.tensor([shares]).log()
    grammar = LatentGrammar(SPECIAL, span_limits([parse_latent_mode(mode)], spans), prompt_width=1, tokens=10)
    plain = grammar(ids, scores)
    before = plain.clone()
    kind = KindFirst(SPECIAL)(ids, plain)
    assert torch.equal(plain, before)
    return plain.argmax().item(), kind.argmax().item()


@pytest.mark.parametrize(
    ("end", "latents", "expected"),
    [
        (0.30, (0.20, 0.26, 0.24), (5, 7)),  # the likeliest token, but latents have 0.7 together
        (0.48, (0.17, 0.17, 0.18), (5, 8)),
        (0.52, (0.16, 0.16, 0.16), (5, 5)),
        (0.25, (0.10, 0.35, 0.30), (7, 7)),
    ],
)
def test_the_end_of_a_span_is_compared_with_all_latents_together(end, latents, expected):
    assert chosen([0, 0, 0, 0, 0, end, *latents, 0], [4, 6]) == expected


@pytest.mark.parametrize(
    ("text", "opening", "expected"),
    [
        ((0.10, 0.15, 0.20, 0.15), 0.40, (4, 2)),
        ((0.30, 0.10, 0.10, 0.10), 0.40, (4, 0)),  # the end of the answer is text
        ((0.10, 0.10, 0.15, 0.10), 0.55, (4, 4)),
        ((0.10, 0.50, 0.10, 0.10), 0.20, (1, 1)),
    ],
)
@pytest.mark.parametrize(("spans", "written"), [("prefix", []), ("mixed", []), ("anywhere", []), ("anywhere", [2])])
def test_the_opening_of_a_span_is_compared_with_all_text_together(text, opening, expected, spans, written):
    assert chosen([*text, opening, 0, 0, 0, 0, 0], written, spans) == expected


def test_tokens_that_may_not_come_do_not_count():
    shares = [0.2, 0.2, 0.2, 0.2, 0.05, 0.06, 0.02, 0.02, 0.01, 0.04]
    assert chosen(shares, [4, 6]) == (5, 5)
    assert chosen([0.02, 0.01, 0.01, 0.01, 0.06, 0.3, 0.2, 0.2, 0.1, 0.09], []) == (4, 4)


def test_text_in_a_span_counts_beside_its_latents():
    shares = [0, 0.1, 0.1, 0.2, 0, 0.4, 0.1, 0.05, 0.05, 0]
    assert chosen(shares, [4, 6], "mixed") == (5, 3)
    assert chosen(shares, [4, 6], "prefix") == (5, 5)


def test_a_span_that_is_full_or_too_short_has_no_choice():
    shares = [0, 0, 0, 0, 0, 0.3, 0.2, 0.26, 0.24, 0]
    assert chosen(shares, [4, 6], mode="max:2") == (5, 7)
    assert chosen(shares, [4, 6, 6], mode="max:2") == chosen(shares, [4, 6, 6], mode="exact:2") == (5, 5)
    assert chosen(shares, [4, 6], mode="exact:2") == (7, 7)
    assert chosen([0.5, 0, 0, 0, 0.1, 0.4, 0, 0, 0, 0], [], mode="exact:2") == (4, 4)


def unsure_model(family: str):
    """A random model that often gives a delimiter about as much probability as all others together."""
    model, bias = tiny_model(family, seed=1), torch.zeros(len(TOKENIZER) + SPARE_ROWS)
    bias[RUN.ids.bo_latent], bias[RUN.ids.eo_latent] = 3.0, 1.5
    model.get_output_embeddings().register_forward_hook(lambda layer, given, scores: scores / 2 + bias)
    return model


def answer_all(model, decoding: str, mode: str = "free", run=RUN, **options) -> list[Answer]:
    requests = [Request(prompt) for prompt in PROMPTS]
    options = GenerationOptions(12, mode, decoding=decoding, **options)
    return Engine(run, model, TOKENIZER).answer(requests, options)


def decode_by_hand(model, prompt: list[int], mode: str) -> list[int]:
    """Kind first by its definition: one prompt without batch, padding or cache, by probabilities."""
    special, limits = RUN.ids, span_limits([parse_latent_mode(mode)], RUN.method.spans)
    grammar, ids = LatentGrammar(special, limits, len(prompt), len(TOKENIZER)), torch.tensor([prompt])
    while ids.shape[1] < len(prompt) + 12 and (ids.shape[1] == len(prompt) or ids[0, -1] != special.eos):
        with torch.no_grad():
            shares = grammar(ids, model(ids, use_cache=False).logits[:, -1])[0].softmax(0)
        delimiter = max(special.bo_latent, special.eo_latent, key=lambda token: shares[token])
        others = [token for token in range(len(shares)) if token not in (special.bo_latent, special.eo_latent)]
        takes_delimiter = shares[delimiter] > sum(shares[token] for token in others)
        token = delimiter if takes_delimiter else max(others, key=lambda token: shares[token])
        ids = torch.cat([ids, torch.tensor([[token]])], 1)
    return ids[0, len(prompt) :].tolist()


@pytest.mark.parametrize("mode", ["free", "max:2"])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_batched_cached_decoding_equals_the_definition(family, mode):
    model = unsure_model(family)
    expected = [decode_by_hand(model, prompt, mode) for prompt in PROMPTS]
    kind, plain = (answer_all(model, decoding, mode, batch_size=4) for decoding in ("kind", "plain"))
    assert [answer.ids for answer in kind] == expected
    codes = [len(answer.codes) for answer in kind], [len(answer.codes) for answer in plain]
    assert any(codes[0]) and sum(one != other for one, other in zip(*codes, strict=True)) >= 4


@pytest.mark.parametrize(
    ("mode", "method", "options"),
    [
        ("exact:3", "assorted", {}),
        ("text", "assorted", {}),
        ("free", "cot", {}),
        ("free", "assorted", {"temperature": 2.0, "samples": 2}),
    ],
)
def test_without_a_choice_and_in_sampling_both_are_the_same(mode, method, options):
    model, run = unsure_model("gpt2"), tiny_run(method)
    assert answer_all(model, "kind", mode, run, **options) == answer_all(model, "plain", mode, run, **options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"decoding": "kind"}, "kind"),
        ({"decoding": "plain"}, "plain"),
        ({"decoding": "kind", "temperature": 0.0}, "kind"),
        ({"decoding": "kind", "top_k": 5}, "plain"),
    ],
)
def test_an_answerer_tells_how_it_decodes(options, expected):
    assert Engine(RUN).decoding(GenerationOptions(**options)) == expected
