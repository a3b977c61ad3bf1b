import csv
from math import exp, log

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from mixlm.analysis.prosqa_graph import ConceptGraph
from mixlm.analysis.value_probe import (
    candidate_ids,
    candidate_probabilities,
    candidates,
    continuation_logprobs,
    parallelism_finding,
    value_finding,
    value_rows,
)
from mixlm.errors import InputError
from mixlm.evaluation.statistics import bootstrap_interval
from mixlm.generation.engine import Engine
from mixlm.model.tokenizers import build_tokenizer
from tests.tiny_runs import tiny_model, tiny_run


# Tom -> zum, rem, lemon; zum -> kap; kap -> lem
GRAPH = ConceptGraph.from_row(
    {
        "idx_to_symbol": ["Tom", "zum", "rem", "lemon", "kap", "lem"],
        "edges": [[0, 1], [0, 2], [0, 3], [1, 4], [4, 5]],
        "root": 0,
        "target": 5,
        "neg_target": 2,
    },
    "row 0",
)
# " zum" is one token, " lemon" several.
TOKENIZER = build_tokenizer(["Every zum is a zum."] * 20 + ["Tom is a rem."], vocab_size=275)
PREFIX = 7


def model_and_prefix(family, tokenizer=TOKENIZER):
    model = tiny_model(family, rows=len(tokenizer) + 3)
    torch.manual_seed(1)
    return model, torch.randn(1, PREFIX, 16, dtype=torch.float64)


class Pieces:
    """Cuts text where it is told to."""

    def __init__(self, table):
        self.table = table

    def __call__(self, text, **options):
        assert options == {"add_special_tokens": False, "split_special_tokens": True}
        return {"input_ids": self.table[text]}


def names_after(text, *ids):
    return {f"{text} {name}": found for name, found in zip(GRAPH.names, ids, strict=True)}


def test_candidates_are_the_frontier_and_for_no_thoughts_the_first():
    assert [candidates(GRAPH, k) for k in range(5)] == [(1, 2, 3), (1, 2, 3), (4,), (5,), ()]


def test_ids_are_those_of_the_whole_sentence():
    forced, named = candidate_ids(TOKENIZER, GRAPH, 1)
    assert TOKENIZER.decode(forced) == "Every"
    assert {node: TOKENIZER.decode(ids) for node, ids in named.items()} == {1: " zum", 2: " rem", 3: " lemon"}
    assert len(named[1]) == 1 and len(named[3]) > 1  # the space belongs to the name's token


def test_without_thoughts_the_sentence_is_about_the_root():
    forced, named = candidate_ids(TOKENIZER, GRAPH, 0)
    assert TOKENIZER.decode(forced) == "Tom is a"
    assert {node: TOKENIZER.decode(ids) for node, ids in named.items()} == {1: " zum", 2: " rem", 3: " lemon"}


def test_tokens_across_the_border_count_with_the_name_from_where_names_differ():
    # "Every" is [1, 2], but its end merges with the space to 9 in front of a name.
    merged = names_after("Every", [1, 9, 10], [1, 9, 11, 12], [1, 9, 13], [1, 9, 14], [1, 9, 15], [1, 9, 14, 16])
    forced, named = candidate_ids(Pieces({"Every": [1, 2], **merged}), GRAPH, 1)
    assert (forced, named) == ([1, 9], {1: [11, 12], 2: [13], 3: [14]})


def test_a_single_candidate_keeps_its_name_when_tokens_merge():
    merged = names_after("Every", [1, 9, 10], [1, 9, 11], [1, 9, 13], [1, 9, 14], [1, 9, 15, 16], [1, 9, 14])
    forced, named = candidate_ids(Pieces({"Every": [1, 2], **merged}), GRAPH, 2)
    assert (forced, named) == ([1, 9], {4: [15, 16]})


def test_a_name_whose_ids_begin_all_others_keeps_its_last_id():
    merged = names_after("Every", [1, 9, 3], [1, 9], [1, 9, 4], [1, 9, 5], [1, 9, 6], [1, 9, 7])
    forced, named = candidate_ids(Pieces({"Every": [1, 2], **merged}), GRAPH, 1)
    assert (forced, named) == ([1], {1: [9], 2: [9, 4], 3: [9, 5]})


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("k", [0, 1, 2])
def test_probabilities_equal_those_of_each_candidate_alone(family, k):
    model, prefix = model_and_prefix(family)
    found = candidate_probabilities(Engine(tiny_run(), model, TOKENIZER), prefix, GRAPH, k)

    text = "Every" if k else "Tom is a"
    expected = {}
    for node in candidates(GRAPH, k):
        ids = TOKENIZER(f"{text} {GRAPH.names[node]}")["input_ids"]
        start = len(TOKENIZER(text)["input_ids"])
        embeds = torch.cat([prefix, model.get_input_embeddings()(torch.tensor([ids]))], dim=1)
        with torch.no_grad():
            shares = model(inputs_embeds=embeds).logits[0].softmax(-1)
        expected[node] = 1.0
        for place in range(start, len(ids)):
            expected[node] *= shares[PREFIX + place - 1, ids[place]].item()
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, rel=1e-4)
    assert all(0 < probability < 1 for probability in found.values())


def test_no_node_at_so_many_hops_gives_no_probabilities():
    model, prefix = model_and_prefix("gpt2")
    assert candidate_probabilities(Engine(tiny_run(), model, TOKENIZER), prefix, GRAPH, 4) == {}


def bigrams(shares):
    """A model whose next token depends on the token before alone, with given probabilities."""

    class Bigrams(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Embedding.from_pretrained(torch.eye(len(shares)))
            self.dropout = torch.nn.Dropout(0.5)

        def get_input_embeddings(self):
            return self.table

        def forward(self, inputs_embeds, attention_mask, use_cache):
            logits = self.dropout(torch.log(torch.tensor(shares)))[inputs_embeds.argmax(-1)]
            return type("Output", (), {"logits": logits})

    return Bigrams()


def test_products_of_several_tokens_by_hand():
    shares = [[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25], [0.7, 0.1, 0.1, 0.1], [0.5, 0.2, 0.2, 0.1]]
    model = bigrams(shares).train()
    prefix = torch.eye(4)[None, [1, 3, 2]]  # the last token before the continuations is 2
    found = continuation_logprobs(model, prefix, [[0], [0, 3], [1, 2, 0], [0, 0]])
    expected = [log(0.7), log(0.7 * 0.4), log(0.1 * 0.25 * 0.7), log(0.7 * 0.1)]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    assert model.training  # dropout was off meanwhile, and is on again


def test_logits_of_the_needed_places_alone_are_asked_for(monkeypatch):
    model = GPT2LMHeadModel(GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=1, n_positions=16))
    shapes = []
    model.lm_head.register_forward_hook(lambda module, given, output: shapes.append(tuple(output.shape)))
    continuation_logprobs(model, torch.randn(1, 6, 8), [[1], [2, 3, 4]])
    assert shapes == [(2, 3, 20)]


def test_half_precision_sums_are_taken_in_single():
    model = GPT2LMHeadModel(GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=1, n_positions=16)).bfloat16().eval()
    prefix = torch.randn(1, 3, 8, dtype=torch.bfloat16)
    found = continuation_logprobs(model, prefix, [[token] for token in range(20)])
    assert found.dtype == torch.float64
    assert found.exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_rows_of_a_sample():
    rows = value_rows("a", 1, GRAPH, {1: 0.3, 2: 0.1, 3: 0.0})
    columns = ["sample", "k", "node", "name", "probability", "normalised", "height", "leads_to_target"]
    assert [list(row) for row in rows] == [columns] * 3
    assert [tuple(row.values()) for row in rows] == [
        ("a", 1, 1, "zum", 0.3, pytest.approx(0.75), 2, True),
        ("a", 1, 2, "rem", 0.1, pytest.approx(0.25), 0, False),
        ("a", 1, 3, "lemon", 0.0, 0.0, 0, False),
    ]
    assert [row["normalised"] for row in value_rows("a", 1, GRAPH, {1: 0.0, 2: 0.0})] == [0.5, 0.5]
    assert value_rows("a", 4, GRAPH, {}) == []


def row(sample, k, normalised, height=0, leads=False):
    return {"sample": sample, "k": k, "normalised": normalised, "height": height, "leads_to_target": leads}


def test_values_are_means_over_samples_by_group():
    rows = [
        *(row("a", 1, 0.7, 1, True), row("a", 1, 0.2, 1), row("a", 1, 0.1, 1)),
        *(row("b", 1, 0.4, 1, True), row("b", 1, 0.6, 1)),
        *(row("a", 2, 0.9, 0, True), row("a", 2, 0.1, 2)),
    ]
    table = value_finding(rows).rows
    columns = ["k", "leads_to_target", "height", "probability", "low", "high", "nodes", "samples"]
    assert [list(found) for found in table] == [columns] * 4
    groups = [(found["k"], found["leads_to_target"], found["height"]) for found in table]
    assert groups == [(1, True, 1), (1, False, 1), (2, True, 0), (2, False, 2)]
    assert [(found["nodes"], found["samples"]) for found in table] == [(2, 2), (3, 2), (1, 1), (1, 1)]
    # The two nodes of sample "a" that lead elsewhere are averaged to 0.15 before the samples are.
    assert [found["probability"] for found in table] == pytest.approx([0.55, (0.15 + 0.6) / 2, 0.9, 0.1])
    assert [found["low"] for found in table[2:]] == [None, None]  # one sample tells nothing of others
    expected = bootstrap_interval(np.array([0.15, 0.6]))
    assert (table[1]["low"], table[1]["high"]) == pytest.approx(expected[1:])


def test_parallelism_sums_the_likeliest():
    rows = [row("a", 1, share) for share in (0.1, 0.6, 0.3)]
    rows += [row("b", 1, share) for share in (0.4, 0.2, 0.2, 0.2)]
    rows += [row("c", 1, 0.9), row("c", 1, 0.1)]  # too few
    rows += [row("a", 2, 0.5), row("a", 2, 0.5)]
    table = parallelism_finding(rows).rows
    columns = ["k", "top", "probability", "low", "high", "uniform", "samples", "left_out"]
    assert [list(found) for found in table] == [columns] * 6
    assert [(found["k"], found["top"]) for found in table] == [(k, top) for k in (1, 2) for top in (1, 2, 3)]
    assert [found["probability"] for found in table[:3]] == pytest.approx([0.5, 0.75, 0.9])
    assert [found["uniform"] for found in table[:3]] == pytest.approx(
        [(1 / 3 + top / 4) / 2 for top in (1,)]
        + [
            (2 / 3 + 2 / 4) / 2,
            (3 / 3 + 3 / 4) / 2,
        ]
    )
    assert [(found["samples"], found["left_out"]) for found in table] == [(2, 1)] * 3 + [(0, 1)] * 3
    assert table[3] == {"k": 2, "top": 1, **dict.fromkeys(columns[2:6]), "samples": 0, "left_out": 1}
    expected = bootstrap_interval(np.array([0.6, 0.4]))
    assert (table[0]["low"], table[0]["high"]) == pytest.approx(expected[1:])


def test_no_candidates_are_refused():
    for finding in (value_finding, parallelism_finding):
        with pytest.raises(InputError, match="no candidates to compare: take more samples"):
            finding([])


def random_rows(samples, ks, rng):
    rows = []
    for sample in range(samples):
        for k in ks:
            count = int(rng.integers(2, 6))
            shares = [exp(value) for value in rng.normal(size=count)]
            rows += [row(sample, k, x / sum(shares), int(rng.integers(4)), i == 0) for i, x in enumerate(shares)]
    return rows


@pytest.mark.parametrize("ks", [(1,), (1, 2, 3), (3,)])
@pytest.mark.parametrize("make", [value_finding, parallelism_finding])
def test_findings_are_written(make, ks, tmp_path):
    finding = make(random_rows(12, ks, np.random.default_rng(0)))
    table, picture = finding.write(tmp_path)
    with table.open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert len(read) == len(finding.rows) and list(read[0]) == list(finding.rows[0])
    assert picture.stat().st_size > 5000
