import pytest
import torch

from mixlm.errors import InputError
from mixlm.evaluation.losses import loss_of, reference_sequences, served_loss
from mixlm.generation.engine import Engine
from mixlm.generation.server.endpoint import Endpoint
from mixlm.generation.server.model_server import NoServer
from tests.completions_stub import Stub, serving
from tests.tiny_runs import saved_run


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Engine:
    return Engine(saved_run(tmp_path_factory.mktemp("runs") / "run"))


@pytest.fixture
def stub(engine) -> Stub:
    return Stub(engine)


def scored(stub: Stub, sequences):
    with serving(stub) as url:
        return Endpoint(url, stub.engine).scored(sequences)


def test_each_token_but_the_first_has_the_probability_that_the_model_gives_it(stub, engine):
    """Also where they fill the context, and where the last one is any token."""
    sequences = [[5, 9], [7, 7, 30, 2, engine.run.ids.eos], [*range(engine.context)]]
    for ids, found in zip(sequences, scored(stub, sequences), strict=True):
        with torch.no_grad():
            wanted = engine.model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
        assert found == pytest.approx(wanted.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist(), rel=1e-4)


@pytest.mark.parametrize("how", ["text alone", "ids in, text out", "nothing of prompts", "refused", "heedless"])
def test_of_a_server_that_does_not_tell_nothing_is_known(engine, how):
    stub = Stub(engine, takes_ids=how != "text alone", returns_ids=how not in ("text alone", "ids in, text out"))
    stub.tells, stub.heedless = how != "nothing of prompts", how == "heedless"
    stub.refused = engine.tokenizer.decode([30]) if how == "refused" else None
    (first, second) = scored(stub, [[5, 9, 6], [7, 30, 2]])
    assert second is None and (first is None) == (how != "refused")


@pytest.mark.parametrize(
    "told", [[], [None], [None, {"9": {}}], [None, {"8": {"logprob": -1}}], [None, {"9": {"logprob": 2}}], "x", [0, 1]]
)
def test_what_cannot_be_read_is_not_known(stub, monkeypatch, told):
    complete = stub.complete

    def wrong(body):
        status, reply = complete(body)
        reply["choices"][0]["prompt_logprobs"] = told
        return status, reply

    monkeypatch.setattr(stub, "complete", wrong)
    assert scored(stub, [[5, 9, 6]]) == [None]


@pytest.mark.parametrize("status", [429, 500])
def test_a_server_that_fails_for_the_moment_is_told_and_loses_no_loss(stub, monkeypatch, status):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    stub.failures = [status] * 99
    with pytest.raises(InputError, match="the same command asks again"):
        scored(stub, [[5, 9, 6]])


def test_a_server_that_is_gone_is_told(engine, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(NoServer, match="no server answers"):
        Endpoint("http://127.0.0.1:9", engine).scored([[5, 9]])


def test_the_loss_is_that_of_the_model_here(stub, engine):
    rows = [{"row": n, "prompt_ids": [5, n], "trace_ids": [1, 2, 3, 4], "solution_ids": [9, n, 0]} for n in range(3)]
    rows = [{**row, "codes": [row["row"], 1], "code_ends": [2, 4], "step_lengths": [4]} for row in rows]
    for name, sequences in reference_sequences(engine.run.method, rows).items():
        with serving(stub) as url:
            there = served_loss(Endpoint(url, engine), name, sequences)
        here = loss_of(engine.model, name, sequences)
        assert there._replace(nats=0.0) == here._replace(nats=0.0)
        assert there.nats == pytest.approx(here.nats, rel=1e-5) and here.nats > 1
