"""How fast stage 2 trains on samples as long as GSM8K's: useful tokens a second, and what preparing a batch costs.

Lengths are those of 100 of GSM8K's 7,473 training rows (prompt, trace; SmolLM2's tokenizer), every 75th when they are
sorted by length. The model is random, 3 layers, 128 wide, and small on purpose: the larger a model, the smaller the
share of a step that is spent outside it. Method: assorted, m by the paper's rule, 16 tokens a code.

Layout: forward and backward of the same 32 sequences, in rows that hold several (the default), over one a row with
padding; in both the samples come in random order. Logits: those that labels are compared with over all, in the default
layout. Compiled: the blocks compiled with torch, once for all shapes, over plain. Preparing: to read, mix and lay out
a batch, over the whole step with forward, backward and optimizer.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from benchmarks.measuring import Figure, in_turns, seconds, wait
from mixlm.data.tables import in_memory, row_table
from mixlm.methods import build_method
from mixlm.model.collator import Collator
from mixlm.model.forward import logits_at, scored_batch, scored_places
from mixlm.model.special_tokens import SpecialIds
from mixlm.training.loss import MixedLoss
from mixlm.training.rows.mixed_dataset import MixedDataset
from vqvae import Cutting


# fmt: off
GSM8K = (
    (22, 52), (36, 45), (39, 46), (38, 52), (34, 59), (45, 49), (33, 64), (51, 49), (39, 64), (29, 74), (53, 53),
    (30, 78), (63, 46), (45, 66), (50, 63), (42, 72), (30, 86), (37, 81), (30, 91), (56, 67), (40, 82), (37, 83),
    (45, 81), (39, 86), (58, 72), (50, 80), (66, 66), (77, 57), (41, 92), (50, 84), (65, 71), (35, 104), (37, 104),
    (46, 94), (41, 103), (39, 105), (47, 100), (57, 89), (50, 100), (82, 69), (57, 96), (80, 74), (42, 114), (51, 106),
    (57, 102), (73, 88), (56, 106), (40, 124), (67, 97), (72, 95), (58, 111), (61, 109), (55, 118), (66, 108),
    (94, 83), (80, 99), (68, 112), (52, 129), (65, 117), (55, 130), (57, 130), (49, 141), (105, 86), (64, 128),
    (56, 139), (44, 152), (89, 110), (65, 135), (63, 139), (63, 143), (70, 138), (59, 149), (61, 148), (73, 141),
    (105, 113), (49, 170), (66, 156), (64, 161), (80, 149), (95, 136), (85, 149), (78, 160), (68, 173), (88, 156),
    (94, 152), (60, 193), (77, 181), (87, 175), (54, 214), (107, 166), (76, 202), (95, 190), (85, 206), (101, 199),
    (97, 211), (64, 253), (125, 202), (112, 228), (90, 277), (91, 330),
)
# fmt: on
SOLUTION, RATE, CODES, VOCABULARY, BATCH = 6, 16, 512, 2048, 32
CUTTING = Cutting("fixed", RATE, RATE)
SPECIAL = SpecialIds(eos=0, bo_latent=1, eo_latent=2, first_latent=3, codebook_size=CODES)


def random_rows(lengths: Sequence[tuple[int, int]]) -> list[dict[str, list[int]]]:
    """Return tokenized samples of random tokens, with codes; ``lengths`` are those of prompts and traces."""
    rng = np.random.default_rng(0)

    def ids(length: int, first: int = SPECIAL.latent_ids.stop, end: int = VOCABULARY) -> list[int]:
        return rng.integers(first, end, length).tolist()

    return [
        {
            "prompt_ids": ids(prompt),
            "trace_ids": ids(trace),
            "solution_ids": [*ids(SOLUTION), SPECIAL.eos],
            "step_lengths": [trace],
            "codes": ids(trace // RATE, 0, CODES),
            "code_ends": [*range(RATE, trace + 1, RATE)],
        }
        for prompt, trace in lengths
    ]


def sequences(rows: list[dict[str, list[int]]], method: str, **options: str) -> MixedDataset:
    """Return the sequences of a method, mixed anew at every read."""
    return MixedDataset(in_memory(row_table(rows)), build_method(method, options).bind(SPECIAL, CUTTING), BATCH)


def random_model() -> Any:
    """Return a random Llama of 3 layers, 128 wide."""
    torch.manual_seed(0)
    shape = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=0, use_cache=False, **shape)
    return AutoModelForCausalLM.from_config(config)


def block_weights(model: Any) -> int:
    """Return the weights of the matrices in the blocks of a Llama, which every token meets."""
    parameters = model.get_decoder().named_parameters()
    return sum(value.numel() for name, value in parameters if value.dim() == 2 and "embed" not in name)


class Bench:
    """A random model, and batches of samples in random order.

    Args:
        model: A causal LM; None: ``random_model``.
        compiled: Compile its blocks, as training does with ``compile``.
        samples: Of a batch.
        bf16: Compute in 16 bits, with weights of 32, as training does with ``bf16``.
    """

    def __init__(self, model: Any = None, compiled: bool = False, samples: int = BATCH, bf16: bool = False) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = (model or random_model()).train().to(self.device)
        if compiled:
            self.model.get_decoder().compile(dynamic=True)
        self.samples, self.bf16 = samples, bf16
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)
        self.data = sequences(random_rows(GSM8K * 20), "assorted", mix="paper")
        self.loss, self.taken = MixedLoss(SPECIAL), 0

    def features(self) -> list[dict[str, Any]]:
        """Read and mix the next batch."""
        order = np.random.default_rng(self.taken).permutation(len(self.data))[: self.samples]
        self.taken += 1
        return [self.data[index] for index in order]

    def learn(self, batch: dict[str, torch.Tensor], everywhere: bool = False, at_once: bool = False) -> None:
        """Run forward and backward on a batch of the collator.

        Args:
            batch: The batch.
            everywhere: Compute all logits, not only those that are scored.
            at_once: Give the model all of the batch in one call, padding as it is.
        """
        self.optimizer.zero_grad(set_to_none=True)
        batch = {name: value.to(self.device) for name, value in batch.items()}
        labels = batch.pop("labels")
        places = scored_places(labels)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            if everywhere:
                logits = self.model(**batch, use_cache=False).logits[places]
            elif at_once:
                with logits_at(self.model, places):
                    logits = self.model(**batch, use_cache=False).logits[0]
            else:
                logits = scored_batch(self.model, places, **batch)["logits"]
        self.loss(logits, labels, training=True).backward()
        wait()

    def layout(self, padded: "Bench | None" = None) -> tuple[float, float]:
        """Return the useful tokens a second of the same sequences, several in a row and one in a row.

        Args:
            padded: Learns the latter; None: this bench.
        """
        return self._rates(
            lambda ours: (self if ours else padded or self).learn(Collator(pack=ours)(self.held), at_once=not ours)
        )

    def blocks(self) -> tuple[float, float]:
        """Return the useful tokens a second of padded rows, those of like length together and all in one call."""
        return self._rates(lambda ours: self.learn(Collator()(self.held), at_once=not ours))

    def logits(self) -> tuple[float, float]:
        """Return the useful tokens a second with logits where they are scored, and with all."""
        return self._rates(lambda ours: self.learn(Collator(pack=True)(self.held), everywhere=not ours))

    def compiled(self, other: "Bench") -> tuple[float, float]:
        """Return the useful tokens a second of another bench, whose model is compiled, and of this one."""
        return self._rates(lambda theirs: (other if theirs else self).learn(Collator(pack=True)(self.held)))

    def _rates(self, run: Callable[[bool], None]) -> tuple[float, float]:
        self.held = self.features()
        useful = sum(len(feature["input_ids"]) for feature in self.held)
        return useful / seconds(lambda: run(True)), useful / seconds(lambda: run(False))

    def preparing(self) -> tuple[float, float]:
        """Return the seconds that preparing a batch takes, and those of the step that begins with it."""
        held: list[Any] = []
        before = seconds(lambda: held.append(Collator(pack=True)(self.features())))
        step = seconds(lambda: (self.learn(held[0]), self.optimizer.step()))
        return before, before + step


def figures(turns: int) -> Iterator[Figure]:
    """Measure layout, logits and preparation.

    Args:
        turns: Repeats of every measurement.
    """
    bench = Bench()
    for name, turn, target in (
        ("rows of several samples over padding", bench.layout, ">= 1.3"),
        ("padded rows of like length together over padding", bench.blocks, ">= 1.3"),
        ("logits where scored over all", bench.logits, ">= 1"),
    ):
        ours, theirs, ratio = in_turns(turn, turns)
        yield Figure(f"training: {name}", ratio, target, f"{ours:.0f} over {theirs:.0f} useful tokens/s", turns)
    compiled = Bench(compiled=True)
    ours, theirs, ratio = in_turns(lambda: bench.compiled(compiled), turns)
    detail = f"{ours:.0f} over {theirs:.0f} useful tokens/s"
    yield Figure("training: compiled over plain", ratio, ">= 1", detail, turns)
    ours, theirs, ratio = in_turns(bench.preparing, turns)
    detail = f"{ours * 1000:.2f} ms of {theirs * 1000:.1f} ms"
    yield Figure("training: preparing a batch, share of its step", ratio, "<= 0.03", detail, turns)
