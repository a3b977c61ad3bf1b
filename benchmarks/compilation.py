"""Whether a cache of fixed size and a compiled model pay in decoding.

The model, prompts and number of tokens of ``generation``, by transformers' own ``generate``: with a cache that grows,
which is what we decode with, and with one of fixed size and the forward pass compiled. Compiling is left out of the
ratio and named beside it.
"""

from collections.abc import Iterator
from typing import Any

import torch
from transformers import CompileConfig, GenerationConfig

from benchmarks.generation import BATCH, NEW, Bench
from benchmarks.measuring import Figure, in_turns, seconds


def figures(turns: int) -> Iterator[Figure]:
    """Measure decoding with both caches.

    Args:
        turns: Repeats of every measurement; a quarter of them.
    """
    bench = Bench()
    ids = torch.tensor(bench.prompts([64] * BATCH), device=bench.model.device)
    everywhere = CompileConfig(mode="default" if ids.device.type == "cpu" else "reduce-overhead", fullgraph=False)
    everywhere._compile_all_devices = True  # else transformers compiles on accelerators only

    def rate(**cache: Any) -> float:
        settings = GenerationConfig(
            max_new_tokens=NEW, do_sample=False, pad_token_id=0, eos_token_id=0, use_cache=True, **cache
        )
        return ids.shape[0] * NEW / seconds(lambda: decode(settings))

    def decode(settings: GenerationConfig) -> None:
        written = bench.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings)
        bench.tokenizer.batch_decode(written[:, ids.shape[1] :])

    def compiled() -> float:
        return rate(cache_implementation="static", compile_config=everywhere)

    first = ids.shape[0] * NEW / compiled()
    few = max(turns // 4, 2)
    fixed, growing, ratio = in_turns(lambda: (compiled(), rate()), few, warm_ups=1)
    detail = f"{fixed:.0f} over {growing:.0f} tokens/s; the first batch, with compiling, took {first:.0f} s"
    yield Figure("compilation: fixed cache, compiled, over growing", ratio, ">= 1", detail, few)
