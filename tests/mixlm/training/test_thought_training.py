"""Training with continuous thoughts: what is learned from, however it is split, and the folder that it leaves."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from mixlm.errors import InputError
from mixlm.generation.engine import Engine
from mixlm.generation.options import GenerationOptions
from mixlm.model.thoughts.stop import STOP, STOP_FILE
from mixlm.model.thoughts.thinking import thought_forward
from mixlm.run import load_run
from mixlm.training.options import TrainingOptions
from mixlm.training.train import train
from tests.tiny_data import write_raw, write_scratch
from tests.tiny_thoughts import Row, make_batch, plain_loss


# An epoch is 5 steps: two thoughts in stage 1, then as many as a sample has steps, one or two; then no steps are left.
LEARNED = {
    "stop": "learned",
    "pad_to_max": False,
    "stages": 2,
    "thoughts_per_step": 2,
    "first_epochs": 0.0,
    "epochs_per_stage": 0.6,
}
CONSTANT = {"stages": 2, "thoughts_per_step": 1, "first_epochs": 0.0, "epochs_per_stage": 0.6}
OPTIONS = TrainingOptions(
    method="coconut",
    method_options=LEARNED,
    learning_rate=1e-2,
    steps=9,
    batch_size=8,
    scheduler="constant_with_warmup",
    log_every=1,
)
LOSSES = ("loss", "text_loss")


@pytest.fixture
def raw(tmp_path: Path) -> str:
    return str(write_raw(tmp_path))


@pytest.fixture
def scratch(tmp_path: Path) -> str:
    return str(write_scratch(tmp_path))


def losses_of(raw: str, scratch: str, out: Path, options: TrainingOptions) -> list[list[float]]:
    """Train; return the losses of every step but the last, which is logged too late for the report."""
    seen: list[list[float]] = []

    def note(step: int, total: int, figures: dict) -> None:
        if step > 1:  # the figures are those of the step before
            seen.append([figures[name] for name in LOSSES])

    train(raw, scratch, out, options, advance=note)
    return seen


def test_the_folder_is_a_plain_checkpoint_with_a_classifier_beside_it(raw: str, scratch: str, tmp_path: Path) -> None:
    losses = losses_of(raw, scratch, tmp_path / "run", OPTIONS)
    assert len(losses) == 8 and losses[-1][1] < losses[0][1]
    run = load_run(tmp_path / "run")
    assert run.method.learns_stop and run.ids.thought is not None and run.method.uses_thoughts
    plain, report = AutoModelForCausalLM.from_pretrained(tmp_path / "run", output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    ours = run.load_model()
    extra = ours.state_dict().keys() - plain.state_dict().keys()
    assert extra == {f"{STOP}.weight", f"{STOP}.bias"} and (tmp_path / "run" / STOP_FILE).is_file()
    assert all(torch.equal(value, ours.state_dict()[name]) for name, value in plain.state_dict().items())
    assert ours.get_submodule(STOP).weight.any() and ours.get_submodule(STOP).bias.any()  # it began at 0
    engine = Engine(run, ours)
    requests = [engine.request(question) for question in ("1 + 2 ?", "9 + 8 ?", "4 ?")]
    for answer in engine.answer(requests, GenerationOptions(max_new_tokens=9, batch_size=2)):
        count = answer.counts.thought
        assert 1 <= count <= 4
        assert answer.ids[: count + 2] == [run.ids.bo_thought, *[run.ids.thought] * count, run.ids.eo_thought]


def test_a_run_that_goes_on_from_another_keeps_its_classifier(
    raw: str, scratch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixlm.training.trainer.STOP_RATE", 0.0)
    first = train(raw, scratch, tmp_path / "first", OPTIONS)
    still = replace(OPTIONS, steps=1, learning_rate=1e-12, new_token_lr=1e-12)
    second = train(raw, str(first.path), tmp_path / "second", still)
    ends = [run.load_model().get_submodule(STOP).state_dict() for run in (first, second)]
    assert ends[0]["weight"].any()
    assert all(torch.allclose(value, ends[1][name], atol=1e-9) for name, value in ends[0].items())


def test_reading_a_run_twice_gives_the_same_answers(raw: str, scratch: str, tmp_path: Path) -> None:
    run = train(raw, scratch, tmp_path / "run", replace(OPTIONS, method_options=CONSTANT))
    assert not (run.path / STOP_FILE).exists()
    again = load_run(run.path)
    assert (again.progress, again.ids, again.method_options) == (run.progress, run.ids, run.method_options)
    settings = GenerationOptions(max_new_tokens=9)
    first, second = (engine.answer([engine.request("3 + 5 ?")], settings) for engine in (Engine(again), Engine(run)))
    assert first == second
    assert first[0].counts.thought == 2


def test_the_first_loss_is_that_of_the_definition(raw: str, scratch: str, tmp_path: Path) -> None:
    """The mean over all labels of the step, plus the classifier's mistakes (log 2 each: it is 0) over as many."""
    options = replace(OPTIONS, steps=2, learning_rate=1e-9, new_token_lr=1e-9)
    losses = losses_of(raw, scratch, tmp_path / "run", options)
    run = load_run(tmp_path / "run")
    model, rows, batch = run.load_model(), *first_batch(raw, run)
    text, thoughts, count = plain_loss(model, rows, batch), batch.thoughts.sum(), (batch.labels != -100).sum()
    assert losses[0][1] == pytest.approx(text.item(), abs=1e-4)
    assert losses[0][0] == pytest.approx((text + thoughts * torch.tensor(2.0).log() / count).item(), abs=1e-4)
    assert thought_forward(model, *batch).loss.item() == pytest.approx(text.item(), abs=1e-4)


def first_batch(raw: str, run) -> tuple[list[Row], object]:
    """The samples of the first step as rows, and as a batch with their labels."""
    from mixlm.data.samples import read_samples
    from mixlm.data.tokenization import tokenize_samples
    from mixlm.training.rows.mixed_dataset import MixedDataset

    data = MixedDataset(
        tokenize_samples(run.tokenizer(), run.template, read_samples(raw)), run.method, OPTIONS.batch_size
    )
    samples = [data[index] for index in data.order()[: OPTIONS.batch_size].tolist()]
    batch = make_batch([(sample["input_ids"], sample["thoughts"]) for sample in samples], garbage=False)
    for labels, mask, sample in zip(batch.labels, batch.mask.bool(), samples, strict=True):
        labels[mask] = torch.tensor(sample["labels"])
        after = max(place for place, thought in enumerate(sample["thoughts"]) if thought)
        assert sample["labels"][: after + 1] == [-100] * (after + 1) and sample["labels"][-1] != -100
    return [(sample["input_ids"], sample["thoughts"]) for sample in samples], batch


@pytest.mark.parametrize("options", [LEARNED, CONSTANT], ids=["learned", "constant"])
def test_accumulation_gives_the_same_losses(options: dict, raw: str, scratch: str, tmp_path: Path) -> None:
    whole = replace(OPTIONS, method_options=options)
    expected = losses_of(raw, scratch, tmp_path / "whole", whole)
    for micro in (1, 4):
        parts = losses_of(raw, scratch, tmp_path / f"parts{micro}", replace(whole, micro_batch_size=micro))
        torch.testing.assert_close(torch.tensor(parts), torch.tensor(expected), atol=1e-4, rtol=1e-4)


def test_bf16_autocast_trains(raw: str, scratch: str, tmp_path: Path) -> None:
    full = losses_of(raw, scratch, tmp_path / "full", OPTIONS)
    rough = losses_of(raw, scratch, tmp_path / "rough", replace(OPTIONS, bf16=True))
    assert rough != full
    torch.testing.assert_close(torch.tensor(rough), torch.tensor(full), atol=0.0, rtol=0.1)


def test_an_adapter_trains_and_is_merged(raw: str, scratch: str, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    options = replace(OPTIONS, method_options=CONSTANT, lora_rank=4, steps=12)
    losses = losses_of(raw, scratch, tmp_path / "run", options)
    assert losses[-1][0] < losses[0][0]
    still = losses_of(
        raw, scratch, tmp_path / "start", replace(options, steps=2, learning_rate=1e-9, new_token_lr=1e-9)
    )
    assert still[0] == pytest.approx(losses[0], abs=1e-4)
    run, start = load_run(tmp_path / "run"), load_run(tmp_path / "start").load_model().state_dict()
    moved = {name: (value - start[name]).abs().max() for name, value in run.load_model().state_dict().items()}
    assert all(moved[name] > 1e-3 for name in moved if "_proj" in name)
    rows = (run.load_model().get_input_embeddings().weight - start["model.embed_tokens.weight"]).abs().amax(1)
    assert rows[[run.ids.bo_thought, run.ids.eo_thought]].min() > 1e-3
    assert not rows[[token for token in range(len(rows)) if token not in run.ids.present()]].any()
    assert rows[run.ids.thought] == 0  # what stands in a thought's place is never read
    with pytest.raises(InputError, match="cannot hold the classifier"):
        train(raw, scratch, tmp_path / "learned", replace(OPTIONS, lora_rank=4))


def test_a_run_with_thoughts_is_no_plain_language_model(raw: str, scratch: str, tmp_path: Path) -> None:
    run = train(raw, scratch, tmp_path / "run", replace(OPTIONS, steps=1))
    for method in ("cot", "sol-only", "pause-as-thought", "coconut-no-thought"):
        with pytest.raises(InputError, match=r"reasons in continuous thoughts .* is no plain language model"):
            train(raw, str(run.path), tmp_path / method, replace(OPTIONS, method=method, method_options={}))
        assert not (tmp_path / method).exists()
    on = train(raw, str(run.path), tmp_path / "on", replace(OPTIONS, steps=1))  # thoughts may go on from thoughts
    assert on.ids == run.ids
    with pytest.raises(InputError, match="activation-checkpointing"):
        train(raw, scratch, tmp_path / "new", replace(OPTIONS, activation_checkpointing=True))


PROGRAM = """
import json, os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
from mixlm.model import collator
from mixlm.training import train as train_module
from tests.mixlm.training.test_thought_training import OPTIONS, losses_of
from dataclasses import replace

raw, scratch, out, method_options = sys.argv[1:]
widths, plain, opened = [], collator.pad, train_module.open_model

def watched(features):
    widths.append(max(sum(feature["thoughts"]) for feature in features))
    return plain(features)

collator.pad = watched
train_module.open_model = lambda *arguments: opened(*arguments).double()
losses = losses_of(raw, scratch, Path(out), replace(OPTIONS, method_options=json.loads(method_options)))
rank = os.environ.get("RANK", "0")
Path(f"{out}.{rank}.json").write_text(json.dumps([losses, widths]))
"""


@pytest.mark.parametrize("options", [LEARNED, CONSTANT], ids=["learned", "constant"])
def test_two_processes_follow_the_losses_of_one(
    options: dict, raw: str, scratch: str, tmp_path: Path, warm: str
) -> None:
    """Also where the two have batches with other numbers of thoughts, and so of passes, in one step.

    They compute in fp64: two add in another order than one, and of what fp32 rounds, 1e-7, Adam makes up to 3e-4.
    """
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, command in (("one", []), ("two", launcher)):
        arguments = [str(program), raw, scratch, str(tmp_path / name), json.dumps(options)]
        done = subprocess.run(
            [warm, *command, *arguments],
            capture_output=True,
            text=True,
            timeout=180,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        assert done.returncode == 0, done.stderr[-3000:]
    one = json.loads((tmp_path / "one.0.json").read_text())[0]
    (two, mine), (_, theirs) = (json.loads((tmp_path / f"two.{rank}.json").read_text()) for rank in range(2))
    torch.testing.assert_close(torch.tensor(two), torch.tensor(one), atol=1e-5, rtol=1e-5)
    assert len(one) == 8 and (mine != theirs) == (options is LEARNED)
    left, right = (AutoModelForCausalLM.from_pretrained(tmp_path / name).state_dict() for name in ("one", "two"))
    for name, value in left.items():
        torch.testing.assert_close(value, right[name], atol=1e-6, rtol=1e-6)
    assert (tmp_path / "two" / STOP_FILE).is_file() == (options is LEARNED)
