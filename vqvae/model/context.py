"""A Transformer that reads a prompt and the codes so far, and predicts texts that go on from any of them.

Prompt and codes of a sample are read once; each text then attends what a code may see: the prompt, the codes up to
that one, and its own tokens. So all steps of a batch are predicted in one pass, and no text sees another. The last of
its codes is also added to each place of a text: it says the most of what follows, and a reader that has to search for
it takes much longer to read codes at all.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import nn

from vqvae.model.chunks import at_once
from vqvae.model.config import SOLUTION_TOKENS, ChunkVQVAEConfig
from vqvae.model.layers import Block, Memory
from vqvae.model.sampled_softmax import IGNORED


PLACES = 256  # codes of a sample that are told apart by their place; later ones share the last


class Context(NamedTuple):
    """What was read of ``b`` samples: C places each, of the prompt, then of the codes.

    Attributes:
        memory: Keys and values of each block.
        seen: (b, C) whether a place holds anything.
        first_code: Place of the first code.
        states: (b, C, width) after the last block; the one before a code's place is where it is predicted.
        codes: (b, c, width) the codes as they were given.
    """

    memory: list[Memory]
    seen: torch.Tensor
    first_code: int
    states: torch.Tensor
    codes: torch.Tensor


class Texts(NamedTuple):
    """``m`` texts that are predicted, each from a sample's prompt and its codes up to one.

    Attributes:
        sample: (m,) whose.
        visible: (m,) how many codes it sees, at least 1.
        targets: (m, T) rows of the token table, ``IGNORED`` after the end.
    """

    sample: torch.Tensor
    visible: torch.Tensor
    targets: torch.Tensor

    def only(self, chosen: torch.Tensor) -> "Texts":
        """Return those that are ``chosen`` (m,), no wider than the longest of them, and never of no width."""
        sample, visible, targets = (field[chosen] for field in self)
        some = (targets != IGNORED).any(0).nonzero()
        return Texts(sample, visible, targets[:, : int(some[-1]) + 1 if len(some) else 1])

    def split(self, context: Context, rows: int, places: int | None = None) -> Iterator["Texts"]:
        """Yield them in order, all at once where gradients are kept, else as many as fit: each copies its context.

        Args:
            context: What they go on from.
            rows: Of the head that predicts them.
            places: How many of each it predicts at once; None: all.
        """
        (_, before), width = context.seen.shape, context.states.shape[-1]
        count, places = len(self.sample), self.targets.shape[1] if places is None else places
        copied = 4 * before * width  # keys and values, and both once more beside those of the text
        most = count if torch.is_grad_enabled() else at_once(max(places * rows, copied))
        for start in range(0, max(count, 1), max(most, 1)):
            yield Texts(*(field[start : start + most] for field in self))

    @property
    def known(self) -> torch.Tensor:
        """Which of them (m,) have any target."""
        return (self.targets != IGNORED).any(-1)


class ContextDecoder(nn.Module):
    """The Transformer; see the module's docstring.

    Args:
        config: Its shape.
        kinds: Kinds of text that it predicts, which differ by what they begin with.
    """

    def __init__(self, config: ChunkVQVAEConfig, kinds: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.from_code = nn.Linear(config.code_dim, width)
        self.prompt_positions = nn.Embedding(config.prompt_length, width)  # counted from the prompt's end
        self.places = nn.Embedding(PLACES, width)
        self.offsets = nn.Embedding(max(config.chunk_length + 1, SOLUTION_TOKENS), width)
        self.starts = nn.Embedding(kinds, width)
        self.blocks = nn.ModuleList(Block(width, config.num_heads) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(width)

    def read(
        self, prompts: torch.Tensor, lengths: torch.Tensor, vectors: torch.Tensor, counts: torch.Tensor
    ) -> Context:
        """Read ``b`` samples.

        Args:
            prompts: (b, P, width) embedded prompts, padded on the right.
            lengths: (b,) tokens of each prompt.
            vectors: (b, c, d) of their codes, padded on the right.
            counts: (b,) codes of each sample.
        """
        prompts, lengths = self._to_the_right(prompts, lengths)
        places = torch.arange(vectors.shape[1], device=vectors.device)
        given = self.from_code(vectors.to(prompts.dtype))
        codes = given + self.places(places.clamp(max=PLACES - 1))
        before = torch.arange(prompts.shape[1] - 1, -1, -1, device=prompts.device)
        prompts = prompts + self.prompt_positions(before)
        seen = torch.cat([before < lengths[:, None], places < counts[:, None]], 1)
        x = torch.cat([prompts, codes], 1)
        own = torch.eye(x.shape[1], dtype=torch.bool, device=x.device)  # padding sees itself, or it would see nothing
        mask = (seen[:, None] & torch.ones_like(own).tril() | own)[:, None]
        memory = []
        for block in self.blocks:
            x, of_block = block.attend(x, mask=mask)
            memory.append(of_block)
        return Context(memory, seen, prompts.shape[1], self.norm(x), given)

    def _to_the_right(self, prompts: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Move the padding of prompts to the left, so that their ends stand together; the longest keep their end."""
        most = min(prompts.shape[1], self.prompt_positions.num_embeddings)
        places = lengths[:, None] - most + torch.arange(most, device=lengths.device)
        rows = torch.arange(len(prompts), device=lengths.device)[:, None]
        return prompts[rows, places.clamp(min=0)], lengths.clamp(max=most)

    def write(self, context: Context, texts: Texts, embedded: torch.Tensor, kind: int) -> torch.Tensor:
        """Return the states (m, T, width) from which the targets of texts are predicted.

        Args:
            context: What the texts go on from.
            texts: Which samples and codes each sees.
            embedded: (m, T, width) the targets; each place is given the one before it.
            kind: Of the texts.
        """
        shifted = torch.cat([self.starts.weight[kind].expand(len(embedded), 1, -1), embedded[:, :-1]], 1)
        length = shifted.shape[1]
        last = texts.visible - 1
        code = context.codes[texts.sample, last]  # at hand, not to be searched for
        x = shifted + self.offsets.weight[:length] + (self.places(last.clamp(max=PLACES - 1)) + code)[:, None]
        number = torch.arange(context.seen.shape[1], device=x.device) - context.first_code
        seen = context.seen[texts.sample] & (number < texts.visible[:, None])
        causal = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        mask = torch.cat([seen[:, None].expand(-1, length, -1), causal.expand(len(x), -1, -1)], 2)[:, None]
        for block, (keys, values) in zip(self.blocks, context.memory, strict=True):
            x, _ = block.attend(x, (keys[texts.sample], values[texts.sample]), mask)
        return self.norm(x)


def by_sample(vectors: torch.Tensor, sample: torch.Tensor, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Lay vectors (n, d), each of a sample, in order, side by side: (b, c, d), padded by 0, and their counts (b,)."""
    counts = torch.bincount(sample, minlength=samples)
    rows = vectors.new_zeros(samples, int(counts.max()), vectors.shape[-1])
    return rows.index_put((sample, place_in_sample(sample, counts)), vectors), counts


def some_of_each(sample: torch.Tensor, counts: torch.Tensor, most: int) -> torch.Tensor:
    """Return which of the codes (n,) are among ``most`` of their sample, drawn at random where it has more.

    Args:
        sample: (n,) whose each is, ascending.
        counts: (b,) codes of each sample.
        most: How many.
    """
    chosen = torch.ones_like(sample, dtype=torch.bool)
    if int(counts.max()) > most:
        drawn = sample.cpu() + torch.rand(len(sample), dtype=torch.float64)  # of which not every device has a type
        chosen[drawn.argsort().to(sample.device)] = place_in_sample(sample, counts) < most
    return chosen


def place_in_sample(sample: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Return the place (n,) of each code among those of its sample, from 0; ``sample`` (n,) ascends."""
    return torch.arange(len(sample), device=sample.device) - (counts.cumsum(0) - counts)[sample]
