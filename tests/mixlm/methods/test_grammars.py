import re
from pathlib import Path

import pytest
import torch

from mixlm.data.template import Template
from mixlm.generation.answerer import Request
from mixlm.generation.engine import Engine
from mixlm.generation.grammar import LatentGrammar, span_limits
from mixlm.generation.options import GenerationOptions, parse_latent_mode
from mixlm.methods import METHODS, build_method
from mixlm.model.special_tokens import SpecialIds, special_ids
from mixlm.run import Run
from tests.coded_rows import coded, fixed
from tests.tiny_runs import tiny_model, tiny_tokenizer


# Text 0-3 (0 ends), <boLatent> 4, <eoLatent> 5, latents 6-8, <pause> 9, spare rows 10-11.
SPECIAL = SpecialIds(eos=0, bo_latent=4, eo_latent=5, first_latent=6, codebook_size=3, pause=9)
WORDS, END, BO, EO, LATENTS = {1, 2, 3}, {0}, {4}, {5}, {6, 7, 8}
TEXT = WORDS | END


def allowed(spans: str, mode: str, *written: int) -> set[int]:
    """Return the tokens that may follow ``written`` after a prompt that itself holds an open span."""
    ids = torch.tensor([[4, 6, *written]])
    limits = span_limits([parse_latent_mode(mode)], spans)
    scores = LatentGrammar(SPECIAL, limits, prompt_width=2, tokens=10)(ids, torch.zeros(1, 12))
    return set((scores[0] == 0).nonzero().flatten().tolist())


@pytest.mark.parametrize(
    ("written", "free", "at_most_2", "exactly_2"),
    [
        ((), TEXT | BO, TEXT | BO, BO),
        ((1,), TEXT | BO, TEXT | BO, TEXT | BO),  # "exactly" never gets here: it must open at once
        ((1, 2), TEXT | BO, TEXT | BO, TEXT | BO),
        ((4,), LATENTS, LATENTS, LATENTS),
        ((4, 6), LATENTS | EO, LATENTS | EO, LATENTS),
        ((4, 6, 6), LATENTS | EO, EO, EO),
        ((4, 6, 5), TEXT, TEXT, TEXT),  # a span right after another would be one span
        ((4, 6, 7, 5), TEXT, TEXT, TEXT),
        ((4, 6, 5, 1), TEXT | BO, TEXT | BO, TEXT | BO),
        ((4, 6, 7, 5, 1), TEXT | BO, TEXT, TEXT),  # no room for another span
        ((4, 6, 5, 1, 4), LATENTS, LATENTS, LATENTS),
        ((4, 6, 5, 1, 4, 8), LATENTS | EO, EO, EO),  # latents of all spans count
        ((4, 6, 5, 1, 4, 8, 5), TEXT, TEXT, TEXT),
        ((4, 6, 5, 1, 4, 8, 5, 2), TEXT | BO, TEXT, TEXT),
        ((1, 4), LATENTS, LATENTS, LATENTS),
        ((1, 4, 6, 5, 2), TEXT | BO, TEXT | BO, TEXT | BO),
    ],
)
def test_spans_anywhere(written: tuple[int, ...], free: set, at_most_2: set, exactly_2: set) -> None:
    found = [allowed("anywhere", mode, *written) for mode in ("free", "max:2", "exact:2")]
    assert found == [free, at_most_2, exactly_2]


@pytest.mark.parametrize(
    ("written", "free", "at_most_2", "exactly_2"),
    [
        ((), TEXT | BO, TEXT | BO, BO),
        ((1,), TEXT, TEXT, TEXT),  # only the start can open
        ((4,), WORDS | LATENTS, WORDS | LATENTS, WORDS | LATENTS),  # never empty, and no end within
        ((4, 1), WORDS | LATENTS | EO, WORDS | LATENTS | EO, WORDS | LATENTS),
        ((4, 1, 6), WORDS | LATENTS | EO, WORDS | LATENTS | EO, WORDS | LATENTS),
        ((4, 6, 1), WORDS | LATENTS | EO, WORDS | LATENTS | EO, WORDS | LATENTS),
        ((4, 6, 1, 7), WORDS | LATENTS | EO, EO, EO),  # with all its latents the span ends
        ((4, 6, 6), WORDS | LATENTS | EO, EO, EO),
        ((4, 1, 5), TEXT, TEXT, TEXT),
        ((4, 6, 1, 7, 5), TEXT, TEXT, TEXT),
        ((4, 6, 1, 7, 5, 2), TEXT, TEXT, TEXT),
    ],
)
def test_one_span_with_text_in_it(written: tuple[int, ...], free: set, at_most_2: set, exactly_2: set) -> None:
    found = [allowed("mixed", mode, *written) for mode in ("free", "max:2", "exact:2")]
    assert found == [free, at_most_2, exactly_2]


@pytest.mark.parametrize("spans", ["anywhere", "mixed", "prefix"])
@pytest.mark.parametrize("mode", ["text", "max:0", "exact:0"])
def test_without_latents_there_is_text_alone(spans: str, mode: str) -> None:
    assert all(allowed(spans, mode, *written) == TEXT for written in ((), (1,), (1, 2, 3)))


@pytest.mark.parametrize("count", [1, 3, 5])
def test_exactly_n_are_in_one_span_at_the_start(count: int) -> None:
    """However it is written, exactly N opens with a span that ends when it has N."""
    for spans in ("anywhere", "prefix"):
        written: list[int] = [4]
        for _ in range(count):
            assert allowed(spans, f"exact:{count}", *written) == LATENTS
            written.append(7)
        assert allowed(spans, f"exact:{count}", *written) == EO


FORMS = {  # of whole or cut-off answers: t text, B <boLatent>, l latent, E <eoLatent>, . end
    "none": r"t*\.?",
    "prefix": r"(Bl*|(Bl+E)?t*\.?)",
    "anywhere": r"(Bl+E)?(t+Bl+E)*(t*\.?|t+Bl*|Bl*)",
    "mixed": r"(B[tl]*|(B[tl]+E)?t*\.?)",
}


def letters(ids: list[int], special: SpecialIds) -> str:
    """Spell an answer, one letter a token; ? is a token that no answer may hold."""
    marks = {special.bo_latent: "B", special.eo_latent: "E", special.eos: "."}
    strange = {*range(len(tiny_tokenizer()), 200), *special.present()}
    kinds = dict.fromkeys(strange, "?") | dict.fromkeys(special.latent_ids, "l") | marks
    return "".join(kinds.get(token, "t") for token in ids)


def tiny_run_of(method: str) -> Run:
    ids = special_ids(tiny_tokenizer())
    row = coded({"row": 0, "prompt_ids": [1], "trace_ids": [1, 2, 3, 1, 2], "solution_ids": [0]}, [0, 1])
    state = build_method(method, {}).bind(ids, fixed(2)).fit([row], seed=0)
    codes = {"chunk_length": 2, "compression_rate": 2, "codebook_size": 5}
    return Run(Path("run"), method, Template(), ids, **codes, method_state=state)


WRITERS = [name for name, method in METHODS.items() if not method.uses_thoughts and name != "pause-as-thought"]


@pytest.mark.parametrize("name", WRITERS)
def test_random_models_write_what_the_grammar_allows(name: str) -> None:
    """Sampled from random logits, hundreds of answers hold no illegal token, and the forms asked for are all met."""
    run = tiny_run_of(name)
    spans = run.method.spans
    model, tokenizer = tiny_model("llama"), tiny_tokenizer()
    seen = []
    for mode in ("free", "max:2", "text") + (("exact:3",) if spans != "none" else ()):
        options = GenerationOptions(max_new_tokens=16, latents=mode, temperature=2.0, samples=60, batch_size=60)
        for answer in Engine(run, model, tokenizer).answer([Request([1, 2])], options):
            spelt = letters(answer.ids[len(run.prompt([])) :], run.ids)
            assert re.fullmatch(FORMS[spans], spelt), spelt
            latents = spelt.count("l")
            assert latents <= {"max:2": 2, "text": 0}.get(mode, 99)
            if mode == "exact:3":
                assert spelt.startswith("B") and (latents == 3 or (spans == "mixed" and not answer.finished)), spelt
            seen.append(spelt)
    assert (spans == "none") == (not any("B" in spelt for spelt in seen))
    if spans == "anywhere":
        assert any(spelt.count("B") > 1 for spelt in seen)
    if spans == "mixed":
        assert any(re.match(r"B[tl]*t[tl]*E", spelt) for spelt in seen)


@pytest.mark.parametrize("name", ["assorted", "frequent-ngrams"])
def test_an_end_of_the_base_model_comes_only_where_the_answer_may_end(name: str) -> None:
    """In a span that may hold text it would end the answer with fewer latents than were asked for."""
    run, model = tiny_run_of(name), tiny_model("llama")
    model.generation_config.eos_token_id = [0, 3]
    options = GenerationOptions(max_new_tokens=16, latents="exact:2", temperature=2.0, samples=60, batch_size=60)
    answers = Engine(run, model, tiny_tokenizer()).answer([Request([1, 2])], options)
    finished = [answer for answer in answers if answer.finished]
    assert {answer.ids[-1] for answer in finished} == {0, 3}
    assert all(len(answer.codes) == 2 for answer in finished)
