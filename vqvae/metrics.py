"""Does a codebook live, and do its codes carry anything? Figures on held-out chunks of traces."""

import math
from collections.abc import Sequence

import torch
from torch.nn import functional as F

from vqvae.errors import InputError
from vqvae.model.chunks import TokenRow, collate, row_batches
from vqvae.model.coder import ChunkCoder
from vqvae.model.layers import evaluating
from vqvae.model.sampled_softmax import IGNORED


def entropy(counts: torch.Tensor) -> float:
    """Return the entropy, in nats, of the frequencies of ``counts`` (any,)."""
    return float(torch.special.entr(counts.double() / counts.sum()).sum())


def perplexity(counts: torch.Tensor) -> float:
    """Return the exponential of the entropy of ``counts`` (K,): how many codes are in even use.

    >>> round(perplexity(torch.tensor([5, 5, 0])), 6)
    2.0
    """
    return math.exp(entropy(counts))


def evaluate_vqvae(
    model: ChunkCoder, rows: Sequence[TokenRow], batch_size: int = 32, seed: int = 0
) -> dict[str, float | None]:
    """Measure a model on the chunks of the traces of ``rows``.

    Codes can be alive and still idle, because the decoder may lean on the prompt alone. So the reconstruction is
    measured three times: with the right code, with a random one, and without any, through the vector that
    ``code_dropout`` trained for that.

    Args:
        model: A trained model.
        rows: Held-out tokenized rows.
        batch_size: Samples at once, at most.
        seed: Of the random codes.

    Returns:
        ``chunks``, ``tokens``; ``codes_used``, ``codebook_size``, ``used`` (share of the codebook), ``perplexity``;
        cross-entropies in nats a token ``ce_right``, ``ce_random``, ``ce_none``; ``ce_unigram``, the entropy of the
        chunks' token frequencies; ``code_gap``, what the code carries: the smaller of ``ce_none`` and ``ce_unigram``,
        less ``ce_right``; ``token_accuracy`` beside ``unigram_accuracy`` (always the chunks' most frequent
        token) and ``no_code_accuracy``; ``exact_chunks``, the share rebuilt without an error; ``unknown_share``, the
        share of tokens that the training corpus never used. Figures without a code are None for a model trained with
        ``code_dropout=0``.

    Raises:
        InputError: If no trace has a whole chunk, or the loss is no number.
    """
    sums = _Sums(model)
    generator = torch.Generator().manual_seed(seed)
    with evaluating(model):
        for chosen in row_batches(rows, model.config, batch_size):
            batch = collate(chosen, model.config, parts=("trace_ids",))
            sums.add({name: value.to(model.device) for name, value in batch.items()}, generator)
    if not sums.tokens:
        raise InputError(
            f"no held-out trace has a whole chunk of {model.config.chunk_length} tokens; "
            "lower --chunk-length or hold out more samples"
        )
    if not math.isfinite(sums.losses["right"]):
        raise InputError(
            f"the loss of the VQ-VAE on held-out traces is {sums.losses['right']}; train one anew, in another --out, "
            "with a lower --learning-rate"
        )
    return sums.figures()


class _Sums:
    """Sums over batches of chunks."""

    def __init__(self, model: ChunkCoder) -> None:
        self.model, config = model, model.config
        self.code_counts = torch.zeros(config.codebook_size, dtype=torch.long)
        self.token_counts = torch.zeros(config.table_rows, dtype=torch.long)
        self.tokens = self.chunks = self.exact = 0
        self.losses = {"right": 0.0, "random": 0.0, "none": 0.0}
        self.hits = {"right": 0, "random": 0, "none": 0}

    def add(self, batch: dict[str, torch.Tensor], generator: torch.Generator) -> None:
        """Add the chunks of one batch."""
        model, config = self.model, self.model.config
        targets, encoded = model.chunks(batch["input_ids"], batch["places"])
        codes = model.quantizer.nearest(encoded.flatten(0, 1)).reshape(encoded.shape[:2])
        random = torch.randint(config.codebook_size, codes.shape, generator=generator).to(codes.device)
        inputs = {
            "right": model.quantizer.look_up(codes),
            "random": model.quantizer.look_up(random),
            "none": model.no_code.expand(encoded.shape),
        }
        for name, vectors in inputs.items():
            done = 0
            for logits in model.own_logits(vectors, targets, batch):
                self._add_texts(name, logits.float(), targets[done : done + len(logits)])
                done += len(logits)
        self.code_counts += torch.bincount(codes.flatten().cpu(), minlength=config.codebook_size)
        known = targets[targets != IGNORED]
        self.token_counts += torch.bincount(known.cpu(), minlength=config.table_rows)
        self.tokens += known.numel()
        self.chunks += len(targets)

    def _add_texts(self, name: str, logits: torch.Tensor, targets: torch.Tensor) -> None:
        """Add what is predicted, (m, L, rows), of the texts of some chunks, (m, L)."""
        self.losses[name] += float(F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum"))
        right = logits.argmax(-1) == targets
        self.hits[name] += int(right.sum())
        if name == "right":
            self.exact += int((right | (targets == IGNORED)).all(-1).sum())

    def figures(self) -> dict[str, float | None]:
        """Return the figures."""
        config = self.model.config
        losses = {name: total / self.tokens for name, total in self.losses.items()}
        used = int((self.code_counts > 0).sum())
        measured = config.code_dropout > 0
        unigram = entropy(self.token_counts)
        known = self.token_counts[: config.compact_size]  # the ends of shorter chunks are predicted, and no tokens
        return {
            "chunks": self.chunks,
            "tokens": self.tokens,
            "codebook_size": config.codebook_size,
            "codes_used": used,
            "used": used / config.codebook_size,
            "perplexity": perplexity(self.code_counts),
            "ce_right": losses["right"],
            "ce_random": losses["random"],
            "ce_none": losses["none"] if measured else None,
            "code_gap": min(losses["none"], unigram) - losses["right"] if measured else None,
            "ce_unigram": unigram,
            "token_accuracy": self.hits["right"] / self.tokens,
            "unigram_accuracy": int(self.token_counts.max()) / self.tokens,
            "no_code_accuracy": self.hits["none"] / self.tokens if measured else None,
            "exact_chunks": self.exact / self.chunks,
            "unknown_share": float(known[-1] / known.sum()),
        }
