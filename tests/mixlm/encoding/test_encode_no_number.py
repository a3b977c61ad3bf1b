"""Stage 1 whose numbers end is not called finished."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from mixlm.encoding.manifest import read_manifest
from mixlm.errors import InputError
from tests.encoding_work import SHAPE, TRAINING, Work
from vqvae import ChunkVQVAE, PredictiveVQVAE
from vqvae.training.train import ChunkTrainer


def ends(work: Work, **changes) -> str:
    with pytest.raises(InputError) as caught:
        work.encode(**changes)
    manifest = read_manifest(work.folder / "encoded")
    assert not manifest["complete"] and "codebook" not in manifest
    assert not (work.folder / "encoded" / "vqvae" / "model.safetensors").exists()
    return str(caught.value)


PREDICTIVE = {"objective": "predictive", "align": "step", "codebook_size": 6, "code_dim": 4, "hidden_size": 16}
PREDICTIVE |= {"num_layers": 1, "num_heads": 2, "warmup_steps": 3}


@pytest.mark.parametrize("shape", [SHAPE, PREDICTIVE], ids=["reconstruction", "predictive"])
def test_a_rate_that_breaks_the_weights_ends_training(fresh: Work, shape: dict) -> None:
    line = ends(fresh, shape=shape, training=replace(TRAINING, learning_rate=1e29, save_every=0))
    assert "at learning rate" in line and line.endswith("in another --out, with a lower --learning-rate")
    assert "nan" in line.lower()


def test_vectors_that_are_no_numbers_make_no_codebook(fresh: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChunkTrainer, "gather_vectors", lambda trainer, model: torch.full((9, 4), torch.nan))
    assert ends(fresh).startswith("step 4: an encoded vector, of which codes are to be made, is no number")


def test_a_codebook_that_is_no_number_ends_training_though_it_is_no_parameter(fresh: Work, monkeypatch) -> None:
    monkeypatch.setattr(ChunkVQVAE, "state_dict", lambda model: {"codebook": torch.tensor([torch.inf])})
    assert "codebook holds NaN or infinity" in ends(fresh)


def test_a_trained_model_of_no_numbers_is_refused(work: Work, encoded, tmp_path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((encoded / "vqvae" / name).read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    name = next(name for name, values in weights.items() if values.is_floating_point())
    save_file({**weights, name: weights[name] * torch.nan}, tmp_path / "model.safetensors", {"format": "pt"})
    assert f"{name} holds NaN or infinity; train codes anew" in work.refuses("other", vqvae=str(tmp_path), shape={})


def test_codes_are_not_merged_by_losses_that_are_no_numbers(fresh: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PredictiveVQVAE, "nats", lambda *inputs: torch.tensor(torch.nan))
    with pytest.raises(InputError, match="the loss on held-out rows is nan, so codes cannot be compared"):
        fresh.encode(shape=PREDICTIVE)
    assert "codebook" not in read_manifest(fresh.folder / "encoded")
