"""How fast answers are decoded: against transformers' own ``generate``, and what latents save.

The model is random, 4 layers, 256 wide, with 16,384 tokens. Prompts are as long as GSM8K's, every answer takes 64 new
tokens, and the grammar of latents is on. What is compared has the same model, prompts and number of tokens.

Grammar: a batch of 32 prompts of equal length, by ``Engine.answer`` over transformers'. Sorting: 128 prompts in
batches of 32, by ``Engine.answer``, over transformers' in the order given. Latents: answers a second at the lengths
that a run on chain arithmetic wrote, 12 tokens with latents alone and 52 with text alone.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, LlamaConfig, PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.measuring import Figure, in_turns, seconds
from benchmarks.training import GSM8K
from mixlm.data.template import Template
from mixlm.generation.answerer import Request
from mixlm.generation.engine import Engine
from mixlm.generation.options import GenerationOptions
from mixlm.methods import build_method
from mixlm.model.special_tokens import special_ids
from mixlm.model.tokenizers import build_tokenizer
from mixlm.model.vocabulary import extend_vocabulary
from mixlm.run import Run


VOCABULARY, BATCH, NEW = 16_384, 32, 64


class Bench:
    """A random model that never ends an answer by itself, with its run."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        shape = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 4}
        self.tokenizer = build_tokenizer(["a"], vocab_size=300)
        self.tokenizer.add_tokens([f"word{number}" for number in range(VOCABULARY - len(self.tokenizer))])
        self.model = AutoModelForCausalLM.from_config(LlamaConfig(vocab_size=VOCABULARY, **shape)).eval()
        method = build_method("assorted", {})
        extend_vocabulary(self.model, self.tokenizer, method.tokens(512))
        self.model.lm_head.weight.data[self.tokenizer.eos_token_id] = (
            0  # never the likeliest: answers end at NEW tokens
        )
        self.model.to("cuda" if torch.cuda.is_available() else "cpu")
        self.run = Run(Path(), "assorted", Template(), special_ids(self.tokenizer), codebook_size=512)

    def ours(self, prompts: Sequence[Sequence[int]], tokens: int = NEW) -> float:
        """Return the tokens a second of our decoding, with the grammar of latents."""
        options, requests = GenerationOptions(tokens, batch_size=BATCH), [Request(prompt) for prompt in prompts]
        engine = Engine(self.run, self.model, self.tokenizer)
        return len(prompts) * tokens / seconds(lambda: engine.answer(requests, options))

    def theirs(self, prompts: Sequence[Sequence[int]], **cache: Any) -> float:
        """Return the tokens a second of transformers' decoding; of ``cache`` see ``generate``."""
        return len(prompts) * NEW / seconds(lambda: generate(self.model, self.tokenizer, prompts, NEW, BATCH, **cache))

    def prompts(self, lengths: Sequence[int]) -> list[list[int]]:
        """Return random prompts."""
        return [torch.randint(300, VOCABULARY, (length,)).tolist() for length in lengths]


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    tokens: int,
    batch_size: int,
    **cache: Any,
) -> list[str]:
    """Decode with transformers' own ``generate``, batch after batch in the order given.

    Args:
        model: Causal LM.
        tokenizer: Makes text of what it writes.
        prompts: Token ids.
        tokens: New tokens of every answer.
        batch_size: Prompts at once.
        **cache: Settings of transformers; none: a cache that grows.
    """
    settings = GenerationConfig(max_new_tokens=tokens, do_sample=False, pad_token_id=0, eos_token_id=0, **cache)
    texts = []
    for start in range(0, len(prompts), batch_size):
        batch = prompts[start : start + batch_size]
        width = max(map(len, batch))
        ids = torch.tensor([[0] * (width - len(one)) + list(one) for one in batch], device=model.device)
        mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in batch], device=ids.device)
        written = model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
        texts += tokenizer.batch_decode(written[:, width:])
    return texts


def figures(turns: int) -> Iterator[Figure]:
    """Measure decoding with and without our part.

    Args:
        turns: Repeats of every measurement; the two longer ones take a quarter of them.
    """
    bench = Bench()
    equal = bench.prompts([64] * BATCH)
    ours, theirs, ratio = in_turns(lambda: (bench.ours(equal), bench.theirs(equal)), turns)
    detail = f"{ours:.0f} over {theirs:.0f} tokens/s"
    yield Figure("generation: with grammar over transformers'", ratio, ">= 0.97", detail, turns)
    mixed = bench.prompts([prompt for prompt, _ in GSM8K * 2][: 4 * BATCH])
    few = max(turns // 4, 1)
    ours, theirs, ratio = in_turns(lambda: (bench.ours(mixed), bench.theirs(mixed)), few, 1)
    detail = f"{ours:.0f} over {theirs:.0f} tokens/s"
    yield Figure("generation: prompts sorted over as given", ratio, ">= 1", detail, few)
    short, long, ratio = in_turns(lambda: (bench.ours(equal, 12) / 12, bench.ours(equal, 52) / 52), few, 1)
    yield Figure("generation: answers/s at 12 tokens over 52", ratio, ">= 1", f"{short:.1f} over {long:.1f}", few)
