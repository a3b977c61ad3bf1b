"""What the vocabulary costs in training stage 1.

A step is forward and backward of 8 samples as long as GSM8K's, all their chunks, at the paper's size (2 layers, 512
wide, K = 1024, L = 16). The head is what makes logits of hidden states, with its loss and its gradients.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.encoding import PAPER
from benchmarks.measuring import Figure, in_turns, seconds, wait
from benchmarks.training import GSM8K, SOLUTION
from vqvae import PARTS, ChunkVQVAE, ChunkVQVAEConfig
from vqvae.model.chunks import collate
from vqvae.model.sampled_softmax import sampled_cross_entropy


LARGE = 49_152  # SmolLM2's
COMPACT = 9_000  # what GSM8K uses of it, about


class Stage1:
    """A random model of a vocabulary, and a batch.

    Args:
        rows: Rows of the vocabulary.
        sampled: Rows that the softmax samples; 0: all rows.
        samples: Of the batch.
    """

    def __init__(self, rows: int, sampled: int, samples: int = 8) -> None:
        torch.manual_seed(0)
        rng = np.random.default_rng(0)
        shape = {"vocab_size": rows, "compact_size": rows + 1, "softmax_samples": sampled}
        config = ChunkVQVAEConfig(**PAPER, **shape, warmup_steps=0, kmeans=False)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = ChunkVQVAE(config, range(rows)).train().to(device)
        lengths = ((*GSM8K[place], SOLUTION) for place in range(6, 100, 96 // samples))
        batch = [dict(zip(PARTS, (rng.zipf(1.2, n) % rows for n in of), strict=True)) for of in lengths]
        self.batch = {name: value.to(device) for name, value in collate(batch, config).items()}
        hidden = torch.randn(self.batch["input_ids"].numel(), config.hidden_size, device=device)
        self.hidden, self.targets = hidden.requires_grad_(), self.model.vocabulary.compact(self.batch["input_ids"])

    def step(self) -> None:
        """Run forward and backward."""
        self.model(**self.batch).loss.backward()
        wait()

    def head(self) -> None:
        """Run the head alone."""
        weight, bias, targets = self.model.tokens.weight, self.model.head_bias, self.targets.flatten()
        if self.model.config.samples_softmax:
            loss = sampled_cross_entropy(self.hidden, weight, bias, targets, self.model.config.softmax_samples)
        else:
            loss = F.cross_entropy(F.linear(self.hidden, weight, bias).float(), targets)
        loss.backward()
        wait()

    @property
    def tokens(self) -> int:
        """Tokens of a step."""
        return int(self.batch["places"][:, 2].sum())


def figures(turns: int) -> Iterator[Figure]:
    """Yield the figures."""
    turns = max(2, turns // 4)
    sampled, full, compact = Stage1(LARGE, 4096), Stage1(LARGE, 0), Stage1(COMPACT, 4096)
    before, after, ratio = in_turns(lambda: (seconds(full.step), seconds(sampled.step)), turns, warm_ups=1)
    detail = f"{sampled.tokens / before:.0f} tokens/s over all rows, {sampled.tokens / after:.0f} sampled"
    yield Figure(f"stage 1: tokens/s, {LARGE} rows sampled over all", ratio, ">= 1", detail, turns)
    for name, model in (("sampled", sampled), ("all", compact)):
        yield share(name, model, turns)


def share(name: str, model: Any, turns: int) -> Figure:
    """Measure the head's share of a step."""
    head, step, ratio = in_turns(lambda: (seconds(model.head), seconds(model.step)), turns, warm_ups=1)
    rows = model.model.config.compact_size - 1
    detail = f"{1000 * head:.0f} ms of {1000 * step:.0f} ms, {model.tokens} tokens"
    return Figure(f"stage 1: share of the head, {name} of {rows} rows", ratio, "<= 0.5", detail, turns)
