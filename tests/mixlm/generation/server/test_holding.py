"""A server that knows nothing of spans gives the answers of decoding here, in every mode and method."""

import base64
import io
from dataclasses import replace

import pytest
import torch

from mixlm.errors import InputError
from mixlm.generation.engine import Engine
from mixlm.generation.grammar import span_limits
from mixlm.generation.options import GenerationOptions, parse_latent_mode
from mixlm.generation.server.endpoint import Endpoint
from mixlm.generation.server.holding import HeldAnswer, Rules
from mixlm.model.thoughts.stop import STOP, add_stop
from tests.completions_stub import Stub, serving
from tests.tiny_runs import saved_run


OPTIONS = GenerationOptions(max_new_tokens=12)
MODES = ("free", "text", "max:0", "max:1", "max:3", "exact:0", "exact:1", "exact:4", "exact:10")
LEARNED = {"stages": 3, "thoughts_per_step": 2, "first_epochs": 1.0, "epochs_per_stage": 1.0}
LEARNED |= {"stop": "learned", "pad_to_max": False}
TEXTS = [f"{a} + {b} ?" for a in range(1, 4) for b in range(4, 8)]


@pytest.fixture(scope="module")
def engine(run) -> Engine:
    return Engine(run)


def both(stub: Stub, options: GenerationOptions, texts=TEXTS):
    """The answers of a server and of decoding here."""
    questions = [stub.engine.request(text) for text in texts]
    with serving(stub) as url:
        return Endpoint(url, stub.engine).answer(questions, options), stub.engine.answer(questions, options)


@pytest.mark.parametrize("decoding", ["plain", "kind"])
@pytest.mark.parametrize("mode", MODES)
def test_answers_of_a_server_are_those_of_decoding_here(engine, mode, decoding):
    there, here = both(Stub(engine), replace(OPTIONS, latents=mode, decoding=decoding))
    assert there == here
    if mode.startswith("exact"):
        assert {len(answer.codes) for answer in there} == {int(mode.partition(":")[2])}


@pytest.mark.parametrize("method", ["cot", "pause", "assorted-poisson", "frequent-ngrams"])
def test_answers_of_every_method_are_those_of_decoding_here(tmp_path, method):
    stub = Stub(Engine(replace(saved_run(tmp_path / "run", method), method_state={"strings": []})))
    modes = ("free", "text", "max:2", "exact:2") if stub.engine.run.method.spans != "none" else ("free", "text")
    for mode in modes:
        there, here = both(stub, replace(OPTIONS, latents=mode), TEXTS[:4])
        assert there == here


@pytest.fixture(scope="module")
def thinker(tmp_path_factory) -> Engine:
    return Engine(saved_run(tmp_path_factory.mktemp("runs") / "run", "coconut"))


@pytest.mark.parametrize("thoughts", [0, 1, 5])
def test_thoughts_are_computed_here_and_their_answers_are_those_of_decoding_here(thinker, thoughts):
    stub = Stub(thinker)
    there, here = both(stub, replace(OPTIONS, thoughts=thoughts, batch_size=5))
    assert there == here and {answer.counts.thought for answer in there} == {thoughts}
    prompts = [as_vectors(body) for body in stub.bodies if "prompt_embeds" in body]
    assert all(len(prompt) > thoughts and prompt.shape[1] == thinker.model.config.hidden_size for prompt in prompts)


def test_a_learned_number_of_thoughts_is_that_of_decoding_here(tmp_path):
    run = saved_run(tmp_path / "run", "coconut")
    run = replace(run, method_options=LEARNED, step=3, steps_per_epoch=1)
    engine = Engine(run)
    add_stop(engine.model)
    torch.nn.init.normal_(engine.model.get_submodule(STOP).weight)
    there, here = both(Stub(engine), replace(OPTIONS, batch_size=5))
    assert there == here and len({answer.counts.thought for answer in there}) > 1


def test_without_its_thoughts_a_server_would_answer_something_else(thinker, monkeypatch):
    monkeypatch.setattr("mixlm.generation.engine.fill_thoughts", lambda *given: embedded(*given))
    there, here = both(Stub(thinker), replace(OPTIONS, thoughts=5))
    assert there != here


def embedded(model, ids, mask, thoughts):
    """The embeddings of the placeholders, in place of thoughts."""
    return model.get_input_embeddings()(ids)


def as_vectors(body: dict) -> torch.Tensor:
    return torch.load(io.BytesIO(base64.b64decode(body["prompt_embeds"])), weights_only=True)


def test_a_server_that_scales_vectors_is_not_given_thoughts(thinker):
    stub = Stub(thinker)
    write = stub.write
    stub.write = lambda embeds, body: write(embeds * (3 if "prompt_embeds" in body else 1), body)
    with pytest.raises(InputError, match="does not read vectors as the model here does"):
        both(stub, replace(OPTIONS, thoughts=2))


def test_a_server_of_other_tokens_is_told_by_its_text(engine):
    stub = Stub(engine)
    complete = stub.complete

    def other(body: dict) -> tuple[int, dict]:
        status, reply = complete(body)
        return status, {**reply, "choices": [{**reply["choices"][0], "text": "something else"}]}

    stub.complete = other
    with pytest.raises(InputError, match="writes other text for token ids than the run's tokenizer does"):
        both(stub, OPTIONS)


@pytest.mark.parametrize(("takes", "message"), [(True, "to have --latents exact:2"), (False, "to have --latents ex")])
def test_a_server_of_text_is_not_asked_for_a_number_of_latents(engine, takes, message):
    stub = Stub(engine, takes_ids=takes, returns_ids=False)
    with pytest.raises(InputError, match=message):
        both(stub, replace(OPTIONS, latents="exact:2"))
    with pytest.raises(InputError, match="it decodes plainly; give --decoding plain"):
        both(stub, replace(OPTIONS, decoding="kind"))


def test_what_a_server_refused_first_is_told_with_what_it_cannot_do_either(engine):
    """It takes ids, and refuses a question for another reason."""
    stub = Stub(engine)
    stub.refused = "1 + 4"
    with pytest.raises(InputError, match="to have --latents exact:2; .*asked with ids it said: .*prompt is too"):
        both(stub, replace(OPTIONS, latents="exact:2"))


def test_a_server_that_tells_no_probabilities_decodes_plainly(engine):
    stub = Stub(engine)
    complete = stub.complete

    def silent(body: dict) -> tuple[int, dict]:
        status, reply = complete(body)
        reply["choices"][0].pop("logprobs", None)
        return status, reply

    stub.complete = silent
    with pytest.raises(InputError, match="give --decoding plain"):
        both(stub, replace(OPTIONS, decoding="kind"))
    there, here = both(stub, replace(OPTIONS, decoding="plain"))
    assert there == here


def test_a_number_of_latents_takes_two_requests(engine):
    stub = Stub(engine)
    both(stub, replace(OPTIONS, latents="exact:2"), TEXTS[:1])
    first, second = stub.bodies
    latents = engine.run.ids.latent_ids
    assert first["allowed_token_ids"] == [*latents] and first["max_tokens"] == 2
    assert first["prompt"][-1] == engine.run.ids.bo_latent
    assert second["prompt"][: len(first["prompt"])] == first["prompt"] and second["max_tokens"] == 12 - 4
    assert second["prompt"][-1] == engine.run.ids.eo_latent
    assert {int(token) for token in second["logit_bias"]} >= {*engine.run.ids.present()}


def test_a_server_that_heeds_no_field_is_refused_in_one_line(engine):
    stub = Stub(engine)
    stub.heedless = True
    with pytest.raises(InputError, match="does not heed logit_bias and allowed_token_ids"):
        both(stub, replace(OPTIONS, latents="exact:2"))


def likelier(engine: Engine, ids: list[int], by: float) -> None:
    """Raise the logits of tokens, so that spans open, are filled, and meet what may not come there."""

    def raised(module: torch.nn.Module, args: tuple, output: torch.Tensor) -> torch.Tensor:
        output = output.clone()
        output[..., ids] += by
        return output

    engine.model.get_output_embeddings().register_forward_hook(raised)


@pytest.mark.parametrize("method", ["assorted", "assorted-poisson", "frequent-ngrams"])
@pytest.mark.parametrize("decoding", ["plain", "kind"])
def test_answers_full_of_latents_and_delimiters_are_those_of_decoding_here(tmp_path, method, decoding):
    """A token that may not come is left out where it may not, and at no later place."""
    run = replace(saved_run(tmp_path / "run", method), method_state={"strings": []})
    refused = set()
    for by in (2.0, 4.0):
        stub = Stub(Engine(run))
        likelier(stub.engine, [run.ids.bo_latent, run.ids.eo_latent, *run.ids.latent_ids], by)
        for mode in ("free", "max:1", "max:3", "exact:2", "exact:3"):
            there, here = both(stub, replace(OPTIONS, latents=mode, decoding=decoding), TEXTS[:6])
            assert there == here
        refused |= {len(body.get("logit_bias", {})) > 0 for body in stub.bodies}
    assert refused == {True, False}


def test_a_token_that_was_refused_may_come_after_what_had_to(tmp_path):
    """In a mixed span that is full, text may not come; after the span's end it may."""
    run = replace(saved_run(tmp_path / "run", "frequent-ngrams"), method_state={"strings": []})
    special = run.ids
    rules = Rules(special, [special.eos], 300, 300)
    held = HeldAnswer(rules, span_limits([parse_latent_mode("max:1")], "mixed"), 12, kind_first=False, bound=False)
    held.take([special.bo_latent, special.latent_ids[0], 5, 6], None)
    assert held.ids == [special.bo_latent, special.latent_ids[0], special.eo_latent]
    assert "logit_bias" not in held.fields() and held.fields()["max_tokens"] == 9
    held.take([5, 6, special.eos], None)
    assert held.ids[3:] == [5, 6, special.eos] and held.done


@pytest.mark.parametrize(("method", "spans"), [("assorted-poisson", "anywhere"), ("frequent-ngrams", "mixed")])
def test_a_delimiter_that_cannot_come_right_after_another_may_come_a_token_later(tmp_path, method, spans):
    special = saved_run(tmp_path / "run", method).ids
    rules = Rules(special, [special.eos], 300, 300)
    held = HeldAnswer(rules, span_limits([parse_latent_mode("free")], spans), 12, kind_first=False, bound=False)
    if spans == "anywhere":  # a latent outside of a span, where none may open
        held.take([special.bo_latent, special.latent_ids[0], special.eo_latent, special.latent_ids[0]], None)
        refused = special.bo_latent
    else:  # an end of the answer within a span, which may not close
        held.take([special.bo_latent, special.eos], None)
        refused = special.eo_latent
    told = held.fields()
    assert str(refused) in told["logit_bias"] and told["max_tokens"] == 1
    held.take([5], None)
    assert "logit_bias" not in held.fields() and held.fields()["max_tokens"] > 1


def test_an_end_of_a_span_that_came_too_early_may_come_after_one_latent(tmp_path):
    run = saved_run(tmp_path / "run")
    special, rules = run.ids, Rules(run.ids, [run.ids.eos], 300, 300)
    held = HeldAnswer(rules, span_limits([parse_latent_mode("free")], "prefix"), 12, kind_first=False, bound=False)
    held.take([special.bo_latent, special.eo_latent, 5], None)
    told = held.fields()
    assert (told["allowed_token_ids"], told["max_tokens"]) == ([*special.latent_ids], 1)
    held.take([special.latent_ids[1]], None)
    assert "allowed_token_ids" not in held.fields() and held.fields()["max_tokens"] == 10
