"""A stage-1 model whose codes are trained to predict what comes next, not to tell their own text.

A code that must reconstruct its chunk spends itself on wording, which nothing later depends on and which a language
model that has to write the code cannot know. Here a code is read by a decoder that sees the prompt's tokens and the
codes up to it, and predicts

- the text of the next step, token by token (with fixed chunks: the next L tokens of the trace);
- the solution.

It never sees or predicts the code's own step. What helps it is what the rest of the reasoning depends on, so that is
what the code comes to hold. The encoder reads the step alone, or with ``context="trace"`` the trace up to it, but
never the prompt: one that does can work the answer out by itself and put it into codes of early steps, which no
language model could write at that place.

A second decoder of the same form learns to read each code back as its own text, for people and for diagnosis. Its
gradients stop at the codes and at the token table, so codes learn nothing from it; the norm of gradients, which is
bounded, is of all parts together.

With the objective "language-model" another reader, given in training, predicts in place of the model's own; see
``vqvae.model.reader``. The own one then learns beside it as the second decoder does.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from einops import rearrange, repeat
from torch import nn
from torch.nn import functional as F

from vqvae.model.chunks import TokenRow
from vqvae.model.coder import ChunkCoder, ChunkVQVAEOutput
from vqvae.model.config import ChunkVQVAEConfig
from vqvae.model.context import Context, ContextDecoder, Texts, by_sample, place_in_sample, some_of_each
from vqvae.model.continuations import NEXT, SOLUTION, collate_traces, continuations
from vqvae.model.reader import Reader
from vqvae.model.sampled_softmax import IGNORED


MOST_PREDICTED = 16  # codes of a sample that one training step predicts from; of more it draws these


class PredictiveVQVAE(ChunkCoder):
    """The model; see the module's docstring."""

    objectives = ("predictive", "language-model")

    def _add_decoder(self, config: ChunkVQVAEConfig) -> None:
        self.reader = ContextDecoder(config, kinds=2)
        self.read_back = ContextDecoder(config, kinds=1)
        self.no_code = nn.Parameter(torch.zeros(config.code_dim))
        self.head_bias = nn.Parameter(torch.zeros(config.table_rows))
        self.read_back_bias = nn.Parameter(torch.zeros(config.table_rows))

    @classmethod
    def collate(cls, rows: Sequence[TokenRow], config: ChunkVQVAEConfig) -> dict[str, torch.Tensor]:
        """Gather samples into the arguments of ``forward``; see ``collate_traces``."""
        return collate_traces(rows, config)

    def forward(self, reader: Reader | None = None, **batch: torch.Tensor) -> ChunkVQVAEOutput:
        """Encode the ``n`` chunks of the traces of ``b`` samples, and predict what follows each.

        Args:
            reader: Predicts in place of the own reader, which then learns on stopped gradients.
            batch: What ``collate`` returns.

        Returns:
            Losses and codes.
        """
        sample = batch["sample"]
        own, encoded = self.chunks(batch["input_ids"], batch["places"])
        vectors, quantized = self.quantize(encoded, torch.ones_like(sample, dtype=torch.bool))
        rows, counts = by_sample(vectors[:, 0], sample, len(batch["prompt_ids"]))
        if self.training and self.config.code_dropout:
            drop = torch.rand(len(rows), device=rows.device) < self.config.code_dropout
            rows = torch.where(drop[:, None, None], self.no_code, rows)
        chosen = some_of_each(sample, counts, MOST_PREDICTED if self.training else len(sample))
        told = self._predict(batch, rows if reader is None else rows.detach(), counts, chosen)
        next_loss, solution_loss = told if reader is None else reader(batch, rows, counts, chosen)
        beside = 0 if reader is None else sum(told)
        back = self._read(self.read_back, batch, rows.detach(), counts)
        own = Texts(sample, place_in_sample(sample, counts) + 1, own).only(chosen)
        reconstruction = self.cross_entropy(self._states_back(back, own), own.targets, *self._head_back())
        codebook = quantized.codebook_loss + self.config.commitment_weight * quantized.commitment_loss
        return ChunkVQVAEOutput(
            loss=next_loss + solution_loss + reconstruction + codebook + beside,
            reconstruction_loss=reconstruction.detach(),
            codebook_loss=quantized.codebook_loss.detach(),
            commitment_loss=quantized.commitment_loss.detach(),
            next_loss=next_loss.detach(),
            solution_loss=solution_loss.detach(),
            codes=quantized.codes,
        )

    def _predict(
        self, batch: Mapping[str, torch.Tensor], rows: torch.Tensor, counts: torch.Tensor, chosen: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what next steps and solutions cost the own reader, in nats a chosen code."""
        context = self.read(batch, rows, counts)
        following, solutions = (texts.only(chosen) for texts in continuations(batch, self.vocabulary, self.config))
        return self._nats_a_code(context, following, NEXT), self._nats_a_code(context, solutions, SOLUTION)

    def read(self, batch: Mapping[str, torch.Tensor], rows: torch.Tensor, counts: torch.Tensor) -> Context:
        """Let the reader read prompts, and codebook vectors (b, c, d) of which ``counts`` (b,) count."""
        return self._read(self.reader, batch, rows, counts)

    def _read(
        self, decoder: ContextDecoder, batch: Mapping[str, torch.Tensor], rows: torch.Tensor, counts: torch.Tensor
    ) -> Context:
        prompts = self._embed(self.vocabulary.compact(batch["prompt_ids"]))
        prompts = prompts.detach() if decoder is self.read_back else prompts
        return decoder.read(prompts, batch["prompt_lengths"], rows, counts)

    def _nats_a_code(self, context: Context, texts: Texts, kind: int) -> torch.Tensor:
        """Return the cross-entropy of texts that go on from codes, as the mean of their sums; a scalar."""
        nats = 0
        for some in texts.only(texts.known).split(context, self.config.table_rows):
            states = self.reader.write(context, some, self._embedded(some), kind)
            mean = self.cross_entropy(states, some.targets, *self._head())
            nats = nats + mean * (some.targets != IGNORED).sum()
        return nats / len(texts.known)

    def _embedded(self, texts: Texts) -> torch.Tensor:
        return self._embed(texts.targets.clamp(min=0))

    def _embed(self, rows: torch.Tensor) -> torch.Tensor:
        """Return what decoders are given for rows of the token table; see ``_table``."""
        return F.embedding(rows, self._table())

    def _head(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self._table(), self.head_bias

    def _table(self) -> torch.Tensor:
        """Return the token table as the own reader has it: where another one reads, it moves no token."""
        weight = self.tokens.weight
        return weight.detach() if self.config.objective == "language-model" else weight

    def following(self, batch: Mapping[str, torch.Tensor], vectors: torch.Tensor, most: int) -> Iterator[torch.Tensor]:
        """Yield what the own reader predicts after each of k alternatives; see ``Reader.following``."""
        size, count = vectors.shape[:2]
        every = torch.arange(size, device=vectors.device)
        counts = torch.full_like(every, count)
        many = {name: batch[name].expand(size, *batch[name].shape[1:]) for name in ("prompt_ids", "prompt_lengths")}
        context = self.read(many, vectors, counts)
        for texts, kind in zip(continuations(batch, self.vocabulary, self.config), (NEXT, SOLUTION), strict=True):
            text = texts.targets[count - 1, :most]
            text = text[text != IGNORED]
            if len(text):
                asked = Texts(every, counts, text.expand(size, -1))
                yield self.next_logits(context, asked, kind)

    def next_logits(self, context: Context, texts: Texts, kind: int) -> torch.Tensor:
        """Return what the reader predicts of texts (m, T), given the tokens before each: logits (m, T, rows)."""
        states = self.reader.write(context, texts, self._embedded(texts), kind)
        return F.linear(states, *self._head())

    def _states_back(self, context: Context, texts: Texts) -> torch.Tensor:
        """Return the states from which codes' own texts are read back; nothing of them reaches codes or tokens."""
        return self.read_back.write(context, texts, self._embedded(texts).detach(), 0)

    def _head_back(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.tokens.weight.detach(), self.read_back_bias

    def own_logits(
        self, vectors: torch.Tensor, targets: torch.Tensor, batch: Mapping[str, torch.Tensor]
    ) -> Iterator[torch.Tensor]:
        """Yield what vectors (n, 1, d) are read back as, given the tokens of ``targets`` (n, L) before each."""
        rows, counts = by_sample(vectors[:, 0], batch["sample"], len(batch["prompt_ids"]))
        context = self._read(self.read_back, batch, rows, counts)
        texts = Texts(batch["sample"], place_in_sample(batch["sample"], counts) + 1, targets)
        for some in texts.split(context, self.config.table_rows):
            yield F.linear(self._states_back(context, some), *self._head_back())

    def nats(self, vectors: torch.Tensor, batch: Mapping[str, torch.Tensor], reader: Reader | None = None) -> float:
        """Return the mean loss a code of predicting what follows from vectors (n, d) in place of codes, in nats.

        Args:
            vectors: In place of the batch's codes.
            batch: What ``collate`` returns.
            reader: Predicts in place of the own reader.
        """
        rows, counts = by_sample(vectors, batch["sample"], len(batch["prompt_ids"]))
        every = torch.ones_like(batch["sample"], dtype=torch.bool)
        return float(sum((self._predict if reader is None else reader)(batch, rows, counts, every)))

    @torch.no_grad()
    def read_codes(
        self, codes: torch.Tensor, prompt_ids: torch.Tensor, prompt_lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the text of each code, written greedily token by token, and its probabilities; see ``decode``."""
        samples, count = codes.shape
        if prompt_lengths is None:
            prompt_lengths = prompt_ids.new_full((samples,), prompt_ids.shape[1])
        batch, counts = {"prompt_ids": prompt_ids, "prompt_lengths": prompt_lengths}, codes.new_full((samples,), count)
        context = self._read(self.read_back, batch, self.quantizer.look_up(codes), counts)
        sample = repeat(torch.arange(samples, device=codes.device), "n -> (n c)", c=count)
        visible = repeat(torch.arange(count, device=codes.device) + 1, "c -> (n c)", n=samples)
        texts = Texts(sample, visible, codes.new_zeros(len(sample), self.config.chunk_length))
        parts = [self._write_back(context, some) for some in texts.split(context, self.config.table_rows, 1)]
        rows, best = (torch.cat(found) for found in zip(*parts, strict=True))
        return tuple(rearrange(found, "(n c) l -> n (c l)", n=samples) for found in (self.vocabulary.full(rows), best))

    def _write_back(self, context: Context, texts: Texts) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the likeliest rows (m, T) of texts, each given those before it, and their probabilities."""
        count, most = texts.targets.shape
        rows, best = texts.targets[:, :0], self.tokens.weight.new_zeros(count, 0)
        for _ in range(most):
            so_far = texts._replace(targets=F.pad(rows, (0, 1)))
            logits = F.linear(self._states_back(context, so_far)[:, -1], *self._head_back())
            chance, row = logits.float().softmax(-1).max(-1)
            if self.config.end_row is not None and rows.shape[1]:
                row = torch.where(rows[:, -1] == self.config.end_row, self.config.end_row, row)
            rows, best = torch.cat([rows, row[:, None]], 1), torch.cat([best, chance[:, None]], 1)
        return rows, best
