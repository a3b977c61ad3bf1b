from pathlib import Path

import pytest

from vqvae.errors import InputError
from vqvae.training.trainer_base import base_arguments


def test_a_step_has_as_many_samples_whatever_gpus_one_process_sees(tmp_path: Path, two_gpus: None) -> None:
    """transformers' own arguments take a batch for each of them, and split every input by rows."""
    arguments = base_arguments(tmp_path, steps=3, batch_size=32, micro_batch_size=8)
    assert (arguments.n_gpu, arguments.train_batch_size, arguments.gradient_accumulation_steps) == (1, 8, 4)


@pytest.mark.parametrize(
    ("world", "batch", "micro", "told"),
    [
        (4, 30, 0, "of 4 processes; give 28 or 32"),
        (6, 32, 0, "of 6 processes; give 30 or 36"),
        (6, 5, 0, "of 6 processes; give 6"),
        (2, 30, 4, "of 2 processes x 4 samples; give 24 or 32"),
    ],
)
def test_the_processes_share_a_batch(
    world: int, batch: int, micro: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is advised is what they can share."""
    monkeypatch.setenv("WORLD_SIZE", str(world))
    with pytest.raises(InputError) as caught:
        base_arguments(tmp_path, steps=3, batch_size=batch, micro_batch_size=micro)
    assert str(caught.value) == f"--batch-size {batch} is no multiple {told}"
    for number in told.partition("give ")[2].split(" or "):
        assert int(number) % (world * (micro or 1)) == 0
