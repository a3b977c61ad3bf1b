from pathlib import Path

import pytest

from vqvae.errors import InputError
from vqvae.training.trainer_base import base_arguments


def test_a_step_has_as_many_samples_whatever_gpus_one_process_sees(tmp_path: Path, two_gpus: None) -> None:
    """transformers' own arguments take a batch for each of them, and split every input by rows."""
    arguments = base_arguments(tmp_path, steps=3, batch_size=32, micro_batch_size=8)
    assert (arguments.n_gpu, arguments.train_batch_size, arguments.gradient_accumulation_steps) == (1, 8, 4)


def test_the_processes_share_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(InputError, match="--batch-size 30 is no multiple of 4 processes x 7 samples"):
        base_arguments(tmp_path, steps=3, batch_size=30)
