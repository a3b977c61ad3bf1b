"""The language model that will write codes as their reader in stage 1: codes learn to be what it can use.

As in stage 2 it sees P, <begin>, z_1 .. z_t, <end>, text; the text is the next step, or the solution. It has no such
tokens yet, so the delimiters are learned vectors (an end of its own where the solution is asked for at once), and a
linear projection takes code vectors to its embeddings. The code that a text goes on from is also added to each place
of the text, as in ``vqvae.model.context``: a model that knows how to go on from text goes on without codes, and takes
very long to look for them. Prompt and codes of a sample are read once; the texts of all its codes then go on from
copies of the keys and values, each with a mask that hides the codes after its own.
"""

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from transformers import DynamicCache

from mixlm.errors import InputError
from mixlm.model.abilities import bare, context_length
from mixlm.model.forward import logits_at
from mixlm.model.loading import open_model
from mixlm.model.lora import add_adapter
from mixlm.model.thoughts.passes import cache_argument, new_cache, reach
from vqvae import Reader
from vqvae.model.chunks import at_once, last_tokens
from vqvae.model.context import place_in_sample


if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

DELIMITERS = 2  # of them a text sees
BEGIN, END, END_ASKED = 0, 1, 2  # learned vectors; the last is the end that the solution follows
TOLERANCE = 1e-3  # of logits, between the computation here and the plain one


class Read(NamedTuple):
    """What was read of ``b`` samples: C places each, of the prompt, of <begin> and of the codes.

    Attributes:
        cache: Keys and values.
        seen: (b, C) whether a place holds anything.
        codes: (C,) number of the code at a place, from 0; below 0 before the first.
        given: (b, c, width) the codes as the model was given them.
        lengths: (b,) tokens of each prompt.
    """

    cache: DynamicCache
    seen: torch.Tensor
    codes: torch.Tensor
    given: torch.Tensor
    lengths: torch.Tensor


class Continuation(NamedTuple):
    """``m`` texts of one kind.

    Attributes:
        sample: (m,) whose.
        visible: (m,) how many codes it sees.
        ids: (m, T), padded on the right.
        lengths: (m,).
    """

    sample: torch.Tensor
    visible: torch.Tensor
    ids: torch.Tensor
    lengths: torch.Tensor

    def only(self, chosen: torch.Tensor) -> "Continuation":
        """Return those that are ``chosen`` (m,), no wider than the longest."""
        sample, visible, ids, lengths = (field[chosen] for field in self)
        return Continuation(sample, visible, ids[:, : max(lengths.tolist(), default=0)], lengths)


class LanguageModelReader(Reader):
    """The reader; see the module's docstring.

    Args:
        lm: Causal LM; frozen.
        code_dim: Width of code vectors.
        rank: Of a LoRA adapter that learns with the codes; 0: none does.
        seed: Of what is learned.

    Attributes:
        longest_text: Tokens of a text that each prompt leaves room for, whatever those beside it have; 0: its batch's.
    """

    def __init__(self, lm: "PreTrainedModel", code_dim: int, rank: int = 0, seed: int = 0) -> None:
        super().__init__()
        table = lm.get_input_embeddings().weight.detach()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.lm = add_adapter(lm, rank, (), "--reader-lora-rank") if rank else lm.requires_grad_(False)
            self.from_code = nn.Linear(code_dim, table.shape[1])
            self.delimiters = nn.Parameter(table.mean(0) + table.std() * torch.randn(3, table.shape[1]))
            nn.init.normal_(self.from_code.weight, std=float(table.std()) * code_dim**-0.5)
        self.from_code.bias.data.copy_(table.mean(0))
        self.longest_text = 0
        self.eval()

    def forward(
        self, batch: Mapping[str, torch.Tensor], vectors: torch.Tensor, counts: torch.Tensor, chosen: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the cross-entropy of next steps and of solutions; see ``Reader``."""
        sample = batch["sample"]
        visible = place_in_sample(sample, counts) + 1
        following = Continuation(sample, visible, batch["next_ids"], batch["next_lengths"])
        solutions = Continuation(sample, visible, batch["solution_ids"][sample], batch["solution_lengths"][sample])
        context = self.read(self._cut(batch, counts), vectors, counts)
        pairs = ((following, END), (solutions, END_ASKED))
        return tuple(self._nats_a_code(context, texts.only(chosen), end) for texts, end in pairs)

    def following(self, batch: Mapping[str, torch.Tensor], vectors: torch.Tensor, most: int) -> Iterator[torch.Tensor]:
        """Yield logits of the next step and of the solution after each of k alternatives; see ``Reader``."""
        size, count = vectors.shape[:2]
        every = torch.arange(size, device=vectors.device)
        counts = torch.full_like(every, count)
        ids, lengths = self._cut(batch, counts[:1])
        context = self.read((ids.expand(size, -1), lengths.expand(size)), vectors, counts)
        following = batch["next_ids"][count - 1, : batch["next_lengths"][count - 1]]
        solution = batch["solution_ids"][0, : batch["solution_lengths"][0]]
        for text, end in ((following[:most], END), (solution[:most], END_ASKED)):
            if len(text):
                texts = Continuation(every, counts, text.expand(size, -1), torch.full_like(every, len(text)))
                yield self.logits(context, texts, end).unflatten(0, (size, len(text)))

    def _cut(self, batch: Mapping[str, torch.Tensor], counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return prompts and their lengths; of those that leave no room for their codes and text the end is kept."""
        ids, lengths = batch["prompt_ids"], batch["prompt_lengths"]
        context = context_length(bare(self.lm).config)
        if context is None:
            return ids, lengths
        texts = max(self.longest_text, batch["next_ids"].shape[1], batch["solution_ids"].shape[1])
        return last_tokens(ids, lengths, (context - texts - DELIMITERS - counts).clamp(min=1))

    def read(self, prompts: tuple[torch.Tensor, torch.Tensor], vectors: torch.Tensor, counts: torch.Tensor) -> Read:
        """Read prompts (b, P), padded on the right, of lengths (b,), and of code vectors (b, c, d) ``counts`` (b,)."""
        ids, lengths = prompts
        begin = self.delimiters[BEGIN].expand(len(ids), 1, -1)
        given = self.from_code(vectors)
        embeds = torch.cat([self._embed(ids), begin, given], 1)
        codes = torch.arange(embeds.shape[1], device=ids.device) - ids.shape[1] - 1
        inside = torch.arange(embeds.shape[1], device=ids.device) < lengths[:, None]
        seen = inside | (codes >= -1) & (codes < counts[:, None])
        positions = torch.where(codes >= -1, lengths[:, None] + 1 + codes, torch.arange(len(codes), device=ids.device))
        positions = positions.where(seen, 0)  # beyond a sample's codes there may be no position left
        cache = new_cache(self.lm)
        self._run(embeds, seen, positions, cache, torch.zeros_like(seen))
        return Read(cache, seen, codes, given, lengths)

    def logits(self, context: Read, texts: Continuation, end: int) -> torch.Tensor:
        """Return what each token of texts is predicted by: logits (tokens, vocabulary), text after text."""
        code = context.given[texts.sample, texts.visible - 1]  # at hand, not to be searched for
        ends = self.delimiters[end].expand(len(texts.ids), 1, -1)
        embeds = torch.cat([ends, self._embed(texts.ids[:, :-1])], 1) + code[:, None]
        offset = torch.arange(embeds.shape[1], device=embeds.device)
        seen = context.seen[texts.sample] & (context.codes < texts.visible[:, None])
        seen = F.pad(seen, (0, len(offset)), value=True)
        positions = (context.lengths[texts.sample] + 1 + texts.visible)[:, None] + offset
        positions = positions.where(offset < texts.lengths[:, None], 0)  # beyond a text there may be no position left
        cache = _gathered(context.cache, texts.sample)
        return self._run(embeds, seen, positions, cache, offset < texts.lengths[:, None])

    def _run(
        self,
        embeds: torch.Tensor,
        seen: torch.Tensor,
        positions: torch.Tensor,
        cache: DynamicCache,
        places: torch.Tensor,
    ) -> torch.Tensor:
        with logits_at(bare(self.lm), places):
            return self.lm(
                inputs_embeds=embeds,
                attention_mask=seen.long(),
                position_ids=positions,
                use_cache=True,
                **cache_argument(cache),
            ).logits[0]

    def _embed(self, ids: torch.Tensor) -> torch.Tensor:
        return bare(self.lm).get_input_embeddings()(ids)

    def _nats_a_code(self, context: Read, texts: Continuation, end: int) -> torch.Tensor:
        some, nats = texts.only(texts.lengths > 0), 0
        if not len(some.ids):
            return context.cache.layers[0].keys.sum() * 0
        places = torch.arange(some.ids.shape[1], device=some.ids.device)
        most = self._at_once(context, some)
        for start in range(0, len(some.ids), most):
            part = Continuation(*(field[start : start + most] for field in some))
            logits, targets = self.logits(context, part, end), part.ids[places < part.lengths[:, None]]
            nats = nats + F.cross_entropy(logits.float(), targets, reduction="sum")
        return nats / len(texts.ids)

    def _at_once(self, context: Read, texts: Continuation) -> int:
        """Return how many texts are written at once: all where gradients are kept, else as many as fit."""
        if torch.is_grad_enabled():
            return len(texts.ids)
        logits = texts.ids.shape[1] * bare(self.lm).get_input_embeddings().weight.shape[0]
        copied = sum(2 * layer.keys[0].numel() for layer in context.cache.layers)
        return at_once(max(logits, copied))


def _gathered(cache: DynamicCache, sample: torch.Tensor) -> DynamicCache:
    """Return a cache with a copy of a sample's keys and values for each text; gradients flow back to it."""
    copy = DynamicCache()
    for number, layer in enumerate(cache.layers):
        copy.update(layer.keys[sample], layer.values[sample], number)
    return copy


def open_reader(
    model: str,
    tokenizer: "PreTrainedTokenizerFast",
    code_dim: int,
    rank: int = 0,
    seed: int = 0,
    longest: tuple[int, int, int] = (0, 0, 0),
) -> LanguageModelReader:
    """Open ``model`` as the reader of codes.

    Args:
        model: Folder, Hub id or ``.gguf`` file.
        tokenizer: Its tokenizer.
        code_dim: Width of code vectors.
        rank: Of a LoRA adapter; 0: the model is frozen.
        seed: Of what is learned.
        longest: Most codes of a trace, tokens of a text that follows one, and tokens of a prompt.

    Raises:
        InputError: If such a trace is longer than its context, or it cannot read codes as described.
    """
    lm = open_model(model, tokenizer, seed)
    context, taken = context_length(lm.config), sum(longest[:2]) + DELIMITERS
    if context is not None and taken >= context:
        raise InputError(
            f"{model}: has room for {context} tokens, and codes of a trace with a text take {taken}; "
            "leave out such rows, or use --objective predictive"
        )
    reader = LanguageModelReader(lm, code_dim, rank, seed)
    reader.longest_text = longest[1]
    if not reads_rightly(reader, min(taken + longest[2], context or sys.maxsize)):
        raise InputError(
            f"{model}: models of type '{lm.config.model_type}' cannot read codes from a cache of plain attention; "
            "use another --model, or --objective predictive"
        )
    return reader


@torch.no_grad()
def reads_rightly(reader: LanguageModelReader, longest: int) -> bool:
    """Tell, by a small probe, whether texts of up to ``longest`` tokens with all before them are read as plainly."""
    from transformers.cache_utils import DynamicLayer

    device = reader.delimiters.device
    try:
        if any(type(layer) is not DynamicLayer for layer in new_cache(reader.lm).layers):
            return False  # others forget what is far back, or cannot be looked at place by place
        if reach(bare(reader.lm)).gaps < longest:
            return False  # a window that counts padding, or angles of the longest text
        lengths, counts = torch.tensor([3, 1], device=device), torch.tensor([2, 1], device=device)
        ids = torch.arange(6, device=device).view(2, 3)
        vectors = torch.eye(2, reader.from_code.in_features, device=device).expand(2, -1, -1)
        texts = Continuation(torch.tensor([0, 1], device=device), torch.ones(2, device=device).long(), ids, lengths)
        found = reader.logits(reader.read((ids, lengths), vectors, counts), texts, END)
        own = [ids[row, :length] for row, length in enumerate(lengths.tolist())]
        plain = torch.cat([plain_logits(reader, text, vectors[0, :1], text) for text in own])
    except (AttributeError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return False
    return torch.allclose(found, plain, rtol=TOLERANCE, atol=TOLERANCE * float(plain.abs().max()))


def plain_logits(
    reader: LanguageModelReader, prompt: torch.Tensor, vectors: torch.Tensor, text: torch.Tensor, end: int = END
) -> torch.Tensor:
    """Return the definition: logits (T, vocabulary) of one ``text`` (T,), by one pass over all that it sees.

    Args:
        reader: Has the model.
        prompt: (P,) ids.
        vectors: (t, d) of the codes that it sees.
        text: (T,) ids.
        end: Which end stands before it.
    """
    embed, (begin, closed) = bare(reader.lm).get_input_embeddings(), reader.delimiters[[BEGIN, end]]
    codes = reader.from_code(vectors)
    going_on = torch.cat([closed[None], embed(text[:-1])]) + codes[-1]
    parts = [embed(prompt), begin[None], codes, going_on]
    return reader.lm(inputs_embeds=torch.cat(parts)[None], use_cache=False).logits[0, -len(text) :]
