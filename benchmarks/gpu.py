"""What only a GPU shows: stage 1 at the paper's size, packed rows, and how much of its arithmetic training uses.

Stage 1 has 2 layers, 512 wide, K = 1024, and takes 32 samples a step. Stage 2 has the shape of SmolLM2-135M with
random weights, in bf16, and 128 samples a step. Both have GSM8K's lengths. Without a GPU nothing is measured.
"""

from collections.abc import Iterator
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from benchmarks.measuring import Figure, in_turns, seconds, wait
from benchmarks.stage1 import COMPACT, LARGE, Stage1
from benchmarks.training import Bench, block_weights
from mixlm.model.collator import Collator, Feature


PEAKS = {"A100": 312e12, "H100": 989e12, "H200": 989e12}  # of dense products in bf16 a second, by NVIDIA's data sheets
STEPS = 100_000  # of stage 1, as in the paper


def smollm2() -> Any:
    """Return a random model of the shape of SmolLM2-135M."""
    torch.manual_seed(0)
    shape = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "tie_word_embeddings": True}
    heads = {"num_attention_heads": 9, "num_key_value_heads": 3}
    config = LlamaConfig(vocab_size=LARGE, bos_token_id=0, eos_token_id=0, use_cache=False, **shape, **heads)
    return AutoModelForCausalLM.from_config(config)


def flops(model: Any, features: list[Feature]) -> float:
    """Return the floating-point operations that forward and backward of sequences need.

    That is 6 for each token and weight of a matrix that the token meets. The head is met where a token is scored,
    padding and the products of attention count nothing, so the share of the peak errs to the low side.
    """
    head = model.get_output_embeddings().weight.numel()
    tokens = sum(len(feature["input_ids"]) for feature in features)
    scored = sum(label != -100 for feature in features for label in feature["labels"])
    return 6.0 * (block_weights(model) * tokens + head * scored)


def utilisation(bench: Bench, peak: float) -> tuple[float, float]:
    """Return the operations a second that a step needs over the time it takes, optimizer and all, and ``peak``."""
    features = bench.features()
    took = seconds(lambda: (bench.learn(Collator(pack=True)(features)), bench.optimizer.step(), wait()))
    return flops(bench.model, features) / took, peak


def hours(stage1: Stage1, optimizer: torch.optim.Optimizer) -> tuple[float, float]:
    """Return the seconds that ``STEPS`` steps of stage 1 take, and those of an hour."""

    def learn() -> None:
        optimizer.zero_grad(set_to_none=True)
        stage1.step()
        optimizer.step()

    return STEPS * seconds(learn), 3600.0


def figures(turns: int) -> Iterator[Figure]:
    """Yield the figures, none where there is no GPU.

    Args:
        turns: Repeats of every measurement.
    """
    if not torch.cuda.is_available():
        print("gpu: not measured, there is none")
        return
    stage1 = Stage1(COMPACT, 4096, samples=32)
    optimizer = torch.optim.Adam(stage1.model.parameters(), lr=1e-4)
    took, _, ratio = in_turns(lambda: hours(stage1, optimizer), turns)
    yield Figure("gpu: stage 1, hours for 100,000 steps", ratio, "<= 24", f"{STEPS / took:.1f} steps/s", turns)
    packed, padded = (Bench(smollm2(), samples=128, bf16=True) for _ in range(2))
    for attention in ("sdpa", "flex_attention"):
        packed.model.set_attn_implementation(attention)
        ours, theirs, ratio = in_turns(lambda: packed.layout(padded), turns)
        detail = f"{ours:.0f} over {theirs:.0f} useful tokens/s"
        yield Figure(f"gpu: packed rows, {attention}, over padding", ratio, ">= 1.5", detail, turns)
    name = torch.cuda.get_device_name()
    peak = next((peak for part, peak in PEAKS.items() if part in name), None)
    if peak is None:
        print(f"gpu: peak of {name} unknown, add it to PEAKS of benchmarks/gpu.py")
        return
    compiled = Bench(smollm2(), compiled=True, samples=128, bf16=True)
    ours, _, ratio = in_turns(lambda: utilisation(compiled, peak), turns, warm_ups=10)
    detail = f"{ours / 1e12:.0f} of {peak / 1e12:.0f} TFLOP/s, {name}"
    yield Figure("gpu: share of the peak, SmolLM2-135M compiled", ratio, ">= 0.3", detail, turns)
