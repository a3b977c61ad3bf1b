"""What the benchmarks compute, as far as it does not depend on the machine."""

from collections import Counter

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, LlamaConfig

from benchmarks import cost
from benchmarks.gpu import flops, utilisation
from benchmarks.training import VOCABULARY, Bench
from mixlm.model.collator import Collator


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def bench(request: pytest.FixtureRequest) -> Bench:
    shape = {"hidden_size": 16, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=VOCABULARY, use_cache=False, tie_word_embeddings=request.param, **shape)
    return Bench(AutoModelForCausalLM.from_config(config), samples=3)


def test_operations_of_a_step_are_those_of_its_matrix_products(bench: Bench) -> None:
    features = bench.features()[:1]  # a single sequence: no padding, which counts nothing
    with FlopCounterMode(display=False) as counter:
        bench.learn(Collator(pack=True)(features))
    products = Counter(counter.get_flop_counts()["Global"])
    attention = sum(count for name, count in products.items() if "attention" in str(name) or "bmm" in str(name))
    assert flops(bench.model, features) == sum(products.values()) - attention


def test_cost_measures_both_halves_of_stage_1() -> None:
    points = cost.stage1(width=16, layers=1, codes=8, rate=4, rows=50)
    assert all(point.took > 0 for point in points)


def test_utilisation_is_of_the_peak_given(bench: Bench) -> None:
    got, peak = utilisation(bench, 1e12)
    assert peak == 1e12 and 0 < got < 1e12
    assert all(torch.isfinite(value).all() for value in bench.model.parameters())
