"""Answers after continuous thoughts: decoding by ``generate``, the learned end of thinking, changed thoughts."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import Cache, GenerationConfig

from mixlm.data.template import Template
from mixlm.errors import InputError
from mixlm.generation.answerer import Request
from mixlm.generation.answers import Answer
from mixlm.generation.engine import Engine
from mixlm.generation.options import GenerationOptions, LatentMode
from mixlm.generation.prefill import prefill, think
from mixlm.model.forward import thoughtful_batch
from mixlm.model.special_tokens import BO_THOUGHT, EO_THOUGHT, THOUGHT, add_project_tokens, special_ids
from mixlm.model.thoughts.layout import cut_up
from mixlm.model.thoughts.stop import STOP, STOP_FILE, add_stop, load_stop, save_stop, stop_loss
from mixlm.model.thoughts.thinking import thought_generate
from mixlm.run import Run
from tests.tiny_runs import tiny_model, tiny_run, tiny_tokenizer
from tests.tiny_thoughts import (
    FAMILIES,
    WITHOUT_CACHE,
    Row,
    embed_row,
    family_of,
    make_batch,
    make_row,
    plain_continuation,
    random_lm,
)


TOKENIZER = tiny_tokenizer()
add_project_tokens(TOKENIZER, [BO_THOUGHT, THOUGHT, EO_THOUGHT])
IDS = special_ids(TOKENIZER)
PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 1, 2, 3, 4], [0, 0, 2], [7, 7], [3, 2, 1, 5]]
NEW = 8


@pytest.fixture(params=[*FAMILIES, WITHOUT_CACHE])
def model(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """A random model in float64; some of its rows stand for no token. One is taken for a model without passes."""
    return tiny_model(family_of(request.param, monkeypatch))


def coconut(stage: int = 3, method: str = "coconut", **options: object) -> Run:
    """A run whose training ended in ``stage``: three stages of one step each, two thoughts a step."""
    options = {"stages": 3, "thoughts_per_step": 2, "first_epochs": 1.0, "epochs_per_stage": 1.0, **options}
    return Run(Path("run"), method, Template(), IDS, method_options=options, step=stage, steps_per_epoch=1)


def with_thoughts(prompt: list[int], count: int) -> Row:
    """A prompt, ``count`` thoughts within their delimiters."""
    ids = [*prompt, IDS.bo_thought, *[IDS.thought] * count, IDS.eo_thought]
    return ids, [token == IDS.thought for token in ids]


def by_definition(model, prompt: list[int], count: int) -> list[int]:
    """What follows a prompt: the thoughts, and greedy text without cache and batch."""
    row = with_thoughts(prompt, count)
    forbidden = [*IDS.present(), *range(len(TOKENIZER), model.config.vocab_size)]
    return [*row[0][len(prompt) :], *plain_continuation(model, row, NEW, IDS.eos, forbidden)]


def answers(model, run: Run, prompts=PROMPTS, **options: object) -> list[Answer]:
    requests, settings = [Request(prompt) for prompt in prompts], {"max_new_tokens": NEW, **options}
    return Engine(run, model, TOKENIZER).answer(requests, GenerationOptions(**settings))


@pytest.mark.parametrize("batch_size", [1, 4, 6])
@pytest.mark.parametrize("stage", [1, 3, 4])
def test_answers_are_those_of_the_definition(model, stage: int, batch_size: int) -> None:
    """Two thoughts for each stage reached, six at most; any batch size gives the same."""
    expected = [by_definition(model, prompt, 2 * min(stage, 3)) for prompt in PROMPTS]
    assert len({tuple(ids[-4:]) for ids in expected}) > 3
    assert [answer.ids for answer in answers(model, coconut(stage), batch_size=batch_size)] == expected


@pytest.mark.parametrize("count", [0, 1, 5])
def test_any_number_of_thoughts(model, count: int) -> None:
    for answer, prompt in zip(answers(model, coconut(), thoughts=count, batch_size=4), PROMPTS, strict=True):
        assert answer.ids == by_definition(model, prompt, count)
        counts = answer.counts
        assert (counts.thought, counts.thought_delimiter) == (count, 2)
        assert counts.text == len(answer.ids) - count - 2 and counts.latent == counts.pause == 0
        assert (counts.total, counts.paper_tokens) == (len(answer.ids), len(answer.ids) - 2)
        assert answer.text == TOKENIZER.decode(answer.ids[count + 2 :], skip_special_tokens=True)


@pytest.mark.parametrize("stop", ["constant", "learned"])
def test_the_first_stage_has_the_delimiters_alone(model, stop: str) -> None:
    written = [answer.ids for answer in answers(model, coconut(0, stop=stop))]
    assert written == [by_definition(model, prompt, 0) for prompt in PROMPTS]


def test_sampling_is_reproducible_and_follows_the_thoughts(model) -> None:
    run, settings = coconut(), {"temperature": 3.0, "samples": 4, "batch_size": 5}
    first = answers(model, run, seed=1, **settings)
    assert first == answers(model, run, seed=1, **settings)
    assert first != answers(model, run, seed=2, **settings)
    assert len({tuple(answer.ids) for answer in first[:4]}) > 1
    assert all(answer.ids[:8] == with_thoughts([], 6)[0] for answer in first)
    likeliest = answers(model, run, top_k=1, batch_size=5)
    assert [answer.ids for answer in likeliest] == [by_definition(model, prompt, 6) for prompt in PROMPTS]


def test_thoughts_that_do_not_fit_the_context_are_refused() -> None:
    with pytest.raises(InputError, match="ask for fewer thoughts"):
        answers(tiny_model("llama", context=10), coconut())
    with pytest.raises(InputError, match="has no thoughts"):
        answers(tiny_model("llama"), tiny_run("cot"), thoughts=3)


@pytest.mark.parametrize("family", FAMILIES)
def test_prefill_and_generate_equal_thought_generate(family: str) -> None:
    """Rows with other numbers of thoughts, at any places, none among them."""
    model = random_lm(family)
    patterns = ["TTTx", "xTxxTTx", "x", "TxxxTx"]
    prompts = make_batch([make_row(2 + i, pattern, i) for i, pattern in enumerate(patterns)]).prompts
    given = prefill(model, *prompts, NEW)
    settings = GenerationConfig(max_new_tokens=NEW, do_sample=False, eos_token_id=None, pad_token_id=0)
    model.generation_config = GenerationConfig()
    written = model.generate(**given, generation_config=settings)
    assert torch.equal(written[:, given["input_ids"].shape[1] :], thought_generate(model, *prompts, NEW, -1))
    plain = prefill(model, prompts[0], prompts[1], torch.zeros_like(prompts[2]), NEW)
    assert plain.keys() == {"input_ids", "attention_mask"} and plain["input_ids"] is prompts[0]


def make_it_fire(model, stops: dict[int, int], most: int) -> None:
    """Set the classifier by hand: for prompt i it first fires at thought ``stops[i]``, or beyond ``most`` never."""
    add_stop(model)
    head = model.get_submodule(STOP).double()
    thoughts, wanted = [], []
    with torch.no_grad():
        for index, stop in stops.items():
            row, start = with_thoughts(PROMPTS[index], most), len(PROMPTS[index]) + 1
            thoughts.append(embed_row(model, row)[start : start + min(stop, most)])
            wanted += [1.0 if number == stop else -1.0 for number in range(1, min(stop, most) + 1)]
        points = torch.cat(thoughts)
        points = torch.cat([points, torch.ones(len(points), 1)], 1)
        solved = torch.linalg.lstsq(points, torch.tensor(wanted).double()[:, None]).solution[:, 0]
        assert torch.equal((points @ solved > 0), torch.tensor(wanted) > 0)
        head.weight.copy_(solved[None, :-1])
        head.bias.copy_(solved[-1:])


def test_each_row_thinks_until_its_classifier_fires(model) -> None:
    """Rows end after 1, 3 and 4 thoughts, one never: what they write is what that number alone gives."""
    stops, run = {0: 1, 2: 3, 1: 4, 5: 9}, coconut(stop="learned", pad_to_max=False)
    make_it_fire(model, stops, 6)
    prompts = [PROMPTS[index] for index in stops]
    expected = [by_definition(model, PROMPTS[index], min(stop, 6)) for index, stop in stops.items()]
    for batch_size in (1, 2, 4):
        assert [answer.ids for answer in answers(model, run, prompts, batch_size=batch_size)] == expected
    assert [answer.counts.thought for answer in answers(model, run, prompts)] == [1, 3, 4, 6]
    two = answers(model, run, prompts, thoughts=2)  # a number that is asked for goes before the classifier
    assert [answer.ids for answer in two] == [by_definition(model, prompt, 2) for prompt in prompts]


def test_what_think_returns(model) -> None:
    make_it_fire(model, {0: 1, 1: 3}, 3)
    rows = [([*PROMPTS[0], IDS.bo_thought], [False] * 4), ([*PROMPTS[1], IDS.bo_thought], [False] * 2)]
    batch = make_batch(rows, garbage=False)
    given = think(model, batch.ids, batch.mask, 5, IDS, NEW)
    caches = [value for value in given.values() if isinstance(value, Cache)]
    gaps = [[1, 1, 1, 1, 1, 0, 0, 1], [0, 0, 1, 1, 1, 1, 1, 1]]
    assert given["attention_mask"].tolist() == (gaps if caches else [[1] * 6, [1] * 6])
    for ids, mask, index, count in zip(*[given[name] for name in ("input_ids", "attention_mask")], (0, 1), (1, 3)):  # noqa: B905
        assert ids[mask.bool()].tolist() == with_thoughts(PROMPTS[index], count)[0]
    assert all(cache.get_seq_length() == 7 for cache in caches)  # the last column is still to come


@pytest.mark.parametrize(("bias", "count"), [(100.0, 1), (-100.0, 6)])
def test_at_least_one_thought_and_at_most_as_many_as_the_constant_length(model, bias: float, count: int) -> None:
    add_stop(model)
    torch.nn.init.constant_(model.get_submodule(STOP).bias, bias)
    learned = answers(model, coconut(stop="learned"), batch_size=4)
    assert learned == answers(model, coconut(), thoughts=count, batch_size=4)
    assert [answer.ids for answer in learned] == [by_definition(model, prompt, count) for prompt in PROMPTS]
    early = answers(model, coconut(1, stop="learned"))
    assert {answer.counts.thought for answer in early} == {min(count, 2)}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_of_the_classifier_by_hand(family: str) -> None:
    """Targets 0, 0, 1 along a row's thoughts; a sum; the language model is not moved by it."""
    model = random_lm(family)
    add_stop(model)
    head = model.get_submodule(STOP)
    torch.nn.init.normal_(head.weight, std=0.3)
    torch.nn.init.constant_(head.bias, -0.2)
    rows = [make_row(2, "TTTx", 1), make_row(3, "xTxTx", 2), make_row(4, "xx", 3), make_row(2, "T", 4)]
    batch = make_batch(rows)
    expected = torch.zeros(())
    for row in rows:
        scores = head(embed_row(model, row)[torch.tensor(row[1])])[:, 0]
        for place, score in enumerate(scores):
            chance = score.sigmoid()
            expected = expected - (chance if place == len(scores) - 1 else 1 - chance).log()
    output = thoughtful_batch(model, *batch.prompts, head=head)
    torch.testing.assert_close(output["stop_loss"], expected, atol=1e-4, rtol=1e-4)
    output["stop_loss"].backward()
    assert head.weight.grad.abs().max() > 0 and head.bias.grad.abs() > 0
    assert all(value.grad is None for name, value in model.named_parameters() if not name.startswith(STOP))


def test_a_batch_without_thoughts_still_reaches_the_classifier() -> None:
    """Its loss is 0 and its gradient too, not missing: other processes may have thoughts in the same step."""
    model = random_lm("llama")
    add_stop(model)
    batch = make_batch([make_row(3, "xx"), make_row(6, "xx")])
    output = thoughtful_batch(model, batch.ids, batch.mask, head=model.get_submodule(STOP))
    output["stop_loss"].backward()
    assert output["stop_loss"] == 0 and not model.get_submodule(STOP).weight.grad.any()
    plain = model(input_ids=batch.ids, attention_mask=batch.mask).logits
    torch.testing.assert_close(output["logits"][1], plain[1], atol=1e-5, rtol=1e-5)
    cut = cut_up(*batch.prompts)
    assert stop_loss(model.get_submodule(STOP), cut.thoughts, torch.zeros(*cut.ids.shape, 32)) == 0


def test_the_classifier_is_saved_beside_the_model_and_read_back(tmp_path: Path) -> None:
    model, other = random_lm("llama"), random_lm("llama")
    names = set(model.state_dict())
    add_stop(model)
    torch.nn.init.normal_(model.get_submodule(STOP).weight)
    weight = model.get_submodule(STOP).weight.detach().clone()
    assert set(model.state_dict()) - names == {f"{STOP}.weight", f"{STOP}.bias"}
    save_stop(model, tmp_path)
    assert set(model.state_dict()) == names and (tmp_path / STOP_FILE).is_file()
    load_stop(other, tmp_path)
    assert torch.equal(other.get_submodule(STOP).weight, weight)


@pytest.mark.parametrize("thoughts", [0, 2, 6])
def test_thoughts_changed_into_themselves_change_nothing(model, thoughts: int) -> None:
    engine, options = Engine(coconut(), model, TOKENIZER), GenerationOptions(NEW, thoughts=thoughts, batch_size=4)
    seen: list[int] = []

    def same(own: torch.Tensor) -> torch.Tensor:
        seen.append(len(own))
        return own.clone()

    def changed(change) -> list[Answer]:
        return engine.answer([Request(prompt, change=change) for prompt in PROMPTS], options)

    run = engine.run
    assert changed(same) == answers(model, run, thoughts=thoughts, batch_size=4)
    assert seen == [thoughts] * len(PROMPTS)
    zeroed = changed(torch.zeros_like)
    assert (zeroed == answers(model, run, thoughts=thoughts)) == (thoughts == 0)


def test_codes_changed_into_themselves_change_nothing(model) -> None:
    run = tiny_run()
    opening = [run.ids.bo_latent, run.ids.latent(3), run.ids.latent(0), run.ids.eo_latent]
    engine, counted = Engine(run, model, TOKENIZER), []

    def opened(change=None) -> list[Answer]:
        requests = [Request(prompt, opening=opening, change=change) for prompt in PROMPTS]
        return engine.answer(requests, GenerationOptions(max_new_tokens=NEW, batch_size=4))

    plain = opened()
    assert all(answer.codes == [3, 0] for answer in plain)
    assert plain == opened(lambda own: counted.append(len(own)) or own)
    assert counted == [2] * len(PROMPTS)


def test_requests_may_differ_in_all_they_ask(model) -> None:
    """An opening, a number, a change and none of them, side by side: each answer is that of the request alone."""
    run, zeros = tiny_run(), torch.zeros_like
    opening = [run.ids.bo_latent, run.ids.latent(3), run.ids.latent(0), run.ids.eo_latent]
    requests = [
        Request([1, 2, 3], opening=opening),
        Request([4], latents=LatentMode("exact", 2)),
        Request([5, 6, 7, 1], opening=opening, change=zeros),
        Request([0, 0, 2]),
    ]
    engine, options = Engine(run, model, TOKENIZER), GenerationOptions(max_new_tokens=NEW, batch_size=4)
    together = engine.answer(requests, options)
    assert together == [answer for request in requests for answer in engine.answer([request], options)]
    assert together[2] != engine.answer([replace(requests[2], change=None)], options)[0]
