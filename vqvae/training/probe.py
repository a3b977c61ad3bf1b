"""What codes carry for the rest of the reasoning, and how well they themselves can be foretold.

Whatever stage 1 was trained for, its codes are judged by the same small model, which is trained on the finished codes
as a language model is: each code is a symbol with a vector of its own. From a prompt and codes it predicts

- what follows each code, the next step and the solution. With the right codes, with none and with random ones: what
  the codes carry for the rest is the difference;
- each code, from the prompt and the codes before it. That is what the language model has to write, so it is about the
  best that its latents can do.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from vqvae.advance import Advance
from vqvae.errors import InputError, require_between
from vqvae.metrics import entropy
from vqvae.model.chunks import TokenRow, has_chunk, row_batches
from vqvae.model.coder import ChunkCoder
from vqvae.model.context import Context, ContextDecoder, by_sample, place_in_sample, some_of_each
from vqvae.model.continuations import NEXT, SOLUTION, collate_traces, continuations
from vqvae.model.layers import evaluating
from vqvae.model.predictive import MOST_PREDICTED
from vqvae.model.sampled_softmax import IGNORED, token_loss
from vqvae.options import SaveEvery
from vqvae.stopping import Stop, stop_when_asked
from vqvae.training.kept_loop import KeptLoop, digest_of


BATCH, RATE = 32, 2e-3
WITHOUT = 0.1  # share of samples that training reads without codes


class Coded(NamedTuple):
    """Samples with their codes.

    Attributes:
        batch: What ``collate_traces`` returns.
        codes: (n,) of all samples, in order.
        sample: (n,) whose each is.
    """

    batch: Mapping[str, torch.Tensor]
    codes: torch.Tensor
    sample: torch.Tensor


class Probe(nn.Module):
    """The model that judges.

    Args:
        coder: Whose codes; the probe has its shape and its vocabulary, and none of its weights.
    """

    def __init__(self, coder: ChunkCoder) -> None:
        super().__init__()
        config = coder.config
        self.config, self.vocabulary = config, coder.vocabulary
        self.tokens = nn.Embedding(config.table_rows, config.hidden_size)
        self.codes = nn.Embedding(config.codebook_size + 1, config.code_dim)  # the last one stands for none
        self.decoder = ContextDecoder(config, kinds=2)
        self.prior = nn.Linear(config.hidden_size, config.codebook_size)
        self.head_bias = nn.Parameter(torch.zeros(config.table_rows))
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=config.initializer_range)

    def read(self, coded: Coded, codes: torch.Tensor) -> Context:
        """Read prompts, and ``codes`` (n,) in place of the samples' own."""
        rows, counts = by_sample(self.codes(codes), coded.sample, len(coded.batch["prompt_ids"]))
        prompts = self.tokens(self.vocabulary.compact(coded.batch["prompt_ids"]))
        return self.decoder.read(prompts, coded.batch["prompt_lengths"], rows, counts)

    def code_logits(self, context: Context, coded: Coded) -> torch.Tensor:
        """Return what is predicted of each code (n, K) from the prompt and the codes before it."""
        counts = torch.bincount(coded.sample, minlength=len(context.states))
        before = context.first_code - 1 + place_in_sample(coded.sample, counts)
        return self.prior(context.states[coded.sample, before])

    def losses(self, context: Context, coded: Coded, chosen: torch.Tensor | None = None) -> Iterator[torch.Tensor]:
        """Yield what the next steps cost, then what the solutions do: the sum over their tokens, in nats.

        Args:
            context: Of ``coded``.
            coded: The samples.
            chosen: Whether to predict from each chunk (n,); None: from all.
        """
        samples = self.config.softmax_samples if self.training and self.config.samples_softmax else 0
        for texts, kind in zip(
            continuations(coded.batch, self.vocabulary, self.config), (NEXT, SOLUTION), strict=True
        ):
            nats = 0
            every = texts.only(texts.known if chosen is None else texts.known & chosen)
            for some in every.split(context, self.config.table_rows):
                states = self.decoder.write(context, some, self.tokens(some.targets.clamp(min=0)), kind)
                mean = token_loss(states, some.targets, self.tokens.weight, self.head_bias, samples)
                nats = nats + mean * (some.targets != IGNORED).sum()
            yield nats


@dataclass(frozen=True)
class ProbeTraining:
    """How a probe is trained.

    Attributes:
        steps: Optimizer steps.
        seed: Of weights, order and random codes.
        kept: File in which an interrupted training is kept, to go on from; None: it starts anew.
        pace: How often it is kept.
    """

    steps: int = 1000
    seed: int = 0
    kept: Path | None = None
    pace: SaveEvery = SaveEvery()


def probe_codes(
    model: ChunkCoder,
    train: Sequence[TokenRow],
    held_out: Sequence[TokenRow],
    training: ProbeTraining,
    advance: Advance | None = None,
) -> dict[str, float]:
    """Train a probe on the codes of ``train`` and measure it on those of ``held_out``.

    Args:
        model: Gives the codes.
        train: Rows to learn from.
        held_out: Rows to measure on.
        training: How the probe is trained.
        advance: Called with (step, total steps, figures) after every step.

    Returns:
        ``next_with``, ``next_without`` and ``next_random``: nats that the text of the next step costs, given the
        prompt and the right codes so far, no codes, and random ones; ``solution_with`` .. likewise for the solution,
        both means over chunks;
        ``prior_nats`` and ``prior_top1``: nats that a code costs given the prompt and the codes before, and how often
        the likeliest is right; by their frequency alone they would be guessed with ``prior_blind`` nats.
        These are means over codes.

    Raises:
        InputError: If there is no row to learn from, or no step to learn in.
        Stopped: If an end was asked for; the training is kept if there is a file for it.
    """
    require_between("steps", training.steps, 1)
    if not len(train):
        raise InputError("no rows for the probe to learn from; give it rows of the training traces")
    with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []), evaluating(model):
        torch.manual_seed(training.seed)
        probe = Probe(model).to(model.device)
        with torch.enable_grad(), stop_when_asked() as stop:
            _train(probe, model, train, training, stop, advance)
        return _measure(probe.eval(), model, held_out)


def _coded(model: ChunkCoder, rows: Sequence[TokenRow]) -> Coded:
    batch = {name: value.to(model.device) for name, value in collate_traces(rows, model.config).items()}
    with torch.no_grad():
        vectors = model.chunks(batch["input_ids"], batch["places"]).vectors
        codes = model.quantizer.nearest(vectors.flatten(0, 1))
    return Coded(batch, codes, batch["sample"].repeat_interleave(model.config.codes_per_chunk))


def _batches(rows: Sequence[TokenRow], steps: int, seed: int) -> Iterator[list[TokenRow]]:
    """Yield the rows of each step, drawn with replacement."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        yield [rows[int(index)] for index in rng.integers(len(rows), size=BATCH)]


def one_cycle(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.OneCycleLR:
    """Return the schedule of so many steps, of which a twentieth raises the rate.

    Of 20 steps it is two: torch divides by the steps of the rise but one.
    """
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.1 if steps == 20 else 0.05)


def _train(
    probe: Probe,
    model: ChunkCoder,
    train: Sequence[TokenRow],
    training: ProbeTraining,
    stop: Stop,
    advance: Advance | None,
) -> None:
    optimizer = torch.optim.AdamW(probe.parameters(), lr=RATE, weight_decay=0.01)
    schedule = one_cycle(optimizer, training.steps)
    parts = {"probe": probe, "optimizer": optimizer, "schedule": schedule}
    loop = KeptLoop(training.kept, parts, training.pace, stop, mark=digest_of(model))
    begun = loop.begin()
    for step, rows in islice(enumerate(_batches(train, training.steps, training.seed), 1), begun, None):
        chosen = [row for row in rows if has_chunk(row, model.config)]
        if chosen:
            coded = _coded(model, chosen)
            without = (torch.rand(len(chosen)) < WITHOUT).to(model.device)
            context = probe.read(coded, torch.where(without[coded.sample], model.config.codebook_size, coded.codes))
            known = torch.where(without[coded.sample], IGNORED, coded.codes)
            loss = F.cross_entropy(probe.code_logits(context, coded), known, reduction="sum") / len(known)
            chunks = coded.batch["sample"]
            some = some_of_each(chunks, torch.bincount(chunks), MOST_PREDICTED)
            for nats in probe.losses(context, coded, some):
                loss = loss + nats / some.sum()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(probe.parameters(), 1.0)
            optimizer.step()
        schedule.step()
        if advance:
            advance(step, training.steps, {})
        loop.after(step)


def _measure(probe: Probe, model: ChunkCoder, rows: Sequence[TokenRow]) -> dict[str, float]:
    sums: dict[str, float] = defaultdict(float)
    size, rate = model.config.codebook_size, model.config.codes_per_chunk
    counts = torch.zeros(size, dtype=torch.long)
    for chosen in row_batches(rows, model.config, BATCH):
        coded = _coded(model, chosen)
        random = torch.randint(size, coded.codes.shape).to(model.device)
        ways = {"with": coded.codes, "without": torch.full_like(random, size), "random": random}
        for name, given in ways.items():
            context = probe.read(coded, given)
            for kind, nats in zip(("next", "solution"), probe.losses(context, coded), strict=True):
                sums[f"{kind}_{name}"] += rate * float(nats)
            if name == "with":
                logits = probe.code_logits(context, coded)
                sums["prior_nats"] += float(F.cross_entropy(logits, coded.codes, reduction="sum"))
                sums["prior_top1"] += int((logits.argmax(-1) == coded.codes).sum())
        counts += torch.bincount(coded.codes.cpu(), minlength=size)
    codes = int(counts.sum())
    figures = {name: total / codes for name, total in sums.items()}
    return {**figures, "prior_blind": entropy(counts)} if codes else {}
