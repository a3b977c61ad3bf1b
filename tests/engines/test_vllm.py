"""vLLM, held by the fields of its requests, gives the answers of decoding here, token for token."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from mixlm.generation.answerer import Request
from mixlm.generation.engine import Engine
from mixlm.generation.options import GenerationOptions
from mixlm.model.tokenizers import build_tokenizer
from pipelines.engines.server import ServedHere, Server
from tests.engines.conftest import MODEL, trained


OPTIONS = GenerationOptions(max_new_tokens=64, batch_size=50)
SHAPE = {
    name: MODEL[name] for name in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
}
MODES = ("free", "text", "exact:1", "exact:3", "max:1", "max:2")


def questions(task: Path, engine: Engine, count: int = 200) -> list[Request]:
    lines = (task / "questions.jsonl").read_text().splitlines()[:count]
    return [engine.request(json.loads(line)["question"]) for line in lines]


def both(task: Path, server: Server, options: GenerationOptions, count: int = 200):
    """The answers of a server to the task's questions, and those of decoding here."""
    engine = Engine.load(server.run.path, "cpu")
    asked = questions(task, engine, count)
    return ServedHere(server, engine, 16, print).answer(asked, options), engine.answer(asked, options)


@pytest.mark.parametrize("decoding", ["plain", "kind"])
@pytest.mark.parametrize("mode", MODES)
def test_answers_in_every_mode_are_those_of_decoding_here(task, served_assorted, mode, decoding):
    there, here = both(task, served_assorted, replace(OPTIONS, latents=mode, decoding=decoding))
    assert there == here and len({tuple(answer.ids) for answer in there}) > 10
    if mode.startswith("exact"):
        assert {len(answer.codes) for answer in there} == {int(mode[-1])}


@pytest.mark.parametrize("thoughts", [None, 0, 2])
def test_answers_after_thoughts_that_were_computed_here_are_those_of_decoding_here(task, served_coconut, thoughts):
    there, here = both(task, served_coconut, replace(OPTIONS, thoughts=thoughts))
    assert there == here and {answer.counts.thought for answer in there} == {6 if thoughts is None else thoughts}


def test_vectors_that_are_no_thoughts_give_other_answers(task, served_coconut, monkeypatch):
    def placeholders(model, ids, mask, thoughts):
        return model.get_input_embeddings()(ids)

    monkeypatch.setattr("mixlm.generation.engine.fill_thoughts", placeholders)
    there, here = both(task, served_coconut, OPTIONS)
    assert there != here


def test_sampled_answers_are_of_their_seeds(task, served_assorted):
    sampled = replace(OPTIONS, temperature=1.0, samples=2, latents="max:2")
    first, _ = both(task, served_assorted, sampled, 20)
    again, _ = both(task, served_assorted, sampled, 20)
    other, _ = both(task, served_assorted, replace(sampled, seed=5), 20)
    assert first == again != other and all(len(answer.codes) <= 2 for answer in first)


TURNS = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<>{% endif %}"


@pytest.fixture(scope="module")
def base(task) -> Path:
    """A base model that nothing taught, with a chat template, whose matrix has rows that stand for no token."""
    folder = task / "base"
    tokenizer = build_tokenizer(["start 3 ; + 4 ?", "so now 3 + 4 gives 7 ."], vocab_size=300)
    tokenizer.chat_template = TURNS
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(LlamaConfig(vocab_size=640, **SHAPE)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("method", "data", "more"),
    [("cot", "train.jsonl", {"chat": True}), ("coconut", "train.jsonl", {"chat": True}), ("pause", "train.jsonl", {})],
)
def test_an_untaught_model_with_spare_rows_and_a_chat_template_is_held_all_the_same(
    task, base, serve, method, data, more
):
    """It would write any token anywhere."""
    run = trained(task, method, task / data, name=f"base-{method}", model=base, steps=1, **more)
    with serve(run) as server:
        there, here = both(task, server, replace(OPTIONS, max_new_tokens=24), 40)
    assert there == here and not all(answer.finished for answer in there)


def test_a_run_in_bf16_is_served_in_it(task, serve):
    """Sums in another order round otherwise in it, so a few answers may differ."""
    run = trained(task, "assorted", task / "encoded", name="bf16", **{"save-dtype": "bfloat16"})
    with serve(run) as server:
        there, here = both(task, server, OPTIONS)
    assert sum(one == other for one, other in zip(there, here, strict=True)) > 150
