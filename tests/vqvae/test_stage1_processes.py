import statistics
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

from tests.launching import launch
from tests.vqvae_rows import counting_rows, tiny_config
from vqvae import ChunkVQVAE, VQVAETrainingOptions, evaluate_vqvae, train_vqvae


TRAIN = """
import os, sys
import torch
from safetensors.torch import save_file
from tests.vqvae_rows import clustered_rows, tiny_config
from vqvae import VQVAETrainingOptions, train_vqvae

without = {"prompt_ids": [3] * 9, "trace_ids": [3], "solution_ids": [5] * 4}
rows = [row for pair in zip(clustered_rows(30), [without] * 30) for row in pair]
shape = {"objective": sys.argv[2], "compression_rate": int(sys.argv[3])}
config = tiny_config(warmup_steps=3, kmeans=True, dead_code_share=0.5, **shape)
options = VQVAETrainingOptions(steps=10, batch_size=4, learning_rate=1e-2)
rand, drawn = torch.rand, []
torch.rand = lambda *given, **more: drawn.append(rand(*given, **more)) or drawn[-1]
model = train_vqvae(rows, config, sys.argv[1], options)
save_file(model.state_dict(), f"{sys.argv[1]}/rank-{os.environ['RANK']}.safetensors")
save_file({"drawn": drawn[0].flatten()[:3].clone()}, f"{sys.argv[1]}/drawn-{os.environ['RANK']}.safetensors")
"""


@pytest.mark.parametrize(("objective", "rate"), [("reconstruction", 2), ("predictive", 4)])
def test_processes_share_one_codebook(tmp_path: Path, warm: str, objective: str, rate: int) -> None:
    """Two processes, k-means, dead codes and batches of different numbers of chunks: the same model on both."""
    out = tmp_path / "out"
    done = launch(warm, tmp_path, TRAIN, [str(out), objective, str(rate)])
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (load_file(out / f"rank-{rank}.safetensors") for rank in (0, 1))
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    saved = AutoModel.from_pretrained(out)
    assert all(torch.equal(value, first[name]) for name, value in saved.state_dict().items())
    one, other = (load_file(out / f"drawn-{rank}.safetensors")["drawn"] for rank in (0, 1))
    assert not torch.equal(one, other)  # which codes are dropped: in all processes the same places would be
    # 30 samples of 3 chunks of 2 codes are 180 vectors in 8 steps, on 8 codes; a half. Of one code, half of that
    assert saved.config.dead_code_threshold == 180 / 64 / rate


TRAIN_WELL = """
import sys
from tests.vqvae.test_stage1_processes import train_well

train_well(sys.argv[1], seed=0)
"""


def train_well(out: str | Path, seed: int) -> ChunkVQVAE:
    """Train until the codes carry something."""
    config = tiny_config(warmup_steps=20, kmeans=True, codebook_size=64, compression_rate=4, hidden_size=32)
    options = VQVAETrainingOptions(steps=150, batch_size=16, learning_rate=1e-2, seed=seed)
    return train_vqvae(counting_rows(400), config, out, options)


def test_several_processes_learn_as_well_as_one(tmp_path: Path, warm: str) -> None:
    """What a code carries, and how well chunks are rebuilt, lie where other seeds of one process lie."""
    held = counting_rows(60, seed=1)
    done = launch(warm, tmp_path, TRAIN_WELL, [str(tmp_path / "two")])
    assert done.returncode == 0, done.stderr[-3000:]
    two = evaluate_vqvae(ChunkVQVAE.from_pretrained(tmp_path / "two"), held)
    one = [evaluate_vqvae(train_well(tmp_path / f"one-{seed}", seed), held) for seed in range(4)]
    for figure in ("code_gap", "ce_right"):
        values = [quality[figure] for quality in one]
        assert abs(two[figure] - statistics.mean(values)) < 3 * statistics.stdev(values)
    assert two["code_gap"] > 0.3  # nats a token: a codebook that does not live carries nothing
