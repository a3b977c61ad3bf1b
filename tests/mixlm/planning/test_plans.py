"""A plan tells what the command then does, and leaves nothing behind."""

import signal
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from mixlm.encoding.dataset import load_encoded
from mixlm.encoding.encode import TRAINING, encode_dataset
from mixlm.encoding.options import EncodingOptions
from mixlm.errors import InputError
from mixlm.model.collator import Collator
from mixlm.model.tokenizers import build_tokenizer
from mixlm.planning.encoding import plan_encoding
from mixlm.planning.plan import draft_folder
from mixlm.planning.training import plan_training
from mixlm.training.options import TrainingOptions
from mixlm.training.train import train
from tests.encoding_work import cut
from tests.interruption import Interrupted, interrupt_at
from tests.tiny_data import write_encoded, write_raw, write_scratch
from vqvae import PARTS, VQVAETrainingOptions
from vqvae.stopping import Stopped


SHAPE = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "codebook_size": 4, "code_dim": 4}
ENCODING = EncodingOptions(shape=SHAPE, training=VQVAETrainingOptions(steps=7, batch_size=8), valid_fraction=0.2)


@pytest.fixture
def drafts(tmp_path: Path, monkeypatch) -> Path:
    """Where drafts are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_the_plan_of_an_encoding_is_what_is_then_done(tmp_path: Path, drafts: Path) -> None:
    raw, model, out, said = str(write_raw(tmp_path)), str(write_scratch(tmp_path)), tmp_path / "out", []
    plan = plan_encoding(raw, model, out, ENCODING, say=said.append)
    assert not out.exists() and not [*drafts.iterdir()]
    bars: dict[str, int] = {}
    encode_dataset(
        raw, model, out, ENCODING, lambda label: lambda done, total, figures={}: bars.update({label: total})
    )
    encoded = load_encoded(out)
    tokens = sum(len(row[part]) for row in encoded.train for part in PARTS)
    assert (plan.train, plan.valid, plan.tokens) == (len(encoded.train), len(encoded.valid), tokens) == (32, 8, tokens)
    assert (plan.steps, plan.batch) == (bars["training the VQ-VAE"], 8) and 0 < plan.seconds < 60
    assert plan.done == 0 and plan.sizes == {"codebook_size": 4, "hidden_size": 16, "num_layers": 1}
    assert plan.files == ("1 + 1 shards of at most 10,000 rows",) and 0 < plan.memory < plan.machine


def test_with_a_trained_model_nothing_is_trained(tmp_path: Path, drafts: Path) -> None:
    raw, model = str(write_raw(tmp_path)), str(write_scratch(tmp_path))
    encode_dataset(raw, model, tmp_path / "first", ENCODING)
    options = EncodingOptions(vqvae=str(tmp_path / "first" / "vqvae"), valid_fraction=0.2)
    plan = plan_encoding(raw, model, tmp_path / "second", options)
    assert (plan.steps, plan.seconds, plan.tokens) == (0, None, None) and not (tmp_path / "second").exists()


@pytest.mark.parametrize("method", ["assorted", "cot"])
def test_the_plan_of_a_training_is_what_is_then_done(tmp_path: Path, drafts: Path, method: str) -> None:
    encoded, model, out = write_encoded(tmp_path), write_scratch(tmp_path), tmp_path / "run"
    options, said, then, steps = TrainingOptions(method, batch_size=8, epochs=2, save_dtype="bfloat16"), [], [], []
    plan = plan_training(encoded, model, out, options, say=said.append)
    assert not out.exists() and not [*drafts.iterdir()]
    train(encoded, model, out, options, lambda done, total, figures={}: steps.append((done, total)), then.append)
    assert said == [line for line in then if not line.startswith("checkpoints")]
    rows = load_encoded(encoded).train
    assert plan.tokens == sum(len(row[part]) for row in rows for part in PARTS)
    assert (plan.train, plan.valid, plan.steps, plan.batch) == (40, 8, len(steps), 8) == (40, 8, 10, 8)
    size = (out / "model.safetensors").stat().st_size
    weights = float(plan.files[0].removeprefix("weights of ").removesuffix(" kB")) * 1000
    assert abs(weights - size) < 0.05 * size and "checkpoints" in plan.files[1]


def test_an_unfinished_run_is_left_as_it_is(tmp_path: Path) -> None:
    encoded, model, out = write_encoded(tmp_path), write_scratch(tmp_path), tmp_path / "run"
    options = TrainingOptions("assorted", batch_size=8, steps=4, save_every=1)

    def stop(done: int, total: int, figures: object = None) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(encoded, model, out, options, stop)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    plan = plan_training(encoded, model, out, options)
    assert (plan.steps, plan.done) == (4, 1)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_an_unfinished_encoding_has_steps_made_and_a_finished_one_has_no_plan(tmp_path: Path) -> None:
    raw, model, out, said = str(write_raw(tmp_path)), str(write_scratch(tmp_path)), tmp_path / "out", []
    options = replace(ENCODING, training=replace(ENCODING.training, save_every="2"))

    def stop(done: int, total: int, figures: object = None) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_dataset(raw, model, out, options, {TRAINING: stop}.get)
    plan = plan_encoding(raw, model, out, options)
    assert (plan.steps, plan.done) == (7, 4)
    encode_dataset(raw, model, out, options)
    assert plan_encoding(raw, model, out, options, say=said.append) is None
    assert said == [f"{out}: already encoded; nothing to do"]


def test_a_finished_run_is_left_as_it_is_and_has_no_plan(tmp_path: Path) -> None:
    encoded, model, out, said = write_encoded(tmp_path), write_scratch(tmp_path), tmp_path / "run", []
    options = TrainingOptions("assorted", batch_size=8, steps=4)
    train(encoded, model, out, options)
    (out / "checkpoints").mkdir()  # as a process leaves it that is killed in the end
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert plan_training(encoded, model, out, options, say=said.append) is None
    assert said == [f"{out}: already trained with these arguments; nothing to do"]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_the_last_stage_of_a_schedule_is_measured_too(tmp_path: Path, monkeypatch) -> None:
    encoded, model = write_encoded(tmp_path), write_scratch(tmp_path)
    options = TrainingOptions(
        "coconut", {"stages": 3, "first_epochs": 2.0, "epochs_per_stage": 1.0}, batch_size=8, epochs=9
    )
    seen = []
    monkeypatch.setattr(
        Collator,
        "__call__",
        lambda self, rows, to=Collator.__call__: seen.append(sum(rows[0]["thoughts"])) or to(self, rows),
    )
    plan = plan_training(encoded, model, tmp_path / "run", options)
    tried = [thoughts for thoughts in seen if thoughts in (0, 6)]
    assert tried[-6:] == [6] * 6 and 0 in tried and 0 < plan.last_seconds < 60


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    raw, encoded, model = write_raw(tmp_path), write_encoded(tmp_path), write_scratch(tmp_path)
    with pytest.raises(InputError, match="model.yaml/run: cannot be written .Not a directory.; choose another place"):
        plan_training(encoded, model, model / "run", TrainingOptions("cot"))
    with pytest.raises(InputError, match="/proc/out: cannot be written"):
        plan_encoding(str(raw), str(model), "/proc/out", ENCODING)


def test_what_the_command_refuses_the_plan_refuses(tmp_path: Path, drafts: Path) -> None:
    raw, encoded, model = write_raw(tmp_path), write_encoded(tmp_path), write_scratch(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").touch()
    with pytest.raises(InputError, match="exists and is no encoded dataset"):
        plan_encoding(str(raw), str(model), tmp_path / "taken", ENCODING)
    with pytest.raises(InputError, match="exists and is no run of mixlm-train"):
        plan_training(encoded, model, tmp_path / "taken", TrainingOptions("cot"))
    with pytest.raises(InputError, match="fewer than one batch of 99"):
        plan_training(encoded, model, tmp_path / "run", TrainingOptions("cot", batch_size=99))
    with pytest.raises(InputError, match="nowhere: no trained VQ-VAE"):
        options = EncodingOptions(vqvae=str(tmp_path / "nowhere"))
        plan_encoding(str(raw), str(model), tmp_path / "out", options)
    assert not [*drafts.iterdir()]


def test_a_plan_of_what_has_begun_is_refused_where_its_rows_or_tokenizer_have_changed(tmp_path, drafts) -> None:
    raw, model, out = write_raw(tmp_path), write_scratch(tmp_path), tmp_path / "out"
    tokenizer = build_tokenizer(["so now"], 300)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    with pytest.raises(Interrupted):
        encode_dataset(str(raw), str(tmp_path / "tokenizer"), out, ENCODING, cut(TRAINING, 5))
    tokenizer.eos_token = "!"
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    with pytest.raises(InputError, match="its tokenizer has changed since encoding was interrupted"):
        plan_encoding(str(raw), str(tmp_path / "tokenizer"), out, ENCODING)
    options = TrainingOptions("cot", steps=4, batch_size=8, save_every=2)
    with pytest.raises(Interrupted):
        train(raw, model, tmp_path / "run", options, advance=interrupt_at(3))
    raw.write_text("".join(reversed(raw.read_text().splitlines(keepends=True))))
    with pytest.raises(InputError, match="its rows have changed since the run"):
        plan_training(raw, model, tmp_path / "run", options)


def test_an_end_that_is_asked_for_keeps_nothing_and_says_so(drafts: Path) -> None:
    with pytest.raises(Stopped, match="a dry run keeps nothing") as ended, draft_folder() as draft:
        draft.mkdir()
        raise Stopped("interrupted after step 3, which is kept", signal.SIGTERM)
    assert ended.value.status == 143 and not [*drafts.iterdir()]


def test_several_processes_are_refused(tmp_path: Path, monkeypatch) -> None:
    encoded, model = write_encoded(tmp_path), write_scratch(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="--dry-run: tries the command in one process; leave out the launcher"):
        plan_training(encoded, model, tmp_path / "run", TrainingOptions("cot"))
