"""Whether a cache of fixed size and a compiled model pay in decoding.

The model, prompts and number of tokens of ``generation``, by transformers' own ``generate``: with a cache that grows,
which is what we decode with, and with one of fixed size and the forward pass compiled. Compiling is left out of the
ratio and named beside it.
"""

from collections.abc import Iterator

from transformers import CompileConfig

from benchmarks.generation import BATCH, NEW, Bench
from benchmarks.measuring import Figure, in_turns


def figures(turns: int) -> Iterator[Figure]:
    """Measure decoding with both caches.

    Args:
        turns: Repeats of every measurement; a quarter of them.
    """
    bench = Bench()
    prompts = bench.prompts([64] * BATCH)
    mode = "default" if bench.model.device.type == "cpu" else "reduce-overhead"
    everywhere = CompileConfig(mode=mode, fullgraph=False)
    everywhere._compile_all_devices = True  # else transformers compiles on accelerators only
    fixed = {"cache_implementation": "static", "compile_config": everywhere}
    first = BATCH * NEW / bench.theirs(prompts, **fixed)
    few = max(turns // 4, 2)
    ours, theirs, ratio = in_turns(lambda: (bench.theirs(prompts, **fixed), bench.theirs(prompts)), few, warm_ups=1)
    detail = f"{ours:.0f} over {theirs:.0f} tokens/s; the first batch, with compiling, took {first:.0f} s"
    yield Figure("compilation: fixed cache, compiled, over growing", ratio, ">= 1", detail, few)
