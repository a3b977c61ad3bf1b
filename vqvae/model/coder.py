"""From token ids to codes: what every stage-1 model has, whatever its codes are trained for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import transformers.initialization as init
from einops import rearrange, reduce
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput
from vector_quantize_pytorch import VectorQuantize

from vqvae.errors import InputError
from vqvae.model.chunks import Chunks, TokenRow, collate, cut_windows
from vqvae.model.config import ChunkVQVAEConfig
from vqvae.model.layers import CausalTransformer, evaluating
from vqvae.model.quantizer import ChunkQuantizer, Quantized
from vqvae.model.sampled_softmax import IGNORED, token_loss
from vqvae.model.vocabulary import CompactVocabulary


CPU_TOKENS, GPU_TOKENS = 2**14, 2**18  # of a block: they keep the device busy, and more of them gain nothing


@dataclass
class ChunkVQVAEOutput(ModelOutput):
    """Result of one forward pass over ``n`` chunks.

    Attributes:
        loss: Scalar; the sum of those below, commitment weighted by beta.
        reconstruction_loss: Scalar; mean cross-entropy a token of the chunk's own text, in nats. In a predictive model
            it moves the decoder that reads codes back, and no code.
        codebook_loss: Scalar.
        commitment_loss: Scalar, before its weight.
        next_loss: Scalar; cross-entropy of the next step's text, in nats a code. Of predictive models alone.
        solution_loss: Scalar; that of the solution, likewise.
        codes: (n, L / r); -1 where a vector passed unquantised.
        logits: (n, L, rows); None while training samples a large vocabulary, and of predictive models.
    """

    loss: torch.Tensor | None = None
    reconstruction_loss: torch.Tensor | None = None
    codebook_loss: torch.Tensor | None = None
    commitment_loss: torch.Tensor | None = None
    next_loss: torch.Tensor | None = None
    solution_loss: torch.Tensor | None = None
    codes: torch.Tensor | None = None
    logits: torch.Tensor | None = None


class ChunkCoder(PreTrainedModel):
    """Token table, encoder and quantiser: ids in, codes out.

    Args:
        config: Its shape.
        token_ids: Ids that the corpus uses, ascending, ``config.compact_size - 1`` of them; None when weights are
            loaded.

    Raises:
        InputError: If the configuration is of another kind of stage-1 model, its parts do not fit each other, or
            nothing has decided the length of its chunks.
    """

    config_class = ChunkVQVAEConfig
    base_model_prefix = "vqvae"
    main_input_name = "input_ids"
    accepts_loss_kwargs = False  # the trainer must divide by accumulation steps itself
    objectives: tuple[str, ...] = ()  # of the models of a class
    # Vectors of the quantiser, one by one: all of it would make codes, which are integers, fp32 as well.
    _keep_in_fp32_modules_strict = {
        "quantizer.centers",
        *(f"quantizer.vq._codebook.{name}" for name in ("embed", "embed_avg", "cluster_size")),
    }

    def __init__(self, config: ChunkVQVAEConfig, token_ids: Sequence[int] | None = None) -> None:
        config.check()
        if config.chunk_length is None:
            raise InputError("its configuration has no chunk length; give one, or train it: the longest step decides")
        if config.objective not in self.objectives:
            raise InputError(
                f"a stage-1 model with the objective '{config.objective}' is no {type(self).__name__}; open it with "
                "transformers' AutoModel"
            )
        super().__init__(config)
        width = config.hidden_size
        self.vocabulary = CompactVocabulary(config.compact_size)
        self.tokens = nn.Embedding(config.table_rows, width)
        self.encoder = CausalTransformer(width, config.num_layers, config.num_heads, config.longest_window)
        self.to_code = nn.Linear(width, config.code_dim)
        self.quantizer = ChunkQuantizer(config)
        self._add_decoder(config)
        self.post_init()
        if token_ids is not None:
            self.vocabulary.fill(token_ids)

    def _add_decoder(self, config: ChunkVQVAEConfig) -> None:
        """Make what reads codes in training."""
        raise NotImplementedError

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, VectorQuantize):
            init.zeros_(module.zero)  # not in the checkpoint: loading through the meta device leaves it unset

    @classmethod
    def collate(cls, rows: Sequence[TokenRow], config: ChunkVQVAEConfig) -> dict[str, torch.Tensor]:
        """Gather samples into the arguments of ``forward``; see ``vqvae.model.chunks.collate``."""
        return collate(rows, config)

    def chunks(self, input_ids: torch.Tensor, places: torch.Tensor) -> Chunks:
        """Encode the chunks of windows of full ids (w, T) that lie at ``places`` (n, 3); see ``Windows``."""
        rows, length = self.vocabulary.compact(input_ids), self.config.chunk_length
        window, start, size = places.T[:, :, None]
        offset = torch.arange(length, device=places.device)
        targets, hidden = rows, self.encoder(self.tokens(rows))
        if self.config.context == "trace" or rows.shape[1] < length:  # else each window is a chunk
            within = (start + offset).clamp(max=rows.shape[1] - 1)
            targets, hidden = rows[window, within], hidden[window, within]
        if self.config.end_row is not None:
            beyond = torch.where(offset == size, self.config.end_row, IGNORED)
            targets = torch.where(offset < size, targets, beyond)
            hidden = hidden.masked_fill((offset >= size)[:, :, None], -torch.inf)
        pooled = reduce(hidden, "n (k r) d -> n k d", "max", r=self.config.compression_rate)
        return Chunks(targets, self.to_code(pooled))

    def quantize(self, vectors: torch.Tensor, chosen: torch.Tensor) -> tuple[torch.Tensor, Quantized]:
        """Quantise those of encoded vectors (n, k, d) that are ``chosen`` (n,).

        Returns:
            The vectors with those quantised, and what the quantiser says of them, its codes as (n, k) with -1 for
            vectors that passed unquantised.
        """
        quantized = self.quantizer(rearrange(vectors[chosen], "n k d -> (n k) d"))
        vectors = vectors.float().index_put((chosen,), quantized.vectors.view(-1, *vectors.shape[1:]).float())
        codes = chosen.new_full(vectors.shape[:2], -1, dtype=torch.long)
        codes[chosen] = quantized.codes.view(-1, codes.shape[1])
        return vectors, quantized._replace(codes=codes)

    def cross_entropy(
        self, hidden: torch.Tensor, targets: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        """Return the mean cross-entropy of targets (.., T), by hidden states (.., T, width) and a head; a scalar.

        Training on a large vocabulary samples it. Where there is no target at all, it is 0.
        """
        sampled = self.training and self.config.samples_softmax
        return token_loss(hidden, targets, weight, bias, self.config.softmax_samples if sampled else 0)

    def encode(
        self,
        input_ids: torch.Tensor,
        lengths: torch.Tensor | None = None,
        steps: Sequence[Sequence[int]] | None = None,
    ) -> torch.Tensor:
        """Return the codes of traces.

        Args:
            input_ids: (n, T) full ids, padded on the right.
            lengths: (n,) tokens of each trace; None: all T.
            steps: Tokens of each step of each trace, where chunks end with steps; None: each trace is one step.

        Returns:
            (n, c) with as many codes as the trace with most of them has; -1 beyond a trace's own. With fixed chunks a
            tail shorter than a chunk has none.

        Raises:
            InputError: If steps are not those of the traces.
        """
        width, cutting = input_ids.shape[1], self.config.cutting
        sizes = np.full(len(input_ids), width) if lengths is None else lengths.cpu().numpy()
        flat = input_ids.cpu().numpy()[np.arange(width) < sizes[:, None]]
        rows = steps if steps is not None and cutting.align == "step" else sizes[:, None]
        stretches = [np.asarray(row, dtype=np.int64) for row in rows]
        if [own.sum() for own in stretches] != sizes.tolist():
            raise InputError("steps: give one list for each trace, of lengths that sum up to its tokens")
        found = self.encode_flat(flat, sizes, np.concatenate([*stretches, np.zeros(0, dtype=np.int64)]))
        counts = np.array([cutting.count_chunks(own).sum() * self.config.codes_per_chunk for own in stretches], int)
        codes = np.full((len(sizes), counts.max(initial=0)), -1)
        codes[np.arange(codes.shape[1]) < counts[:, None]] = found
        return torch.as_tensor(codes, dtype=input_ids.dtype, device=input_ids.device)

    def encode_flat(
        self,
        ids: np.ndarray,
        lengths: np.ndarray,
        stretches: np.ndarray | None = None,
        *,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Return the codes of traces that are laid end to end, so that nothing is copied on the way from a file.

        Windows of all traces make up blocks of ``batch_size``, so that short traces cost no padding. In fp32 the codes
        do not depend on ``batch_size`` or on which traces stand together.

        Args:
            ids: (tokens,) full ids of all traces.
            lengths: (n,) tokens of each trace.
            stretches: (s,) tokens of each stretch of the traces; see ``Cutting``. None: each trace is one.
            batch_size: Windows of one block: chunks with ``context="chunk"``; None: what suits the device.

        Returns:
            (codes,) of all traces in order; ``Cutting.ends`` tells where the text of each ends.

        Raises:
            InputError: If a stretch reaches from one trace into the next.
        """
        cut, flat = (
            cut_windows(lengths, lengths if stretches is None else stretches, self.config),
            self._on_device(ids),
        )
        found = []
        most = CPU_TOKENS if self.device.type == "cpu" else GPU_TOKENS
        size = batch_size or max(most // self.config.longest_window, 1)
        with evaluating(self):
            for block in cut.split(size):
                width = self.config.window if self.config.context == "chunk" else int(block.sizes.max())
                tokens = self._on_device(block.starts)[:, None] + torch.arange(width, device=self.device)
                windows = flat[tokens.clamp(max=len(flat) - 1)].long()  # beyond its end a window is not looked at
                vectors = self.chunks(windows, self._on_device(block.places)).vectors
                found.append(self.quantizer.nearest(vectors.flatten(0, 1)))
        return torch.cat(found).cpu().numpy() if found else np.zeros(0, dtype=np.int64)

    def _on_device(self, array: np.ndarray) -> torch.Tensor:
        return torch.tensor(array, device=self.device)

    def decode(
        self, codes: torch.Tensor, prompt_ids: torch.Tensor, prompt_lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the likeliest tokens that codes stand for, given prompts.

        Args:
            codes: (n, c) with c a multiple of L / r, no padding.
            prompt_ids: (n, P) full ids, padded on the right.
            prompt_lengths: (n,); None: all P.

        Returns:
            (n, c * r) full ids; ``UNKNOWN`` for a token that the training corpus never used, ``ENDED`` after the end
            of a chunk shorter than r.
        """
        return self.read_codes(codes, prompt_ids, prompt_lengths)[0]

    def own_logits(
        self, vectors: torch.Tensor, targets: torch.Tensor, batch: Mapping[str, torch.Tensor]
    ) -> Iterator[torch.Tensor]:
        """Yield logits (some, L, rows) of the own text of n chunks, in order, read from codebook vectors.

        Args:
            vectors: (n, L / r, d) in place of the chunks' codes.
            targets: (n, L) rows of their text; a decoder that writes token by token is given those before each.
            batch: Their samples; see ``collate``.
        """
        raise NotImplementedError

    def read_codes(
        self, codes: torch.Tensor, prompt_ids: torch.Tensor, prompt_lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what ``decode`` returns, and the probability (n, c * r) of each of these tokens."""
        raise NotImplementedError
