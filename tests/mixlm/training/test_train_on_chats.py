"""Trainings whose prompts a chat template makes: on which day, and what closes a thought that it opens."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mixlm.data.template import Template
from mixlm.errors import InputError
from mixlm.evaluation.inputs import open_rows
from mixlm.evaluation.measuring.records import gold_answer
from mixlm.evaluation.measuring.requests import direct_openings
from mixlm.generation.engine import Engine
from mixlm.generation.questions import prompt_notes, single_question
from mixlm.planning.training import plan_training
from mixlm.run import load_run
from mixlm.training.options import TrainingOptions
from mixlm.training.train import train
from tests.chat_templates import DATED, THINKING, chat_tokenizer, set_clock
from tests.interruption import Interrupted, interrupt_at
from tests.tiny_data import write_raw


OPTIONS = TrainingOptions("cot", template=Template(chat=True), steps=2, batch_size=8, save_every=1)


def write_base(folder: Path, template: str) -> str:
    """Write a tiny model whose tokenizer has a chat template."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = chat_tokenizer(template, special_markers=True)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape)).save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    return str(folder / "base")


def test_a_run_that_goes_on_on_another_day_has_the_prompts_of_the_first_for_ever(tmp_path, monkeypatch):
    base, raw, out, said = write_base(tmp_path, DATED), write_raw(tmp_path, 16), tmp_path / "run", []
    set_clock(monkeypatch, "2024-07-06T23:59:59")
    with pytest.raises(Interrupted):
        train(raw, base, out, OPTIONS, advance=interrupt_at(1), say=said.append)
    assert any("reads the clock; in all prompts it is 2024-07-06T23:59:59" in line for line in said)
    set_clock(monkeypatch, "2024-07-07T00:00:01")
    with pytest.raises(InputError, match=r"an unfinished run with another separator \(.* now\); give the same, or"):
        train(raw, base, out, replace(OPTIONS, template=Template(chat=True, separator=" ")))
    train(raw, base, out, OPTIONS)
    engine = Engine.load(out)
    assert load_run(out).template == Template(chat=True, date="2024-07-06T23:59:59")
    prompt = engine.tokenizer.decode(single_question("3 + 4 ?", engine).prompt_ids)
    assert "Today Date: 06 Jul 2024\n" in prompt
    served = engine.tokenizer.apply_chat_template(
        [{"role": "user", "content": "3 + 4 ?"}], tokenize=False, add_generation_prompt=True
    )
    assert served == prompt


def test_the_plan_of_a_run_that_was_begun_on_another_day_has_its_prompts(tmp_path, monkeypatch):
    base, raw, out = write_base(tmp_path, DATED), write_raw(tmp_path, 16), tmp_path / "run"
    options = replace(OPTIONS, save_every=1)
    set_clock(monkeypatch, "2024-07-06T23:59:59")
    with pytest.raises(Interrupted):
        train(raw, base, out, options, advance=interrupt_at(2))
    set_clock(monkeypatch, "2024-07-07T00:00:01")
    assert plan_training(raw, base, out, options).done == 1


def test_an_answer_that_is_opened_at_once_closes_the_thought_first(tmp_path):
    train(write_raw(tmp_path, 16), write_base(tmp_path, THINKING), tmp_path / "run", OPTIONS)
    engine = Engine.load(tmp_path / "run")
    rows = open_rows(str(write_raw(tmp_path, 3)), engine)
    decoded = [engine.tokenizer.decode(opening) for opening in direct_openings(engine, rows)]
    assert decoded == ["\n</think>\n\n###"] * 3
    answers = [json.loads(line)["answer"] for line in (tmp_path / "raw.jsonl").read_text().splitlines()]
    assert [gold_answer(row, engine) for row in rows] == answers
    (note,) = prompt_notes([row["prompt_ids"] for row in rows], engine)
    assert note == "note: prompts open a thought; answers close it by </think> before the solution, as in training"
