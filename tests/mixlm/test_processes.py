"""Stage 2 in several processes: the same samples, the same loss curve and the same weights as in one."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from mixlm.errors import InputError
from mixlm.processes import Processes
from tests.launching import launch
from tests.tiny_data import write_encoded, write_scratch


PROGRAM = """
import json, os, sys
from pathlib import Path
from mixlm.model.collator import Collator
from mixlm.training.options import TrainingOptions
from mixlm.training.train import train
from mixlm.training.trainer import MixedTrainer

rank = int(os.environ.get("RANK", 0))
seen, kinds = [], set()
plain = Collator.__call__

def watched(self, features):
    seen.extend(feature["input_ids"] for feature in features)
    return plain(self, features)

def advance(step, total, figures):
    kinds.update(type(parameter).__name__ for parameter in TRAINERS[0].model.parameters())
    if step == int(os.environ.get("CUT", -1)):
        os._exit(1)

TRAINERS, learn = [], MixedTrainer.train
def watched_train(self, **options):
    TRAINERS.append(self)
    seen.clear()  # of what was tried for the memory that it takes
    return learn(self, **options)

MixedTrainer.train = watched_train
Collator.__call__ = watched
data, scratch, out = sys.argv[1:4]
options = dict(learning_rate=1e-2, steps=7, batch_size=8, scheduler="constant_with_warmup", log_every=1)
train(data, scratch, out, TrainingOptions(**{**options, **json.loads(sys.argv[4])}), advance=advance)
losses = [entry["loss"] for entry in TRAINERS[0].state.log_history if "loss" in entry]
Path(f"{out}.{rank}.json").write_text(json.dumps({"seen": seen, "losses": losses, "kinds": sorted(kinds)}))
"""
ASSORTED = {"method": "assorted", "method_options": {"mix": "uniform"}}


def run(python: str, folder: Path, out: str, options: dict, configuration: str = "ddp", count: int = 2, **cut: str):
    arguments = [str(folder / "encoded"), str(write_scratch(folder)), str(folder / out), json.dumps(options)]
    return launch(python, folder, PROGRAM, arguments, configuration, count, **cut)


def reports(folder: Path, out: str, count: int) -> list[dict]:
    return [json.loads((folder / f"{out}.{rank}.json").read_text()) for rank in range(count)]


def assert_equal_weights(one: Path, other: Path, tolerance: float = 2e-4) -> None:
    left, right = (AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (one, other))
    assert left.keys() == right.keys()
    for name, value in left.items():
        torch.testing.assert_close(value, right[name], atol=tolerance, rtol=1e-3)


@pytest.fixture(scope="module")
def one(tmp_path_factory, warm):
    """A folder with data and the run of one process."""
    folder = tmp_path_factory.mktemp("one")
    write_encoded(folder)
    done = run(warm, folder, "one", ASSORTED, count=1)
    assert done.returncode == 0, done.stderr[-6000:]
    return folder


def require_sharding() -> None:
    """Skip a test of FSDP2, which torch 2.6 has on GPUs alone."""
    if torch.__version__ < "2.7":  # compares as versions do
        pytest.skip("torch shards parameters on CPUs since 2.7")


@pytest.mark.parametrize("configuration", ["ddp", "fsdp2"])
def test_two_processes_draw_and_learn_what_one_does(one: Path, configuration: str, warm: str) -> None:
    """Seven steps of 8 samples, an epoch being 5: every sample is drawn the same, and loss and weights agree."""
    if configuration == "fsdp2":
        require_sharding()
    done = run(warm, one, configuration, ASSORTED, configuration)
    assert done.returncode == 0, done.stderr[-6000:]
    (alone,), ranks = reports(one, "one", 1), reports(one, configuration, 2)
    for step in range(7):
        together = [sample for rank in ranks for sample in rank["seen"][4 * step : 4 * step + 4]]
        assert sorted(together) == sorted(alone["seen"][8 * step : 8 * step + 8]), step
    torch.testing.assert_close(ranks[0]["losses"], alone["losses"], atol=1e-4, rtol=0)
    assert len(alone["losses"]) == 7 and alone["losses"][-1] < alone["losses"][0] - 0.5
    assert ranks[0]["kinds"] == (["DTensor"] if configuration == "fsdp2" else ["Parameter"])
    assert_equal_weights(one / "one", one / configuration)


@pytest.mark.parametrize("configuration", ["ddp", "fsdp2"])
def test_training_of_two_goes_on_from_its_checkpoint(one: Path, configuration: str, warm: str) -> None:
    if configuration == "fsdp2":
        require_sharding()
    out, options = f"cut-{configuration}", {**ASSORTED, "save_every": 2}
    done = run(warm, one, out, options, configuration, CUT="5")
    assert done.returncode != 0 and not (one / out / "mixlm.json").is_file()
    done = run(warm, one, out, options, configuration)
    assert done.returncode == 0, done.stderr[-6000:]
    (alone,), (first, _) = reports(one, "one", 1), reports(one, out, 2)
    assert len(first["seen"]) <= 4 * 4  # three steps and one read ahead, half of 8 samples each
    torch.testing.assert_close(first["losses"][-3:], alone["losses"][-3:], atol=1e-4, rtol=0)
    assert_equal_weights(one / "one", one / out)


def test_the_shards_of_an_adapter_are_put_together(one: Path, warm: str) -> None:
    pytest.importorskip("peft")
    options = {**ASSORTED, "lora_rank": 2}
    for out, count in (("adapted", 1), ("adapted-2", 2)):
        done = run(warm, one, out, options, "fsdp2", count)
        assert done.returncode == 0, done.stderr[-6000:]
    losses = [reports(one, out, 1)[0]["losses"] for out in ("adapted", "adapted-2")]
    torch.testing.assert_close(*losses, atol=1e-4, rtol=0)
    assert_equal_weights(one / "adapted", one / "adapted-2")


def test_shares_are_everything_once() -> None:
    things = list(range(7))
    shares = [Processes(rank, 3).share(things) for rank in range(3)]
    assert shares == [[0, 3, 6], [1, 4], [2, 5]] and Processes().share(things) == things


def test_a_process_knows_itself_by_its_environment(monkeypatch) -> None:
    assert Processes.current() == Processes(0, 1) and Processes.current().first
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert Processes.current() == Processes(2, 4) and not Processes.current().first


@pytest.mark.parametrize(
    "given",
    [{"WORLD_SIZE": "0"}, {"WORLD_SIZE": "two"}, {"RANK": "-1"}, {"RANK": "1"}, {"RANK": "", "WORLD_SIZE": "2"}],
)
def test_what_no_launcher_says_is_told(monkeypatch, given) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="WORLD_SIZE|RANK="):
        Processes.current()
