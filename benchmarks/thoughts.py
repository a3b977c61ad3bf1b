"""How fast continuous thoughts are: a training step against its ideal, and generation in batches against one by one.

The models are random, 3 layers, 128 wide.

Training: forward and backward of 32 samples with 6 thoughts, 40 tokens before them and 20 after. The ideal is the sum
of its passes' shapes: each as a plain call of the model on (32, width) tokens without a cache, forward and backward.
Generation: samples a second at batch 32 over batch 1, each sample with 6 thoughts and 20 new tokens.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from benchmarks.measuring import Figure, in_turns, seconds
from mixlm.model.thoughts.thinking import mean_loss, thought_forward, thought_generate


LAYERS, WIDTH, HEADS, VOCABULARY = 3, 128, 4, 512
BATCH, PROMPT, THOUGHTS, TEXT, NEW = 32, 40, 6, 20, 20


def random_lm(family: str) -> Any:
    """Return a random causal LM of the family, "llama" or "gpt2"."""
    torch.manual_seed(0)
    common = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 0}
    if family == "gpt2":
        config = GPT2Config(n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, n_positions=256, **common)
    else:
        shape = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_hidden_layers": LAYERS}
        config = LlamaConfig(num_attention_heads=HEADS, **shape, **common)
    return AutoModelForCausalLM.from_config(config)


def random_batch(rows: int, text: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return ids, attention mask, thought mask and labels, each (rows, length): the text is learned."""
    ids = torch.randint(1, VOCABULARY, (rows, PROMPT + THOUGHTS + text))
    thoughts = torch.zeros_like(ids, dtype=torch.bool)
    thoughts[:, PROMPT : PROMPT + THOUGHTS] = True
    labels = ids.clone()
    labels[:, : PROMPT + THOUGHTS] = -100
    return ids, torch.ones_like(ids), thoughts, labels


def training_turn(model: Any) -> tuple[float, float]:
    """Return the seconds of a training step with thoughts, and of its ideal."""
    batch = random_batch(BATCH, TEXT)
    ids, labels = batch[0], batch[-1]

    def ours() -> None:
        thought_forward(model, *batch).loss.backward()

    def ideal() -> None:
        bounds = [0, *range(PROMPT, PROMPT + THOUGHTS), PROMPT + THOUGHTS + TEXT]
        for start, end in zip(bounds[:-1], bounds[1:], strict=True):
            logits = model(input_ids=ids[:, start:end], use_cache=False).logits
            last = end == bounds[-1]  # what is learned lies in the last pass
            loss = mean_loss(logits, labels[:, start:end]) if last else logits.mean()
            loss.backward()

    return timed(model, ours), timed(model, ideal)


def timed(model: Any, work: Callable[[], None]) -> float:
    """Return the seconds of one training step, begun without gradients."""
    model.train()
    model.zero_grad(set_to_none=True)
    return seconds(work)


def generation_turn(model: Any) -> tuple[float, float]:
    """Return samples a second in a batch, and one by one."""
    model.eval()
    rates = []
    for rows in (BATCH, 1):
        prompts = random_batch(rows, 0)[:3]
        rates.append(rows / seconds(lambda prompts=prompts: thought_generate(model, *prompts, NEW, -1)))
    return rates[0], rates[1]


def figures(turns: int) -> Iterator[Figure]:
    """Measure both families.

    Args:
        turns: Repeats of every measurement.
    """
    for family in ("llama", "gpt2"):
        model = random_lm(family)
        ours, ideal, ratio = in_turns(partial(training_turn, model), turns)
        detail = f"{ours * 1000:.1f} ms over {ideal * 1000:.1f} ms"
        yield Figure(f"{family}: training step with thoughts over its ideal", ratio, "<= 1.5", detail, turns)
        many, single, ratio = in_turns(partial(generation_turn, model), turns)
        detail = f"{many:.0f}/s over {single:.1f}/s"
        yield Figure(f"{family}: samples/s with thoughts, batch {BATCH} over 1", ratio, ">= 8", detail, turns)
