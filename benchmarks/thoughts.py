"""How fast continuous thoughts are: a training step against its ideal, and generation in batches against one by one.

The models are random, 3 layers, 128 wide. What is compared runs in turns, so that a busy machine slows both alike; a
figure is the median of all turns' ratios.

Training: forward and backward of 32 samples with 6 thoughts, 40 tokens before them and 20 after. The ideal is the sum
of its passes' shapes: each as a plain call of the model on (32, width) tokens without a cache, forward and backward.
Generation: samples a second at batch 32 over batch 1, each sample with 6 thoughts and 20 new tokens.
"""

import json
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import click
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from mixlm.thoughts import mean_loss, thought_forward, thought_generate


LAYERS, WIDTH, HEADS, VOCABULARY = 3, 128, 4, 512
BATCH, PROMPT, THOUGHTS, TEXT, NEW = 32, 40, 6, 20, 20
WARM_UPS = 3
SLOWEST_STEP, LEAST_GAIN = 1.5, 8.0


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


def seconds(work: Callable[[], None]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


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


def measure(turn: Callable[[Any], tuple[float, float]], model: Any, turns: int) -> tuple[float, float, float]:
    """Return the medians of both sides of the turns, and of their ratios."""
    pairs = [turn(model) for _ in range(WARM_UPS + turns)][WARM_UPS:]
    ratios = [first / second for first, second in pairs]
    sides = [statistics.median(side) for side in zip(*pairs, strict=True)]
    return sides[0], sides[1], statistics.median(ratios)


def processor() -> str:
    """Return the name of the CPU."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@click.command(help=__doc__.splitlines()[0])
@click.option("--turns", default=20, show_default=True, help="Repeats of every measurement.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the figures to this JSON file.")
def main(turns: int, out: Path | None) -> None:
    """Measure, print and write."""
    figures = []
    for family in ("llama", "gpt2"):
        model = random_lm(family)
        ours, ideal, ratio = measure(training_turn, model, turns)
        figure = {"name": f"{family}: training step over its ideal", "ratio": ratio, "target": f"<= {SLOWEST_STEP}"}
        detail = f"{ours * 1000:.1f} ms over {ideal * 1000:.1f} ms"
        figures.append({**figure, "met": ratio <= SLOWEST_STEP, "detail": detail, "turns": turns})
        many, single, ratio = measure(generation_turn, model, turns)
        figure = {"name": f"{family}: samples/s, batch {BATCH} over 1", "ratio": ratio, "target": f">= {LEAST_GAIN:g}"}
        detail = f"{many:.0f}/s over {single:.1f}/s"
        figures.append({**figure, "met": ratio >= LEAST_GAIN, "detail": detail, "turns": turns})
    print(f"{'':42} {'ratio':>6}  {'target':7} {'met':4}")
    for figure in figures:
        met = "yes" if figure["met"] else "NO"
        print(f"{figure['name']:42} {figure['ratio']:6.2f}  {figure['target']:7} {met:4} {figure['detail']}")
    hardware = {"cpu": processor(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    print(f"medians of {turns} turns; {hardware['cpu']}, {hardware['threads']} threads, torch {torch.__version__}")
    if out:
        report = {"figures": figures, "hardware": hardware, "date": date.today().isoformat()}
        out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
