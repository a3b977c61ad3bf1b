"""What trained codes hold where wording is drawn at random. Minutes of training: ``make test-latents`` runs it."""

from pathlib import Path

import numpy as np
import pytest

from tests.latents.told_totals import IDS, TOTALS, codes_of_steps, shared_nats, told_totals
from vqvae import ChunkVQVAEConfig, VQVAETrainingOptions, merge_codes, train_vqvae
from vqvae.model.coder import ChunkCoder


SHAPE = {"codebook_size": 64, "code_dim": 32, "hidden_size": 64, "num_layers": 1, "num_heads": 4}
HELD_OUT = told_totals(4000, seed=2)  # of 3 steps: 12,000 codes


def train(objective: str, seed: int, steps: int, out: Path) -> ChunkCoder:
    config = ChunkVQVAEConfig(objective=objective, vocab_size=IDS, max_prompt_length=8, **SHAPE)
    options = VQVAETrainingOptions(steps=steps, batch_size=32, learning_rate=2e-3, seed=seed)
    return train_vqvae(told_totals(20000, seed=1).rows, config, out, options)


@pytest.mark.parametrize("seed", [0, 1])
def test_codes_that_predict_hold_the_whole_state_and_no_wording(seed: int, tmp_path: Path) -> None:
    """The state is the total reached: of it all but 0.1 nats, of the wording less than 0.1, once codes are merged."""
    model = train("predictive", seed, 900, tmp_path)
    merge_codes(model, told_totals(500, seed=3).rows)
    codes = codes_of_steps(model, HELD_OUT)
    assert len(codes) >= 10_000
    assert shared_nats(codes, HELD_OUT.totals) > np.log(TOTALS) - 0.1
    assert shared_nats(codes, HELD_OUT.wordings) < 0.1


def test_codes_that_reconstruct_hold_the_wording(tmp_path: Path) -> None:
    """On the same rows, of ln 4 = 1.39 nats; so the check above can fail."""
    codes = codes_of_steps(train("reconstruction", 0, 600, tmp_path), HELD_OUT)
    assert shared_nats(codes, HELD_OUT.wordings) > 1
