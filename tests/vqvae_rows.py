"""Small rows and models for the tests of stage 1."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch

from vqvae import ChunkVQVAE, ChunkVQVAEConfig, PredictiveVQVAE
from vqvae.model.coder import ChunkCoder
from vqvae.options import PAPERS_CODES


SHAPE = {
    **PAPERS_CODES,
    "chunk_length": 4,
    "compression_rate": 2,
    "codebook_size": 8,
    "code_dim": 6,
    "hidden_size": 16,
    "num_layers": 1,
    "num_heads": 2,
    "max_prompt_length": 8,
    "max_length": 12,
    "warmup_steps": 0,
    "kmeans": False,
}
IDS = [3, 5, 8, 13, 21, 34, 55, 89]


def tiny_config(**changes: object) -> ChunkVQVAEConfig:
    """A configuration of few numbers; ids of the corpus are ``IDS``."""
    return ChunkVQVAEConfig(**{**SHAPE, "vocab_size": 100, "compact_size": len(IDS) + 1, **changes})


def random_vqvae(seed: int = 0, **changes: object) -> ChunkVQVAE:
    """A random model of reconstruction in evaluation mode."""
    return random_model(ChunkVQVAE, seed, **changes)


def random_reader(seed: int = 0, **changes: object) -> PredictiveVQVAE:
    """A random predictive model in evaluation mode, whose chunks end with steps."""
    shape = {"objective": "predictive", "align": "step", "compression_rate": None}
    return random_model(PredictiveVQVAE, seed, **{**shape, **changes})


def random_model(kind: type[ChunkCoder], seed: int = 0, **changes: object) -> ChunkCoder:
    """A random model in evaluation mode, its weights large enough that codes vary."""
    torch.manual_seed(seed)
    model = kind(tiny_config(**changes), IDS).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name and "quantizer" not in name:
                parameter.normal_(std=0.5)
        model.quantizer.vq._codebook.embed.normal_()
    return model


def codes_of(model: ChunkVQVAE, traces: Sequence[Sequence[int]], batch_size: int | None = None) -> list[list[int]]:
    """The codes of each trace, given its full ids."""
    lengths = np.array([len(trace) for trace in traces], dtype=np.int64)
    codes = model.encode_flat(np.fromiter(chain(*traces), np.int64), lengths, batch_size=batch_size)
    ends = np.cumsum(model.config.cutting.count_chunks(lengths) * model.config.codes_per_chunk)
    return [part.tolist() for part in np.split(codes, ends[:-1])] if len(ends) else []


def random_rows(count: int, seed: int = 0, longest: int = 20) -> list[dict[str, list[int]]]:
    """Rows whose parts have random ids and lengths."""
    rng = np.random.default_rng(seed)

    def part(least: int) -> list[int]:
        return rng.choice(IDS, size=rng.integers(least, longest)).tolist()

    return [{"prompt_ids": part(1), "trace_ids": part(4), "solution_ids": part(1)} for _ in range(count)]


def random_step_rows(count: int, seed: int = 0) -> list[dict[str, list[int]]]:
    """Such rows with one to four steps, of up to 6 tokens, some of which may be empty."""
    rng = np.random.default_rng(seed)
    rows = []
    for row in random_rows(count, seed, longest=8):
        lengths = [*rng.integers(0, 7, size=rng.integers(0, 4)).tolist(), 3]
        trace = rng.choice(IDS, size=sum(lengths)).tolist()
        rows.append({**row, "trace_ids": trace, "step_lengths": lengths})
    return rows


def clustered_rows(count: int, kinds: int = 6, seed: int = 0, length: int = 4) -> list[dict[str, list[int]]]:
    """Rows whose traces are made of a few kinds of chunk, which nothing in the prompt tells."""
    rng = np.random.default_rng(seed)
    chunks = np.random.default_rng(7).choice(IDS, size=(kinds, length))
    return [
        {
            "prompt_ids": [IDS[0]],
            "trace_ids": chunks[rng.integers(kinds, size=3)].flatten().tolist(),
            "solution_ids": [IDS[1]],
        }
        for _ in range(count)
    ]


def counting_rows(count: int, seed: int = 0) -> list[dict[str, list[int]]]:
    """Running sums modulo 10: a chunk is total, plus sign, addend, new total; 100 chunks exist."""
    rng = np.random.default_rng(seed)
    rows = []
    for start, *addends in rng.integers(10, size=(count, 5)).tolist():
        trace, total = [], start
        for addend in addends:
            trace += [total, 10, addend, (total + addend) % 10]
            total = (total + addend) % 10
        rows.append({"prompt_ids": [start, *addends], "trace_ids": trace, "solution_ids": [total]})
    return rows
