"""How many samples go through the model at once."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from mixlm.errors import InputError, is_out_of_memory
from mixlm.model.collator import Collator
from mixlm.training import memory
from mixlm.training.memory import MicroBatch, Need, choose_micro_batch, kept_bytes, measure, memory_of
from mixlm.training.options import TrainingOptions
from mixlm.training.train import train
from tests.tiny_data import raw_rows


OPTIONS = TrainingOptions("cot", steps=2, batch_size=4, log_every=1)
SCRATCH = "model_type: gpt2\nn_embd: 8\nn_layer: 1\nn_head: 1\ntokenizer: {vocab_size: 300}\n"


@pytest.fixture
def lm() -> LlamaForCausalLM:
    shape = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=50, **shape))


@pytest.fixture
def start(tmp_path) -> tuple[Path, Path, Path]:
    rows, model = tmp_path / "rows.jsonl", tmp_path / "scratch.yaml"
    rows.write_text("".join(json.dumps(row) + "\n" for row in raw_rows(12)))
    model.write_text(SCRATCH)
    return rows, model, tmp_path / "run"


def feature(length: int) -> dict:
    return {"input_ids": [*range(length)], "labels": [-100, *range(1, length)], "thoughts": [False] * length}


@pytest.mark.parametrize(
    ("samples", "memory", "size"), [(32, 10**6, 32), (32, 60, 8), (32, 30, 4), (12, 40, 6), (7, 30, 1), (32, 3, 1)]
)
def test_the_largest_divisor_that_fits_is_chosen(samples, memory, size):
    assert choose_micro_batch(Need(always=10, each=5), samples, memory) == size


@pytest.mark.parametrize("pack", [True, False])
def test_what_a_pass_keeps_grows_with_its_samples(lm, pack):
    one, two, four = (kept_bytes(lm, Collator(pack)([feature(20)] * count)) for count in (1, 2, 4))
    assert four - two == pytest.approx(2 * (two - one), rel=0.01) and two == pytest.approx(2 * one, rel=0.01)


def test_a_linear_layer_keeps_its_input_and_the_loss_its_logits(monkeypatch):
    """By hand: of a head alone, 3 x 8 hidden floats, and of 3 labels 50 log-probabilities each, counted thrice."""
    lm = LlamaForCausalLM(LlamaConfig(vocab_size=50, hidden_size=8, num_hidden_layers=0, num_attention_heads=1))
    monkeypatch.setattr(lm.model.norm, "forward", lambda hidden: hidden)
    lm.model.requires_grad_(False)
    batch = Collator()([feature(4)])
    floats = 3 * 8 + 3 * (3 * 50)  # the hidden states at the places, for the head's own gradient
    small = 3 * 8 + 3 * 8  # the labels, 64 bits each, and the sum of their weights at most
    assert 4 * floats <= kept_bytes(lm, batch) <= 4 * floats + small + 64


def test_measuring_changes_nothing_of_the_model_or_of_chance(lm):
    lm.eval()
    before = {name: value.clone() for name, value in lm.state_dict().items()}
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    need = measure(lm, Collator(), [feature(5), feature(20)])
    assert torch.equal(torch.rand(3), expected) and not lm.training
    assert all(torch.equal(value, before[name]) for name, value in lm.state_dict().items())
    assert all(weight.grad is None for weight in lm.parameters())
    assert need == Need(16 * lm.num_parameters(), kept_bytes(lm, Collator()([feature(20)])))


def test_what_does_not_learn_has_neither_gradient_nor_moments(lm):
    lm.requires_grad_(False)
    lm.model.norm.weight.requires_grad_(True)
    assert measure(lm, Collator(), [feature(5)]).always == 4 * lm.num_parameters() + 12 * 8


def test_a_container_has_what_it_is_allowed(tmp_path, monkeypatch):
    (tmp_path / "max").write_text("max\n")
    (tmp_path / "bytes").write_text(f"{4 * 2**30}\n")
    monkeypatch.setattr(memory, "_LIMITS", (tmp_path / "max", tmp_path / "bytes", tmp_path / "none"))
    assert memory_of(torch.device("cpu")) == 3 * 2**30
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert memory_of(torch.device("cpu")) == 2**30


class Ended(Exception):
    """What ends a training after its first step."""


def chosen(start: tuple[Path, Path, Path], options: TrainingOptions = OPTIONS) -> tuple[int, list[str]]:
    """Train a step; return what was noted before it, and what was said of it."""
    lines: list[str] = []

    def end(*progress: object) -> None:
        raise Ended

    with pytest.raises(Ended):
        train(*start, options, end, lines.append)
    noted = json.loads((start[2] / "checkpoints" / "micro_batch.json").read_text())
    return noted["micro_batch_size"], [line for line in lines if "at once" in line]


def test_a_small_model_takes_all_at_once_and_says_nothing(start):
    assert chosen(start) == (4, [])


def test_a_run_keeps_what_was_chosen_for_it_whatever_the_machine(start, monkeypatch):
    monkeypatch.setattr(memory, "measure", lambda *_: Need(0, 2**30))
    monkeypatch.setattr(memory, "memory_of", lambda _: 4 * 2**30)
    line = (
        "2 of 4 samples go through the model at once: all would take about 4.0 GiB of 4.0 GiB; --micro-batch-size "
        "chooses another number"
    )
    assert chosen(start) == (2, [line])
    monkeypatch.setattr(memory, "memory_of", lambda _: 2**50)
    assert chosen(start) == (2, [])
    assert chosen(start, replace(OPTIONS, micro_batch_size=1)) == (1, [])
    assert chosen(start) == (1, [])
    (start[2] / "checkpoints" / "micro_batch.json").write_text("{")
    with pytest.raises(InputError, match="micro_batch.json: damaged; give --micro-batch-size"):
        MicroBatch(start[2], OPTIONS)


def test_what_is_said_of_memory_that_is_not_there(monkeypatch):
    lines: list[str] = []
    monkeypatch.setattr(memory, "memory_of", lambda _: 8 * 2**30)
    monkeypatch.setattr(memory, "free_on", lambda _: 2**30)
    memory.tell_choice(Need(2**30, 2**30), 4, 4, torch.device("cpu"), lines.append)
    assert len(lines) == 1
    assert lines[0].startswith("warning: training takes about 5.0 GiB of memory, and 1.0 GiB are free; close")


@pytest.mark.parametrize(("size", "advice"), [(4, "--micro-batch-size 2, or --activation"), (1, "give --activation")])
def test_a_lack_of_memory_is_one_line_that_says_what_to_do(tmp_path, size, advice):
    micro = MicroBatch(tmp_path, replace(OPTIONS, micro_batch_size=size))
    with pytest.raises(InputError, match=f"out of memory with {size} samples at once; .*{advice}"):
        with micro.within_memory():
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
    with pytest.raises(RuntimeError, match="shapes"), micro.within_memory():
        raise RuntimeError("shapes")


def test_what_torch_raises_for_lack_of_memory_is_known():
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(error.value) and is_out_of_memory(MemoryError())
    assert not is_out_of_memory(ValueError("out of memory"))
