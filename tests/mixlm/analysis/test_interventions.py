from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mixlm.analysis.interventions import (
    DEFAULT,
    Intervener,
    Untouched,
    intervention_finding,
    new_count,
    parse_interventions,
)
from mixlm.data.template import Template
from mixlm.errors import InputError
from mixlm.generation.answerer import Request
from mixlm.generation.answers import is_cut_off, opening_of
from mixlm.generation.engine import Engine
from mixlm.generation.options import GenerationOptions, LatentMode
from mixlm.model.special_tokens import BO_THOUGHT, EO_THOUGHT, THOUGHT, add_project_tokens, special_ids
from mixlm.model.thoughts.thinking import fill_thoughts
from mixlm.run import Run
from tests.tiny_runs import SPARE_ROWS, tiny_model, tiny_run, tiny_tokenizer


TOKENIZER = tiny_tokenizer()
add_project_tokens(TOKENIZER, [BO_THOUGHT, EO_THOUGHT, THOUGHT])
IDS = special_ids(TOKENIZER)
ROWS = [
    {"row": i, "prompt_ids": prompt, "trace_ids": [1, 2, 3, 4], "solution_ids": [9, 10 + i, 0], "step_lengths": [2, 2]}
    for i, prompt in enumerate([[1, 2, 3], [4, 5], [2, 6, 7, 1], [3], [7, 7]])
]
OPTIONS = GenerationOptions(max_new_tokens=16, batch_size=2)
CODE_OPTIONS = replace(OPTIONS, latents=LatentMode("exact", 3))


def thought_run() -> Run:
    """A run of Coconut in its last stage: two steps, two thoughts each."""
    options = {"stages": 2, "thoughts_per_step": 2, "epochs_per_stage": 1.0}
    return Run(Path("run"), "coconut", Template(), IDS, method_options=options, step=100)


def model(family: str = "llama"):
    """A random causal LM for the vocabulary of this file."""
    return tiny_model(family, rows=len(TOKENIZER) + SPARE_ROWS)


@pytest.fixture(params=["codes", "thoughts"])
def intervener(request) -> Intervener:
    if request.param == "codes":
        return Intervener(Engine(tiny_run(ids=IDS), model(), TOKENIZER), ROWS, CODE_OPTIONS)
    return Intervener(Engine(thought_run(), model(), TOKENIZER), ROWS, OPTIONS)


def ids(answers) -> list[list[int]]:
    return [answer.ids for answer in answers]


def test_the_untouched_answers_are_those_of_generate(intervener) -> None:
    requests = [Request(row["prompt_ids"]) for row in ROWS]
    written = intervener.answerer.answer(requests, intervener.options)
    assert ids(intervener.answers("untouched")) == ids(written)


def test_vectors_are_the_embeddings_of_the_latents(intervener) -> None:
    before = intervener.untouched
    for row, answer, opening, vectors in zip(ROWS, before.answers, before.openings, intervener.vectors, strict=True):
        given = torch.tensor([[*row["prompt_ids"], *opening]])
        thoughts = given == IDS.thought
        embeds = fill_thoughts(intervener.answerer.model, given, torch.ones_like(given), thoughts)[0]
        start = len(row["prompt_ids"]) + 1
        assert answer.ids[: len(opening)] == opening
        torch.testing.assert_close(vectors, embeds[start : start + len(opening) - 2], rtol=1e-9, atol=1e-9)


def test_no_noise_changes_nothing_and_much_noise_does(intervener) -> None:
    assert (
        ids(intervener.answers("noise:0")) == ids(intervener.answers("noise:0x")) == ids(intervener.untouched.answers)
    )
    noisy = intervener.answers("noise:100")
    assert ids(noisy) != ids(intervener.untouched.answers)
    assert ids(noisy) == ids(intervener.answers("noise:100"))  # seeded
    for now, opening in zip(noisy, intervener.untouched.openings, strict=True):
        assert now.ids[: len(opening)] == opening  # the ids stay, the vectors do not


def test_of_several_spans_the_first_is_changed_and_no_other_decides() -> None:
    run = replace(tiny_run(ids=IDS), method_name="assorted-poisson")
    intervener = Intervener(Engine(run, model(), TOKENIZER), ROWS, OPTIONS)
    assert ids(intervener.answers("noise:0")) == ids(intervener.untouched.answers)
    for answer, opening in zip(intervener.untouched.answers, intervener.untouched.openings, strict=True):
        assert answer.ids[: len(opening)] == opening
        assert not {*answer.ids[len(opening) :]} & {IDS.bo_latent, *IDS.latent_ids}


def test_answers_that_are_cut_off_within_their_latents_are_left_out(monkeypatch) -> None:
    """Their latents have no end behind which anything could be told of them."""
    intervener = Intervener(Engine(tiny_run(ids=IDS), model(), TOKENIZER), ROWS, CODE_OPTIONS)
    answer, cut = Intervener._answer, [1, 3]

    def some_cut(self, *rest, **fields):
        answers = answer(self, *rest, **fields)
        if fields:
            return answers
        return [replace(one, ids=one.ids[:3]) if place in cut else one for place, one in enumerate(answers)]

    monkeypatch.setattr(Intervener, "_answer", some_cut)
    finding = intervention_finding(intervener, ["zeros", "none"], "exact")
    assert [row["row"] for row in intervener.rows] == [0, 2, 4] and len(intervener.answers("zeros")) == 3
    assert finding.title.endswith("3 samples (2 more were cut off within their latents)")
    cut[:] = range(5)
    with pytest.raises(InputError, match="every answer is cut off within its latents; raise --max-new-tokens"):
        Intervener(intervener.answerer, ROWS, CODE_OPTIONS).answers("untouched")


def test_vectors_after_an_intervention(intervener) -> None:
    own = torch.arange(12.0, dtype=torch.float64).reshape(4, 3)
    assert torch.equal(intervener._changed("zeros", 0, own), torch.zeros_like(own))
    shuffled = intervener._changed("shuffled", 0, own)
    assert sorted(shuffled.tolist()) == own.tolist()
    for count in (2, 3, 4):
        few = own[:count]
        assert not any(torch.equal(intervener._changed("shuffled", place, few), few) for place in range(9))
    assert torch.equal(intervener._changed("shuffled", 0, own[:1]), own[:1])  # which has no other order
    many = torch.full((4000, 3), 2.0, dtype=torch.float64)
    assert (intervener._changed("noise:5", 1, many) - many).std() == pytest.approx(5, rel=0.05)
    assert (intervener._changed("noise:5x", 1, many) - many).std() == pytest.approx(10, rel=0.05)


def test_another_samples_latents_are_never_ones_own(intervener) -> None:
    donors = intervener.donors()
    assert sorted(donors) == list(range(len(ROWS))) and all(donor != own for own, donor in enumerate(donors))
    before = intervener.untouched
    for now, donor in zip(intervener.answers("other"), donors, strict=True):
        assert now.ids[: len(before.openings[donor])] == before.openings[donor]


def test_the_vectors_that_the_model_reads_are_the_changed_ones(intervener) -> None:
    """Zeros by hand: the answer continues the prompt whose latents are zero vectors."""
    before = intervener.untouched
    for row, answer, opening in zip(ROWS, intervener.answers("zeros"), before.openings, strict=True):
        given = torch.tensor([[*row["prompt_ids"], *opening]])
        embeds = intervener.answerer.model.get_input_embeddings()(given).clone()
        embeds[0, len(row["prompt_ids"]) + 1 : -1] = 0
        logits = intervener.answerer.model(inputs_embeds=embeds).logits[0, -1]
        logits[IDS.present()] = -torch.inf
        logits[len(TOKENIZER) :] = -torch.inf
        assert answer.ids[len(opening)] == logits.argmax().item()


@pytest.mark.parametrize("kind", ["shuffled", "other"])
def test_codes_that_are_exchanged_are_as_their_vectors_in_place_of_the_own(kind: str) -> None:
    intervener = Intervener(Engine(tiny_run(ids=IDS), model(), TOKENIZER), ROWS, CODE_OPTIONS)
    answers, openings = intervener.answers(kind), intervener.untouched.openings
    changes = [lambda own, other=other: other for other in intervener._changed_vectors(kind)]
    by_vectors = intervener._answer(opening=openings, change=changes)
    for now, other, opening in zip(answers, by_vectors, openings, strict=True):
        assert now.ids[len(opening) :] == other.ids[len(opening) :]
        assert kind == "other" or sorted(now.codes) == sorted(other.codes)
    assert [now.codes for now in answers] != [other.codes for other in by_vectors]


def test_exchanges_between_samples_with_the_same_latents_alter_nothing() -> None:
    """As with pauses: every answer begins with the same span, so that its place has nothing to do with it."""
    intervener = Intervener(Engine(tiny_run(ids=IDS), model(), TOKENIZER), ROWS, CODE_OPTIONS)
    span = [IDS.bo_latent, IDS.latent(1), IDS.latent(1), IDS.eo_latent]
    intervener.untouched = Untouched(intervener._answer(opening=[span] * len(ROWS)), [span] * len(ROWS))
    intervener.left_out = 0
    found = {row["intervention"]: row["altered"] for row in intervention_finding(intervener, DEFAULT, "exact").rows}
    wanted = {"untouched": 0, "shuffled": 0, "other": 0} | dict.fromkeys(("fewer", "more", "none"), 1)
    assert found == wanted | dict.fromkeys(("noise:1x", "noise:100", "zeros"), 1)


@pytest.mark.parametrize(("kind", "latents"), [("fewer", 1), ("more", 4), ("none", 0)])
def test_other_numbers_of_codes(kind: str, latents: int) -> None:
    intervener = Intervener(Engine(tiny_run(ids=IDS), model(), TOKENIZER), ROWS, CODE_OPTIONS)
    answers = intervener.answers(kind)
    assert [answer.counts.latent for answer in answers] == [latents] * len(ROWS)
    mode = LatentMode("exact", latents) if latents else LatentMode("text")
    requests = [Request(row["prompt_ids"]) for row in ROWS]
    exact = intervener.answerer.answer(requests, replace(OPTIONS, latents=mode))
    assert [answer.codes for answer in answers] == [answer.codes for answer in exact]


@pytest.mark.parametrize(("kind", "thoughts"), [("fewer", 2), ("more", 6), ("none", 0)])
def test_other_numbers_of_thoughts(kind: str, thoughts: int) -> None:
    intervener = Intervener(Engine(thought_run(), model("gpt2"), TOKENIZER), ROWS, OPTIONS)
    requests = [Request(row["prompt_ids"]) for row in ROWS]
    asked = replace(OPTIONS, thoughts=thoughts)
    assert ids(intervener.answers(kind)) == ids(intervener.answerer.answer(requests, asked))


def test_counts_by_hand() -> None:
    assert [new_count("fewer", n) for n in (0, 1, 2, 5)] == [0, 0, 1, 2]
    assert [new_count("more", n) for n in (0, 1, 2, 5)] == [0, 2, 3, 7]


def test_the_opening_is_a_span_at_the_start() -> None:
    bo, eo, latent = IDS.bo_latent, IDS.eo_latent, IDS.latent(1)
    assert opening_of([bo, latent, eo, 5, 0], IDS) == [bo, latent, eo]
    assert opening_of([5, bo, latent, eo, 0], IDS) == []
    assert opening_of([bo, latent, latent], IDS) == []
    cut = [is_cut_off(ids, IDS) for ids in ([bo, latent, latent], [bo, latent, eo, 5], [5, bo], [], [IDS.bo_thought])]
    assert cut == [True, False, False, False, True]
    assert opening_of([], IDS) == []
    assert opening_of([IDS.bo_thought, IDS.thought, IDS.eo_thought, 5], IDS)[-1] == IDS.eo_thought


def test_the_table_and_its_plot(intervener, tmp_path) -> None:
    finding = intervention_finding(intervener, DEFAULT, "exact")
    assert [row["intervention"] for row in finding.rows] == ["untouched", *DEFAULT]
    first, none = finding.rows[0], finding.rows[-1]
    assert (first["difference"], first["changed"], first["p"], first["altered"]) == (0, 0, 1, 0)
    assert none["altered"] == 1 and all(0 <= row["altered"] <= 1 for row in finding.rows)
    assert first["latents"] == (3 if intervener.answerer.run.method_name == "assorted" else 4) and none["latents"] == 0
    for row in finding.rows:
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert row["difference"] == pytest.approx(row["accuracy"] - first["accuracy"])
    assert all(path.stat().st_size > 100 for path in finding.write(tmp_path))


def test_a_method_without_latents_is_refused() -> None:
    with pytest.raises(InputError, match="'cot' has no latents or thoughts"):
        Intervener(Engine(tiny_run("cot"), model(), TOKENIZER), ROWS, OPTIONS)
    with pytest.raises(InputError, match="compare greedy answers"):
        Intervener(Engine(tiny_run(), model(), TOKENIZER), ROWS, replace(OPTIONS, temperature=1.0))


def test_interventions_are_read_from_text() -> None:
    assert parse_interventions("noise:0.5x, zeros,zeros") == ["noise:0.5x", "zeros"]
    with pytest.raises(InputError, match="'noise': there is no such one; choose from noise:S"):
        parse_interventions("zeros,noise")
