import pytest

from mixlm.errors import InputError
from mixlm.generation.options import GenerationOptions
from mixlm.generation.server.model_server import ModelServer
from mixlm.generation.server.seeds import seed_of
from mixlm.sampling.answering import AnsweringModel, Said, Wanted
from mixlm.sampling.asking import Asking
from mixlm.sampling.problems import Problem, read_problem
from tests.chat_stub import ChatStub, chatting, message, question_in
from tests.hostile_server import hostile, sending


OPTIONS = GenerationOptions(temperature=0.5, samples=2, max_new_tokens=9)
CHAT, TEXT = (Asking("exact", "{question}", completions, options=OPTIONS) for completions in (False, True))
WANTED = [
    Wanted(row * 2 + number, Problem(row, read_problem({"question": f"{row}?", "answer": "1"})), number)
    for row in range(4)
    for number in range(2)
]


def answers(reply, asking=CHAT, wanted=WANTED, name=None, concurrency=4, models=("served",)):
    """Ask for answers; returns what was said, in the order of the questions, and the server."""
    stub = ChatStub(reply)
    stub.models = models
    with chatting(stub) as url:
        model = AnsweringModel(ModelServer(url, concurrency, 2, lambda line: None), asking, name, concurrency)
        found = dict((one.place, said) for one, said in model.answers(wanted))
    return [found[one.place] for one in wanted], stub


@pytest.mark.parametrize("concurrency", [1, 3, 16])
def test_each_answer_is_asked_for_by_itself_with_the_seed_of_its_place(concurrency):
    said, stub = answers(lambda body: message(f"{question_in(body)} {body['seed']}"), concurrency=concurrency)
    seeds = [seed_of(0, one.problem.row, one.number) for one in WANTED]
    assert [one.turn["content"] for one in said] == [f"{place // 2}? {seed}" for place, seed in enumerate(seeds)]
    assert {path for path, _ in stub.asked} == {"/v1/chat/completions"} and len(stub.asked) == 8
    body = next(body for body in stub.bodies if body["seed"] == seeds[0])
    assert body == {"model": "served", "messages": [{"role": "user", "content": "0?"}], "temperature": 0.5,
                    "seed": seeds[0], "max_tokens": 9}  # fmt: skip


def test_a_text_is_gone_on_with():
    said, stub = answers(lambda body: (200, {"choices": [{"text": body["prompt"], "finish_reason": "length"}]}), TEXT)
    assert [one.turn["content"] for one in said] == [f"{one.problem.row}?" for one in WANTED]
    assert {one.ending for one in said} == {"length"} and {path for path, _ in stub.asked} == {"/v1/completions"}


def test_what_is_said_is_taken_with_its_reasoning_and_nothing_else():
    more = {
        "reasoning_content": None,
        "reasoning": "r",
        "thinking": [1],
        "tool_calls": [],
        "refusal": None,
        "role": "x",
    }
    said, _ = answers(lambda body: message(None, None, **more), wanted=WANTED[:1])
    turn = {"content": None, "reasoning_content": None, "reasoning": "r", "thinking": [1], "tool_calls": []}
    assert said == [Said(turn, None)]


def test_a_server_that_knows_another_name_for_the_length_limit_is_asked_by_that():
    def reply(body):
        if "max_tokens" in body:
            return 400, {"error": {"message": "Unsupported: 'max_tokens'. Use 'max_completion_tokens' instead."}}
        return message(str(body["max_completion_tokens"]))

    said, stub = answers(reply)
    assert {one.turn["content"] for one in said} == {"9"} and len(stub.asked) == 9


def test_a_question_that_is_refused_says_why_and_the_others_are_answered():
    for row in (0, 2):
        said, _ = answers(
            lambda body, row=row: (400, {"error": "too long"}) if f"{row}?" == question_in(body) else message("")
        )
        assert [one.error for one in said] == [
            "status 400, too long" if one.problem.row == row else None for one in WANTED
        ]


def test_a_server_that_refuses_one_question_after_the_other_is_not_asked_for_all(monkeypatch):
    monkeypatch.setattr("mixlm.sampling.answering._PATIENT", 3)
    told = "no chat template is there"
    with pytest.raises(
        InputError, match=rf"refuses the first 3 questions: status 400, {told}; ask .* with --completions"
    ):
        answers(lambda body: (400, {"error": {"message": told}}))
    said, stub = answers(lambda body: (400, {"error": "no"}), wanted=WANTED[:4])
    assert {one.error for one in said} == {"status 400, no"} and len(stub.asked) == 2  # no question twice


@pytest.mark.parametrize("status", [401, 403, 404])
def test_whoever_asks_is_refused(status):
    with pytest.raises(InputError, match=f"/v1: refuses : status {status}, no"):
        answers(lambda body: (status, {"error": "no"}))


@pytest.mark.parametrize("status", [429, 500])
def test_a_server_that_fails_at_a_question_answers_the_others_and_one_that_fails_at_three_is_left(status, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    said, _ = answers(lambda body: message("4") if question_in(body) > "1?" else (status, {"error": "no"}))
    assert [one.error for one in said] == [f"status {status}, no"] * 4 + [None] * 4
    with pytest.raises(InputError, match=f"/v1: refuses : status {status}, no"):
        answers(lambda body: message("4") if question_in(body) > "2?" else (status, {"error": "no"}))


def test_an_overloaded_server_is_asked_again(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    failures = [429, 503]
    said, stub = answers(
        lambda body: (failures.pop(), {}) if failures else message("4"), wanted=WANTED[:2], concurrency=1
    )
    assert [one.turn for one in said] == [{"content": "4"}] * 2 and len(stub.asked) == 4


BAD = {
    "no json": b"<html>no</html>",
    "a list": b"[]",
    "no choices": b'{"choices": []}',
    "choices that are none": b'{"choices": 7}',
    "a choice that is none": b'{"choices": ["4"]}',
    "no message": b'{"choices": [{"finish_reason": "stop"}]}',
    "a message that is a number": b'{"choices": [{"message": 4}]}',
    "deep lists": b"[" * 100_000,
    "a redirect": (307, b""),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_answer_of_a_chat_ends_the_first_request_and_is_missing_later(kind):
    reply = BAD[kind] if isinstance(BAD[kind], tuple) else (200, BAD[kind])
    with pytest.raises(InputError) as caught:
        answers(lambda body: reply)
    assert str(caught.value).startswith("http://127.0.0.1") and "\n" not in str(caught.value)
    said, _ = answers(lambda body: reply if question_in(body) == "2?" else message("4"))
    assert [bool(one.error) for one in said] == [one.problem.row == 2 for one in WANTED]


@pytest.mark.parametrize("message", [b'{"content": "\\ud800"}', b"{}", b'{"content": null}', b'{"content": 7}'])
def test_a_message_without_a_text_is_an_answer_that_says_nothing(message):
    with hostile(sending(b'{"choices": [{"message": ' + message + b"}]}")) as server:
        model = AnsweringModel(ModelServer(server.url, 1, 0, lambda line: None), CHAT, "served", 1)
        ((_, said),) = model.answers(WANTED[:1])
    assert said.error is None and not isinstance(said.turn.get("content"), str)


def test_the_key_stays_out_of_what_is_said(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdef")
    said, _ = answers(
        lambda body: message("is sk-0123456789abcdef", reasoning="sk-0123456789abcdef"), wanted=WANTED[:1]
    )
    assert said[0].turn == {"content": "is ***", "reasoning": "***"}


def test_one_of_several_models_is_to_be_named():
    for models, told in ((["a", "b"], r"2 models \(a, b\); name one"), ([], "not say what it serves; name a model")):
        with pytest.raises(InputError, match=f"{told} by --model"):
            answers(lambda body: message(""), models=models)
        assert answers(lambda body: message(body["model"]), name="b", models=models)[0][0].turn == {"content": "b"}


def test_a_server_that_lists_no_models_says_why():
    with hostile(sending(b'{"error": {"message": "wrong key"}}', "401 Unauthorized")) as server:
        model = AnsweringModel(ModelServer(server.url, 1, 0, lambda line: None), CHAT, None, 1)
        with pytest.raises(
            InputError, match=r"not say what it serves \(status 401, wrong key\); name a model by --model"
        ):
            assert model.name
