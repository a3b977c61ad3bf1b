import shutil
import threading
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from mixlm.errors import InputError
from mixlm.generation.answerer import Request
from mixlm.generation.engine import Engine
from mixlm.generation.options import GenerationOptions
from mixlm.generation.server.endpoint import Endpoint, NoServer
from mixlm.generation.server.seeds import seed_of
from tests.completions_stub import Stub, serving
from tests.mixlm.analysis.test_interventions import TOKENIZER, model, thought_run
from tests.tiny_runs import saved_run


OPTIONS = GenerationOptions(max_new_tokens=12)
TEXTS = [f"{a} + {b} ?" for a in range(1, 4) for b in range(4, 8)]


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Engine:
    """A run that writes text, with a model that takes no other token: one request is an answer."""
    engine = Engine(saved_run(tmp_path_factory.mktemp("runs") / "run", "cot"))
    with torch.no_grad():
        rows = engine.model.lm_head.weight
        rows[[*engine.run.ids.present(), *range(len(engine.tokenizer), len(rows))]] = 0
    return engine


@pytest.fixture
def stub(engine) -> Stub:
    return Stub(engine)


@pytest.fixture
def no_pauses(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)


@pytest.fixture
def questions(engine) -> list[Request]:
    return [engine.request(text) for text in TEXTS]


def ask(stub: Stub, questions, options=OPTIONS, **settings):
    with serving(stub) as url:
        return Endpoint(url, stub.engine, **settings).answer(questions, options)


def local(stub: Stub, questions, options=OPTIONS):
    return stub.engine.answer(questions, options)


@pytest.mark.parametrize("ends", [True, False])
def test_answers_of_a_server_that_returns_ids_are_those_of_decoding_here(stub, questions, ends):
    stub.ends = ends
    answers = ask(stub, questions)
    assert answers == local(stub, questions)
    assert {body["model"] for body in stub.bodies} == {"served"}
    for body in stub.bodies:
        assert body["return_token_ids"] is True and body["skip_special_tokens"] is False
        assert (body["temperature"], body["max_tokens"]) == (0, 12)
    prompts = sorted(body["prompt"] for body in stub.bodies)
    assert prompts == sorted(question.prompt_ids for question in questions)


@pytest.mark.parametrize("takes_ids", [True, False])
def test_of_a_server_without_ids_text_and_number_of_tokens_are_known(stub, questions, takes_ids):
    stub.takes_ids, stub.returns_ids = takes_ids, False
    answers, expected = ask(stub, questions), local(stub, questions)
    assert [answer.text for answer in answers] == [answer.text for answer in expected]
    assert [answer.counts.total for answer in answers] == [answer.counts.total for answer in expected]
    assert [answer.finished for answer in answers] == [answer.finished for answer in expected]
    assert all(answer.ids is None and answer.codes is None for answer in answers)
    counts = answers[0].counts.to_dict()
    assert counts.keys() == expected[0].counts.to_dict().keys()
    assert {name for name, value in counts.items() if value is not None} == {"total"}


@pytest.mark.parametrize("opening", [None, [3, 5]])
@pytest.mark.parametrize("ids", [True, False])
def test_what_the_model_is_given_after_the_prompt_counts_as_it_does_here(tmp_path, ids, opening):
    engine = Engine(saved_run(tmp_path / "run", "pause"))
    questions = [replace(engine.request(text), opening=opening) for text in TEXTS[:3]]
    answers = ask(Stub(engine, takes_ids=ids, returns_ids=ids), questions)
    expected = engine.answer(questions, OPTIONS)
    assert [answer.counts.total for answer in answers] == [answer.counts.total for answer in expected]
    assert not ids or answers == expected and answers[0].counts.pause == (10 if opening is None else 0)


def test_sampling_asks_for_every_sample_with_a_seed_of_its_own(stub, questions):
    options = replace(OPTIONS, temperature=1.5, samples=3, seed=7, top_k=5)
    answers = ask(stub, questions[:2], options)
    asked = {body["seed"] for body in stub.bodies}
    assert asked == {seed_of(7, place, 0) for place in range(6)} and len(asked) == 6 and max(asked) < 2**31
    assert {(body["temperature"], body["top_p"], body["top_k"]) for body in stub.bodies} == {(1.5, 1.0, 5)}
    assert ask(stub, questions[:2], options) == answers
    assert len({seed_of(seed, place, turn) for seed in range(9) for place in range(9) for turn in range(9)}) == 9**3


def test_settings_of_the_checkpoint_are_not_left_to_the_server(stub, questions):
    """Where a request has none, vLLM takes them from the generation config."""
    neutral = {"repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "min_p": 0.0, "top_k": -1}
    for options in (OPTIONS, replace(OPTIONS, temperature=1.0)):
        ask(stub, questions[:2], options)
    assert stub.bodies and all(neutral.items() <= body.items() for body in stub.bodies)


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_requests_than_asked_for_are_under_way(stub, questions, concurrency):
    stub.delay = 0.05
    ask(stub, questions, concurrency=concurrency)
    assert stub.most == concurrency


def test_passing_failures_are_repeated_and_the_answers_are_the_same(stub, questions):
    stub.failures = [503, 429, 500]
    assert ask(stub, questions[:3], concurrency=1) == local(stub, questions[:3])
    assert len(stub.bodies) == 3 + 3


def test_a_question_that_is_refused_says_why_and_the_others_are_answered(stub, questions):
    stub.refused = "2 + 5"
    answers, expected = ask(stub, questions), local(stub, questions)
    place = TEXTS.index("2 + 5 ?")
    assert answers[place].error == "status 400, the prompt is too long" and not answers[place].finished
    assert answers[:place] == expected[:place] and answers[place + 1 :] == expected[place + 1 :]


@pytest.mark.parametrize("status", [503, 500])
def test_a_server_that_answers_nobody_any_more_is_gone_and_one_that_fails_at_a_question_is_not(
    stub, questions, status, no_pauses
):
    with serving(stub) as url:
        endpoint = Endpoint(url, stub.engine, concurrency=1, retries=1)
        stub.failures = [None, *[status] * 9]
        found = endpoint.decoded(endpoint.plan(questions[:2], OPTIONS), OPTIONS)
        assert next(found)[0][1] == local(stub, questions[:1])[0]
        if status == 500:
            assert next(found)[0][1].error == "status 500, busy"
        else:
            with pytest.raises(NoServer, match=r"/v1: no server answers \(status 503, busy\)"):
                next(found)
        assert len(stub.failures) == 7


def test_a_question_that_brings_down_a_server_which_answers_others_is_its_own_fault(stub, questions):
    complete, poison, later = stub.complete, questions[2].prompt_ids, threading.Event()

    def brittle(body: dict) -> tuple[int, dict]:
        if body["prompt"] == poison:
            later.wait(60)
            return 503, {"error": "busy"}
        if body["prompt"] == questions[9].prompt_ids:  # others were answered since
            later.set()
        return complete(body)

    stub.complete = brittle
    answers = ask(stub, questions, concurrency=3, retries=0)
    assert [answer.error for answer in answers if answer.error] == ["status 503, busy"] and answers[2].error


def test_that_a_server_is_tried_again_is_said_once(stub, questions, no_pauses):
    said = []
    with serving(stub) as url:
        endpoint = Endpoint(url, stub.engine, concurrency=1, retries=4, say=said.append)
        stub.failures = [None, *[503] * 4]
        assert endpoint.answer(questions[:3], OPTIONS) == local(stub, questions[:3])
    assert said == [f"note: {url}/v1 does not answer (status 503); it is tried again for a while"]


def test_what_is_not_wanted_is_not_asked(stub, questions):
    with serving(stub) as url:
        endpoint = Endpoint(url, stub.engine, concurrency=2)
        pending = endpoint.plan(questions, OPTIONS, first=100)
        found = [*endpoint.decoded(pending, OPTIONS, lambda one: bool(one[0].place % 2))]
    expected = local(stub, questions)
    assert {one.place: answer for ((one, answer),) in found} == {100 + n: expected[n] for n in range(1, 12, 2)}
    assert len(stub.bodies) == 6


def test_before_each_batch_of_thoughts_it_is_asked_whether_to_go_on():
    engine = Engine(thought_run(), model(), TOKENIZER)
    endpoint, asked, options = Endpoint("http://127.0.0.1:9", engine), [], replace(OPTIONS, batch_size=1)
    pending = engine.plan([Request([1, 2, 3])] * 3, options)
    starts = endpoint._starts(pending, options, lambda one: asked.append(one) or len(asked) < 3)
    assert [next(starts).pending, len(asked)] == [pending[0], 1]
    assert [start.pending for start in starts] == [pending[1]] and len(asked) == 3


@pytest.mark.parametrize("ids", [True, False])
def test_a_first_question_that_is_refused_does_not_keep_the_others_from_their_answers(stub, questions, ids):
    stub.takes_ids = stub.returns_ids = ids
    stub.refused = "1 + 4"
    first, *others = ask(stub, questions)
    expected = local(stub, questions)[1:]
    assert first.error.startswith("status 4") and [one.text for one in others] == [one.text for one in expected]
    assert not ids or others == expected and first.error == "status 400, the prompt is too long"


def test_a_call_of_which_every_question_is_refused_ends_and_the_next_one_is_asked_as_before(stub, questions):
    with serving(stub) as url:
        endpoint = Endpoint(url, stub.engine)
        stub.refused = "1 +"
        with pytest.raises(InputError, match="refuses the question: status 400, the prompt is too long"):
            endpoint.answer(questions[:2], OPTIONS)
        stub.refused = None
        assert endpoint.answer(questions[:2], OPTIONS) == local(stub, questions[:2])


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_server_that_lets_nobody_in_is_asked_no_further(stub, questions, status):
    stub.complete = lambda body: (status, {"error": {"message": "no"}})
    with pytest.raises(InputError, match=f"refuses the question: status {status}, no"):
        ask(stub, questions)
    assert len(stub.bodies) <= 2


@pytest.mark.parametrize("ids", [True, False])
def test_a_server_of_a_run_with_other_weights_is_refused_unless_its_model_is_named(stub, questions, tmp_path, ids):
    stub.takes_ids = stub.returns_ids = ids
    questions = questions[:2]
    other, same = saved_run(tmp_path / "other", "cot"), shutil.copytree(stub.engine.run.path, tmp_path / "same")
    (tmp_path / "empty").mkdir()
    expected = [answer.text for answer in local(stub, questions)]
    for source in (same, tmp_path / "empty", tmp_path / "nowhere", "", "a" * 2000, "\0", None):
        stub.source = source and str(source)
        assert [answer.text for answer in ask(stub, questions)] == expected
    stub.source, stub.bodies = str(other.path), []
    changed = load_file(other.path / "model.safetensors")
    changed["model.norm.weight"] += 1
    save_file(changed, other.path / "model.safetensors", {"format": "pt"})
    other.save()
    with pytest.raises(
        InputError, match="other, which has other weights than .*run; .* say by --served-model that it"
    ):
        ask(stub, questions)
    with serving(stub) as url, pytest.raises(InputError, match="which has other weights than"):
        Endpoint(url, stub.engine).scored([[5, 6]])  # of answers that were all kept before
    assert not stub.bodies
    assert [answer.text for answer in ask(stub, questions, name="served")] == expected
    stub.source = f"/{other.path}"  # may be another host's
    assert [answer.text for answer in ask(stub, questions)] == expected


def test_a_model_that_a_server_does_not_have_is_told_with_those_that_it_has(stub, questions):
    stub.complete = lambda body: (404, {"error": {"message": "no such model"}})
    with pytest.raises(InputError, match="has no model 'mine', only served; name it by --served-model"):
        ask(stub, questions, name="mine")


def test_a_key_is_sent_if_there_is_one(stub, questions, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    ask(stub, questions[:1])
    assert stub.headers[0]["Authorization"] == "Bearer secret"


def test_a_text_of_which_a_server_would_make_other_ids_is_not_sent(stub, questions):
    stub.takes_ids = stub.returns_ids = False
    typed = stub.engine.request("<latent_3> ?")
    for asked in ([questions[0], typed], [typed, questions[0]]):
        errors = {one is typed: answer.error for one, answer in zip(asked, ask(stub, asked), strict=True)}
        assert errors[False] is None and "would read other ids out of it" in errors[True]


def test_what_a_request_asks_of_a_server_in_vain_is_refused_before_it_is_asked(stub, questions):
    with pytest.raises(InputError, match="the question: a server cannot change what the model reads"):
        ask(stub, [*questions, replace(questions[0], change=lambda vectors: vectors)])
    assert not stub.bodies


def test_the_context_bounds_answers_of_a_server_as_here(stub, questions):
    long = replace(OPTIONS, max_new_tokens=1000)
    answers = ask(stub, questions[:2], long)
    assert answers == local(stub, questions[:2], long) and max(body["max_tokens"] for body in stub.bodies) < 64
    with pytest.raises(InputError, match="the prompt has 64 tokens, the model's context holds 64"):
        ask(stub, [Request([3] * 64)])


def test_of_nothing_to_answer_nothing_is_asked(stub):
    assert ask(stub, []) == [] and not stub.bodies


@pytest.mark.parametrize("ids", [[3, -1], [3, 10**9], [3.5], [True]])
def test_ids_that_the_run_does_not_have_are_refused(stub, questions, ids):
    answer = stub.complete
    stub.complete = lambda body: (200, {"choices": [{**answer(body)[1]["choices"][0], "token_ids": ids}]})
    with pytest.raises(InputError, match="/v1: sends token ids that the run does not have"):
        ask(stub, questions[:1])


@pytest.mark.parametrize("choice", [1, "text", {}, {"text": 3, "token_ids": [3]}, {"text": None}, None])
def test_what_is_no_completion_is_one_line(stub, questions, choice):
    stub.complete = lambda body: (200, {"choices": [choice]})
    with pytest.raises(InputError, match="none of a completions server"):
        ask(stub, questions[:1])


@pytest.mark.parametrize("usage", [None, 3, {}, {"completion_tokens": None}, {"completion_tokens": "3"}])
def test_a_server_of_text_says_how_many_tokens_there_are(stub, questions, usage):
    stub.complete = lambda body: (200, {"choices": [{"text": "3", "token_ids": None}], "usage": usage})
    with pytest.raises(InputError, match="/v1: does not say how many tokens"):
        ask(stub, questions[:1])


@pytest.mark.parametrize("ids", [None, "abc"])
def test_ids_that_come_no_more_are_told_at_their_question(stub, questions, ids):
    complete = stub.complete

    def forgetful(body: dict) -> tuple[int, dict]:
        status, reply = complete(body)
        reply["choices"][0] |= {} if body["prompt"] == questions[0].prompt_ids else {"token_ids": ids}
        return status, reply

    stub.complete = forgetful
    first, second = ask(stub, questions[:2])
    assert first.ids and "sends token ids that the run does not have" in second.error


@pytest.mark.parametrize("url", ["localhost:8000", None])
def test_an_address_has_a_scheme(engine, url):
    with pytest.raises(InputError, match=f"--endpoint {url}: is no address .*begin with http://"):
        Endpoint(url, engine)


def test_somebody_asks(engine):
    with pytest.raises(InputError, match="--concurrency 0: give a number from 1 up"):
        Endpoint("http://127.0.0.1:1", engine, concurrency=0)


@pytest.mark.parametrize("name", [None, "served"])
def test_a_server_that_is_not_there_is_one_line(engine, questions, name):
    with pytest.raises(InputError, match=r"http://127.0.0.1:1/v1: no server answers \(.*refused.*\)") as caught:
        Endpoint("http://127.0.0.1:1/v1/", engine, name, retries=0).answer(questions, OPTIONS)
    assert "\n" not in str(caught.value)
