"""What a token costs in each stage, as a function of its sizes: a model of few coefficients, fitted on this machine.

    nanoseconds a token = fixed + weights * (weights that the token meets) + rows * (width * rows it is compared with)

The first term is what does not depend on sizes, the second is proportional to the weights of the Transformer blocks,
the third to the rows of a vocabulary, or of a codebook, times their width. Coefficients are fitted to small sizes by
least squares of relative errors, none below 0; the largest size of each stage is kept out and predicted. On a CPU the
times are processor seconds of one thread, which other work on the machine changes little.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from benchmarks.encoding import PAPER
from benchmarks.measuring import Figure, wait
from benchmarks.training import GSM8K, block_weights
from mixlm.model.collator import Collator
from mixlm.model.forward import scored_batch, scored_places
from vqvae import PARTS, ChunkVQVAE, ChunkVQVAEConfig
from vqvae.model.chunks import collate


CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
BLOCK = 12  # a block has 12 width^2 weights: 4 in attention, 8 in its network
LENGTHS = GSM8K[5::8]


@dataclass(frozen=True)
class Point:
    """One measurement.

    Attributes:
        name: The sizes.
        weights: Weights of blocks that a token meets.
        compared: Width times the rows that a token is compared with, in the mean.
        took: Nanoseconds a token.
    """

    name: str
    weights: float
    compared: float
    took: float

    @property
    def terms(self) -> list[float]:
        """What the coefficients multiply."""
        return [1.0, self.weights, self.compared]


def fit(points: Sequence[Point]) -> np.ndarray:
    """Return the coefficients, none below 0, that make the sum of squared relative errors least.

    >>> fit([Point("", w, c, 5 + 2 * w + 3 * c) for w, c in ((1, 0), (2, 5), (4, 1), (9, 9))]).round(6).tolist()
    [5.0, 2.0, 3.0]
    """
    table = np.array([[term / point.took for term in point.terms] for point in points])
    best, least = np.zeros(3), np.inf
    for kept in itertools.chain.from_iterable(itertools.combinations(range(3), size) for size in (1, 2, 3)):
        found = np.zeros(3)
        found[list(kept)] = np.linalg.lstsq(table[:, kept], np.ones(len(points)), rcond=None)[0]
        error = float(np.square(table @ found - 1).sum())
        if (found >= 0).all() and error < least:
            best, least = found, error
    return best


def nanoseconds(work: Callable[[], Any], tokens: int, repeats: int = 3) -> float:
    """Return the least nanoseconds a token that a call takes."""
    clock = time.perf_counter if CUDA else time.process_time

    def once() -> float:
        start = clock()
        work()
        wait()
        return clock() - start

    once()
    return min(once() for _ in range(repeats)) / tokens * 1e9


def stage1(width: int, layers: int, codes: int, rate: int, rows: int) -> tuple[Point, Point]:
    """Measure encoding, a token of a trace, and training stage 1, a token of a sample."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    shape = {**PAPER, "hidden_size": width, "num_layers": layers, "codebook_size": codes}
    shape |= {"chunk_length": rate, "compression_rate": rate, "vocab_size": rows, "compact_size": rows + 1}
    model = ChunkVQVAE(ChunkVQVAEConfig(**shape, warmup_steps=0, kmeans=False), range(rows)).to(DEVICE)
    samples = [{part: rng.integers(rows, size=n) for part, n in zip(PARTS, (*of, 16), strict=True)} for of in LENGTHS]
    batch = {name: value.to(DEVICE) for name, value in collate(samples, model.config).items()}
    traces = [sample["trace_ids"] for sample in samples]
    flat = np.concatenate(traces), np.array([len(trace) for trace in traces])
    name = f"{layers} layers, {width} wide, K = {codes}, r = {rate}"
    blocks, book = layers * BLOCK * width**2, codes * model.config.code_dim / rate
    model.eval()
    took = nanoseconds(lambda: model.encode_flat(*flat, batch_size=1024), len(flat[0]))
    encoding = Point(name, blocks, book, took)
    model.train()
    took = nanoseconds(lambda: model(**batch).loss.backward(), int(batch["places"][:, 2].sum()))
    # of a large vocabulary, training compares with a sample and with the rows of the batch
    met = min(rows, model.config.softmax_samples + len(batch["input_ids"].unique())) if rows > 16_384 else rows
    return encoding, Point(f"{name}, {rows} rows", 2 * blocks, width * met + book, took)


def stage2(width: int, layers: int, rows: int) -> tuple[Point, Point]:
    """Measure training stage 2, a token of a packed row, and decoding, a token of 32 answers at once."""
    torch.manual_seed(0)
    shape = {"hidden_size": width, "intermediate_size": 8 * width // 3, "num_hidden_layers": layers}
    config = LlamaConfig(**shape, vocab_size=rows, num_attention_heads=max(width // 64, 1), tie_word_embeddings=True)
    model = AutoModelForCausalLM.from_config(config).to(DEVICE)
    features = []
    for prompt, trace in LENGTHS:
        ids = torch.randint(rows, (prompt + trace,)).tolist()
        features.append({"input_ids": ids, "labels": [-100] * prompt + ids[prompt:]})
    batch = {name: value.to(DEVICE) for name, value in Collator(pack=True)(features).items()}
    labels = batch.pop("labels")
    useful, scored = sum(map(sum, LENGTHS)), scored_places(labels)

    def learn() -> None:
        logits = scored_batch(model, scored, **batch)["logits"]
        torch.nn.functional.cross_entropy(logits.float(), logits.detach().argmax(-1)).backward()

    name = f"{layers} layers, {width} wide, {rows} rows"
    share = sum(trace for _, trace in LENGTHS) / useful  # of the tokens that are learned
    model.train()
    blocks = block_weights(model)
    training = Point(name, blocks, share * width * rows, nanoseconds(learn, useful))
    model.eval()
    ids = torch.randint(rows, (32, 64), device=DEVICE)

    def decode() -> None:
        model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=17, min_new_tokens=17, do_sample=False)

    with torch.no_grad():
        reading = nanoseconds(lambda: model(ids, use_cache=True, logits_to_keep=1), 32 * 16)
    decoding = Point(name, blocks, width * rows, nanoseconds(decode, 32 * 16) - reading)
    return training, decoding


STAGE1 = (
    (64, 1, 256, 8, 500),
    (64, 2, 1024, 16, 2000),
    (128, 2, 8192, 8, 9000),
    (128, 4, 1024, 16, 9000),
    (256, 2, 256, 16, 2000),
    (256, 2, 8192, 16, 49152),
    (512, 1, 1024, 8, 500),
    (512, 2, 1024, 16, 9000),
)
STAGE2 = (
    (64, 2, 512),
    (64, 4, 8192),
    (128, 3, 2048),
    (128, 6, 49152),
    (256, 4, 512),
    (256, 8, 16384),
    (512, 4, 2048),
    (512, 8, 49152),
)


def figures(turns: int) -> Iterator[Figure]:
    """Fit each stage's model, and compare its prediction of the largest size with the truth.

    Args:
        turns: Not used: every size is measured three times, and the least counts.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(threads if CUDA else 1)
    try:
        encoding, training1 = zip(*(stage1(*sizes) for sizes in STAGE1), strict=True)
        training2, decoding = zip(*(stage2(*sizes) for sizes in STAGE2), strict=True)
    finally:
        torch.set_num_threads(threads)
    stages = {"encoding": encoding, "stage 1": training1, "stage 2": training2, "decoding": decoding}
    for stage, (*small, largest) in stages.items():
        found = fit(small)
        worst = max(abs(found @ point.terms / point.took - 1) for point in small)
        predicted = float(found @ largest.terms)
        detail = (
            f"{found[0]:.0f} ns a token, {1e6 * found[1]:.0f} a million weights of blocks, {1e6 * found[2]:.0f} a "
            f"million of width x rows (fitted within {worst:.0%}); {largest.name}: {predicted:.0f} ns predicted, "
            f"{largest.took:.0f} measured"
        )
        factor = max(predicted / largest.took, largest.took / predicted)
        yield Figure(f"cost: {stage}, largest size, off by a factor", factor, "<= 1.5", detail, 3)
