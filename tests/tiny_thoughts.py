"""Continuous thoughts by definition, one row at a time and without a cache, on tiny random models."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from mixlm.model.thoughts.passes import Reach


VOCABULARY, WIDTH = 40, 32
FAMILIES = ["llama", "gpt2"]
WITHOUT_CACHE = "llama, recomputed"
EOS = 0  # padding too
Row = tuple[list[int], list[bool]]  # ids, and which places are thoughts


class Batch(NamedTuple):
    """Rows padded to one length, in the order of ``thought_forward``'s arguments."""

    ids: torch.Tensor
    mask: torch.Tensor
    thoughts: torch.Tensor
    labels: torch.Tensor

    @property
    def prompts(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What generation takes."""
        return self.ids, self.mask, self.thoughts


def random_lm(family: str, seed: int = 0, tied: bool | None = None, **fields: Any):
    """A random causal LM in fp32, 2 layers, 32 wide; weights are large, so that tokens and places matter."""
    torch.manual_seed(seed)
    common = {"vocab_size": VOCABULARY, "initializer_range": 0.25, "bos_token_id": EOS, "eos_token_id": EOS}
    if family == "gpt2":
        shape = {"n_embd": WIDTH, "n_layer": 2, "n_head": 2, "n_positions": 128}
        config = GPT2Config(**{**common, **shape, "tie_word_embeddings": tied is not False, **fields})
    else:
        shape = {"hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
        config = LlamaConfig(**{**common, **shape, "tie_word_embeddings": bool(tied), **fields})
    return AutoModelForCausalLM.from_config(config).eval()


def family_of(name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the family that a test is to take; for ``WITHOUT_CACHE`` a Llama whose passes nobody trusts."""
    if name == WITHOUT_CACHE:
        for module in ("mixlm.model.thoughts.thinking", "mixlm.generation.prefill"):
            monkeypatch.setattr(f"{module}.reach", lambda model: Reach(0, 0))
    return "llama" if name == WITHOUT_CACHE else name


def make_row(prompt: int, pattern: str, seed: int = 0) -> Row:
    """A row of ``prompt`` random tokens, then one place for each letter: T is a thought, anything else a token."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(VOCABULARY, (prompt + len(pattern),), generator=generator).tolist()
    return ids, [*[False] * prompt, *[letter == "T" for letter in pattern]]


def make_batch(rows: Sequence[Row], side: str = "left", seed: int = 0, garbage: bool = True) -> Batch:
    """Pad rows; garbage at padding (or else EOS), other ids and marks at places that nobody may read.

    Labels: what follows the last thought of a row, or in a row without any its last two tokens.
    """
    length, generator = max(len(ids) for ids, _ in rows), torch.Generator().manual_seed(seed)
    shape = (len(rows), length)
    ids = torch.randint(VOCABULARY, shape, generator=generator) if garbage else torch.full(shape, EOS)
    mask, labels = torch.zeros(shape, dtype=torch.long), torch.full(shape, -100)
    thoughts = torch.full(shape, garbage)
    for row, (tokens, marks) in enumerate(rows):
        start = length - len(tokens) if side == "left" else 0
        places = slice(start, start + len(tokens))
        mask[row, places], thoughts[row, places] = 1, torch.tensor(marks)
        real = torch.tensor(tokens)
        ids[row, places] = torch.where(torch.tensor(marks), ids[row, places], real) if garbage else real
        after = len(tokens) - marks[::-1].index(True) if any(marks) else max(len(tokens) - 2, 1)
        labels[row, start + after : start + len(tokens)] = real[after:]
    return Batch(ids, mask, thoughts, labels)


def embed_row(model: Any, row: Row) -> torch.Tensor:
    """The input embeddings of a row, (length, width): a thought is the last hidden state of all before it."""
    embeds = model.get_input_embeddings().weight[:0]
    for token, thought in zip(*row, strict=True):
        if thought:
            new = model.base_model(inputs_embeds=embeds[None], use_cache=False).last_hidden_state[0, -1]
        else:
            new = model.get_input_embeddings()(torch.tensor(token))
        embeds = torch.cat([embeds, new[None]])
    return embeds


def plain_logits(model: Any, row: Row) -> torch.Tensor:
    """The logits of a row, (length, vocabulary), with gradients through everything."""
    return model(inputs_embeds=embed_row(model, row)[None], use_cache=False).logits[0]


def plain_loss(model: Any, rows: Sequence[Row], batch: Batch) -> torch.Tensor:
    """Minus the mean log-probability of the labels of a batch; of none at all: 0."""
    losses = []
    for row, mask, labels in zip(rows, batch.mask, batch.labels, strict=True):
        chances = plain_logits(model, row).log_softmax(-1)
        learned = labels[mask.bool()].tolist()
        losses += [-chances[i - 1, learned[i]] for i in range(1, len(learned)) if learned[i] != -100]
        losses.append(chances.sum() * 0)
    return torch.stack(losses).sum() / max(len(losses) - len(rows), 1)


@torch.no_grad()
def plain_continuation(
    model: Any, row: Row, max_new_tokens: int, eos: int = EOS, forbidden: Sequence[int] = ()
) -> list[int]:
    """What greedy decoding of one row writes, the end included, without the tokens ``forbidden``."""
    (ids, marks), written = row, []
    while len(written) < max_new_tokens and eos not in written:
        logits = plain_logits(model, ([*ids, *written], [*marks, *[False] * len(written)]))[-1]
        logits[list(forbidden)] = -torch.inf
        written.append(int(logits.argmax()))
    return written


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """The gradient of ``loss`` by every parameter of a model."""
    names, values = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, values, allow_unused=True)
    return {
        name: torch.zeros_like(value) if grad is None else grad
        for name, value, grad in zip(names, values, found, strict=True)
    }


def assert_near(ours: Any, theirs: Any) -> None:
    """Check that two computations agree to 1e-4."""
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
