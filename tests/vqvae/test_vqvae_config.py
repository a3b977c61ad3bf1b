import json
from dataclasses import fields
from pathlib import Path

import pytest

from tests.vqvae_rows import random_rows, tiny_config
from vqvae import ChunkVQVAE, ChunkVQVAEConfig, VQVAETrainingOptions, train_vqvae
from vqvae.errors import InputError
from vqvae.options import PAPERS_CODES, VQVAEModelOptions


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chunk_length": 16, "compression_rate": 5}, "5 does not divide chunk length 16"),
        ({"codebook_size": 1}, "at least 2 codes"),
        ({"hidden_size": 15}, "no multiple of 2 heads"),
        ({"context": "page"}, "context 'page': give chunk or trace"),
        ({"commitment_weight": -1.0}, "commitment weight -1.0: give a number from 0 to below 1e"),
        ({"quantizer": "magic"}, "quantizer 'magic': give ema or gradient"),
        ({"context": "trace", "max_length": 3}, "holds no chunk of 4"),
        (
            {"objective": "predictive", "compression_rate": 4, "condition_on_prompt": False},
            "predicts from the prompt; leave --no-condition-on-prompt out",
        ),
    ],
)
def test_shapes_that_cannot_be_are_named(changes: dict, message: str, tmp_path: Path) -> None:
    """Where they are made, and where a field of a good one was set afterwards."""
    with pytest.raises(InputError, match=message):
        tiny_config(**changes)
    config = tiny_config()
    for name, value in changes.items():
        setattr(config, name, value)
    with pytest.raises(InputError, match=message):
        ChunkVQVAE(config)
    with pytest.raises(InputError, match=message):
        train_vqvae(random_rows(20), config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "--seed -1: give a whole number from 0 to below 4294967296"),
        ({"seed": 5_000_000_000}, "--seed 5000000000: give a whole number from 0 to below 4294967296"),
        ({"learning_rate": float("inf")}, r"--learning-rate inf: give a number from 0 to below 1e\+30"),
        ({"steps": 0}, "--steps 0: give a number from 1 up"),
    ],
)
def test_numbers_of_training_out_of_their_range_are_named(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        VQVAETrainingOptions(**changes)


@pytest.mark.parametrize(
    ("given", "recipe"),
    [
        ({}, (True, 3)),
        ({"quantizer": "gradient"}, (False, 0)),
        ({"kmeans": False, "warmup_steps": 0}, (False, 0)),
        ({"quantizer": "gradient", "kmeans": True, "warmup_steps": 2}, (True, 2)),
    ],
)
def test_the_start_of_the_codebook_follows_quantizer_and_steps(given: dict, recipe: tuple, tmp_path: Path) -> None:
    """A third of 10 steps of warm-up, then k-means; the paper's losses have neither; what is given is as it says."""
    config = tiny_config(**{"kmeans": None, "warmup_steps": None, **given})
    trained = train_vqvae(random_rows(20), config, tmp_path, VQVAETrainingOptions(steps=10, batch_size=4)).config
    assert (trained.kmeans, trained.warmup_steps) == recipe
    saved = json.loads((tmp_path / "config.json").read_text())
    assert (saved["kmeans"], saved["warmup_steps"]) == recipe


def test_a_code_stands_for_a_chunk_unless_told_otherwise() -> None:
    assert ChunkVQVAEConfig(chunk_length=12).compression_rate == 12
    assert ChunkVQVAEConfig(**PAPERS_CODES, chunk_length=12, compression_rate=4).codes_per_chunk == 3


def test_training_leaves_the_config_that_it_was_given(tmp_path: Path) -> None:
    config = tiny_config(compact_size=0, warmup_steps=None)
    before = config.to_dict()
    model = train_vqvae(random_rows(20), config, tmp_path, VQVAETrainingOptions(steps=6, batch_size=4))
    assert config.to_dict() == before
    assert model.config.compact_size == 9 and model.config.dead_code_threshold > 0


@pytest.mark.parametrize("changes", [{}, {"objective": "reconstruction"}, {"objective": "predictive"}])
def test_every_choice_is_saved_whatever_the_defaults_are(changes: dict, tmp_path: Path) -> None:
    tiny_config(**{"compression_rate": None, **changes}).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved.keys() >= {field.name for field in fields(VQVAEModelOptions)}
