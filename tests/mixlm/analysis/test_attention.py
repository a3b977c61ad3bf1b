import csv

import numpy as np
import pytest
import torch

from mixlm.analysis.attention import (
    PromptAttention,
    attention_finding,
    attention_to_prompt,
    decoded_spans,
    eager_attention,
    prompt_classes,
    relative_attention,
    word_class,
)
from mixlm.errors import InputError
from mixlm.model.tokenizers import build_tokenizer
from tests.architectures.tiny_types import tiny_type
from tests.tiny_runs import tiny_model


TRAINED = build_tokenizer(["She has twenty-one apples and 12 more than half. 3 times 4 = 12"], vocab_size=320)
BYTES = build_tokenizer(["z"], vocab_size=257)  # no merges: every byte is a token


def classes(text, tokenizer=TRAINED):
    """The characters of a text by class, spaces left out; a token of several characters counts as each of them."""
    ids = tokenizer(text)["input_ids"]
    found = {"number": "", "operator": "", "other": ""}
    decoded, spans = decoded_spans(ids, tokenizer)
    assert decoded == text
    for (start, end), kind in zip(spans, prompt_classes(ids, tokenizer), strict=True):
        found[kind] += text[start:end].replace(" ", "")
    return found


@pytest.mark.parametrize("tokenizer", [TRAINED, BYTES])
@pytest.mark.parametrize(
    ("text", "numbers", "operators", "others"),
    [
        ("12 + 7 = 19", "12719", "+=", ""),
        ("3x4", "34", "x", ""),
        ("an xylophone", "", "", "anxylophone"),
        ("Twice as many; someone is lefty", "Twice", "", "asmany;someoneislefty"),
        ("sum of half", "half", "sum", "of"),
        ("twenty-one 10-year 9 - 8", "twentyone1098", "-", "--year"),
        ("Each costs $3.50 per (kg)", "350", "Eachper", "costs$.(kg)"),
        ("50% less <6>", "506", "%less<>", ""),
        ("a_2", "2", "", "a_"),
    ],
)
def test_classes_by_hand(text, numbers, operators, others, tokenizer):
    assert classes(text, tokenizer) == {"number": numbers, "operator": operators, "other": others}


def test_every_token_of_a_split_word_has_its_class():
    ids = BYTES("a dozen 407")["input_ids"]
    assert prompt_classes(ids, BYTES).tolist() == ["other", "other", *["number"] * 5, "other", *["number"] * 3]


def test_a_space_inside_a_token_does_not_change_its_class():
    ids = TRAINED(" more apples")["input_ids"]
    assert TRAINED.decode(ids[0]) == " more"
    assert prompt_classes(ids, TRAINED).tolist() == ["operator", "other"]


def test_tokens_that_share_a_character_share_its_class():
    ids = BYTES("6 × ½ é ÷")["input_ids"]
    expected = ["number", "other", *["operator"] * 2, "other", *["number"] * 2, "other", *["other"] * 2, "other"]
    assert prompt_classes(ids, BYTES).tolist() == [*expected, *["operator"] * 2]


def test_bytes_that_are_no_character_do_not_shift_what_follows():
    three = BYTES("3")["input_ids"]
    half_a_character = BYTES("×")["input_ids"][:1]
    found = prompt_classes([*half_a_character * 8, *three, *BYTES("a")["input_ids"]], BYTES).tolist()
    assert found == ["other"] * 8 + ["number", "other"]
    assert len(prompt_classes([*three, *half_a_character], BYTES)) == 2


def test_special_tokens_belong_to_no_class():
    tokenizer = build_tokenizer(["1 + 2"], vocab_size=270)
    tokenizer.add_tokens(["<latent_3>"], special_tokens=True)
    ids = [tokenizer.eos_token_id, *tokenizer("4<latent_3>+")["input_ids"]]
    assert prompt_classes(ids, tokenizer).tolist() == ["other", "number", "other", "operator"]
    assert prompt_classes([], tokenizer).tolist() == []


def test_spaces_that_only_a_neighbour_brings_out_part_words():
    class Joined:
        """Decodes like a SentencePiece tokenizer: words joined by spaces, none before the first."""

        def decode(self, ids, **options):
            return " ".join(["twenty", "one", "a"][index] for index in ids)

    text, spans = decoded_spans([2, 0, 1], Joined())
    assert (text, spans) == ("a twenty one", [(0, 1), (1, 8), (8, 12)])
    assert prompt_classes([2, 0, 1], Joined()).tolist() == ["other", "number", "number"]


@pytest.mark.parametrize(("word", "kind"), [("7", "number"), ("HALF", "number"), ("÷", "operator"), ("!", "other")])
def test_class_of_a_word(word, kind):
    assert word_class(word) == kind


def inputs(model, length=9):
    ids = torch.arange(1, length + 1)[None]
    return {"inputs_embeds": model.get_input_embeddings()(ids).detach()}


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_attention_is_the_mean_over_layers_heads_and_queries(family):
    model = tiny_model(family)
    given, prompt = inputs(model), 4
    queries = torch.tensor([False] * 5 + [True, False, True, False])
    found = attention_to_prompt(model, given, queries, prompt)

    model.set_attn_implementation("eager")
    layers = model(**given, output_attentions=True).attentions
    expected = np.zeros(prompt)
    for layer in layers:
        for head in layer[0]:
            for query in (5, 7):
                expected += head[query, :prompt].detach().numpy()
    assert found.shape == (prompt,)
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-6)
    assert not np.allclose(found, attention_to_prompt(model, given, ~queries & (torch.arange(9) > 3), prompt))


def test_attention_is_the_softmax_of_queries_and_keys():
    model = tiny_model("gpt2")
    del model.transformer.h[1:]
    model.config.num_hidden_layers = 1
    given, prompt, query = inputs(model, 6), 3, 4
    found = attention_to_prompt(model, given, torch.arange(6) == query, prompt)

    block = model.transformer.h[0]
    with torch.no_grad():
        hidden = block.ln_1(given["inputs_embeds"][0] + model.transformer.wpe.weight[:6])
        q, k, _ = block.attn.c_attn(hidden).split(16, dim=-1)
    weights = np.zeros(prompt)
    for head in (slice(0, 8), slice(8, 16)):
        scores = k[: query + 1, head] @ q[query, head] / 8**0.5
        weights += scores.softmax(0)[:prompt].numpy()
    np.testing.assert_allclose(found, weights / weights.sum(), rtol=1e-6)


@pytest.mark.parametrize("before", ["sdpa", "eager"])
def test_the_model_is_left_as_it_was(before):
    model = tiny_model("llama").train()
    model.set_attn_implementation(before)
    attention_to_prompt(model, inputs(model), torch.arange(9) > 5, 4)
    assert model.config._attn_implementation == before
    assert model.training


def test_the_model_is_left_as_it_was_after_an_error():
    model = tiny_model("gpt2")
    with pytest.raises(RuntimeError, match="stop"):
        with eager_attention(model):
            assert model.config._attn_implementation == "eager"
            raise RuntimeError("stop")
    assert model.config._attn_implementation == "sdpa"


def test_dropout_is_off():
    model = tiny_model("gpt2").train()
    once, twice = (attention_to_prompt(model, inputs(model), torch.arange(9) > 5, 4) for _ in range(2))
    np.testing.assert_array_equal(once, twice)


@pytest.mark.parametrize("queries", [torch.zeros(9, dtype=torch.bool), torch.arange(9) == 3])
def test_queries_must_lie_after_the_prompt(queries):
    model = tiny_model("gpt2")
    with pytest.raises(ValueError, match="query position"):
        attention_to_prompt(model, inputs(model), queries, 4)


class Fixed(torch.nn.Module):
    """A stand-in that returns the attention weights it is given."""

    def __init__(self, attentions):
        super().__init__()
        self.config = type("Config", (), {"_attn_implementation": "sdpa", "model_type": "fixed"})()
        self.attentions = attentions

    def set_attn_implementation(self, name):
        self.config._attn_implementation = name

    def forward(self, **inputs):
        return type("Output", (), {"attentions": self.attentions})()


def test_layers_without_weights_are_left_out():
    weights = torch.rand(1, 2, 6, 6)
    given, queries = {"input_ids": torch.zeros(1, 6)}, torch.arange(6) > 3
    states = torch.rand(1, 6, 16)
    mixed = attention_to_prompt(Fixed((None, weights, states, None)), given, queries, 2)
    np.testing.assert_array_equal(mixed, attention_to_prompt(Fixed((weights,)), given, queries, 2))
    for nothing in (None, (), (None,), (states,)):
        with pytest.raises(InputError, match="eager"):
            attention_to_prompt(Fixed(nothing), given, queries, 2)


@pytest.mark.parametrize("kind", ["mamba", "mamba2", "rwkv"])
def test_a_model_without_attention_is_refused(kind):
    given = {"input_ids": torch.arange(10, 16)[None]}
    with pytest.raises(InputError, match=f"{kind}: returns no attention weights"):
        attention_to_prompt(tiny_type(kind), given, torch.arange(6) > 3, 2)


def test_attention_that_does_not_reach_the_prompt_is_refused():
    local = torch.eye(6).expand(1, 2, 6, 6)
    with pytest.raises(InputError, match="reach"):
        attention_to_prompt(Fixed((local,)), {"input_ids": torch.zeros(1, 6)}, torch.arange(6) > 3, 2)


def test_share_of_a_class_over_its_share_of_tokens():
    kinds = np.array(["number", "other", "number", "other"])
    attention = np.array([0.3, 0.1, 0.5, 0.1])
    assert relative_attention(attention, kinds, "number") == pytest.approx(0.8 / 0.5)
    assert relative_attention(attention, kinds, "other") == pytest.approx(0.2 / 0.5)
    assert relative_attention(attention, kinds, "operator") is None
    # Attention up to a factor gives the same, so a part of the prompt can be taken as it is.
    assert relative_attention(attention * 7, kinds, "number") == pytest.approx(0.8 / 0.5)


def measures(count=12):
    rng = np.random.default_rng(0)
    kinds = np.array(["number", "other", "number", "other"])
    return [PromptAttention(kinds, rng.dirichlet([4, 1, 4, 1]), rng.dirichlet([1, 1, 1, 1])) for _ in range(count)]


def table(finding):
    return {(row["class"], row["source"]): row for row in finding.rows}


def test_table_by_hand():
    with_both = PromptAttention(
        np.array(["number", "operator", "other", "other"]),
        np.array([0.5, 0.3, 0.1, 0.1]),
        np.array([0.25, 0.25, 0.25, 0.25]),
    )
    without_operator = PromptAttention(np.array(["number", "other"]), np.array([0.6, 0.4]), np.array([0.9, 0.1]))
    rows = table(attention_finding([with_both, without_operator]))
    assert rows["number", "latent"]["relative_attention"] == pytest.approx((2 + 1.2) / 2)
    assert rows["number", "text"]["relative_attention"] == pytest.approx((1 + 1.8) / 2)
    assert rows["number", "latent - text"]["relative_attention"] == pytest.approx((1 - 0.6) / 2)
    assert rows["number", "latent"]["samples"] == 2
    assert rows["operator", "latent"]["relative_attention"] == pytest.approx(1.2)
    assert rows["operator", "latent - text"]["samples"] == 1
    assert rows["other", "text"]["relative_attention"] == pytest.approx((1 + 0.2) / 2)


def test_a_class_of_one_sample_has_no_interval_and_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    one = PromptAttention(np.array(["number", "other"]), np.array([0.6, 0.4]), np.array([0.9, 0.1]))
    found = attention_finding([one])
    assert table(found)["number", "latent"]["low"] is None
    assert all(path.stat().st_size > 100 for path in found.write(tmp_path))


def test_intervals_hold_the_estimates_and_absent_classes_have_none():
    rows = table(attention_finding(measures()))
    for row in rows.values():
        assert row["samples"] == 0 or row["low"] < row["relative_attention"] < row["high"]
    assert rows["operator", "text"] == {
        "class": "operator",
        "source": "text",
        "relative_attention": None,
        "low": None,
        "high": None,
        "samples": 0,
    }


def test_differences_are_taken_within_samples():
    kinds = measures()[0].classes
    text = [measure.text / 2 + 1 / 8 for measure in measures()]
    shift = np.array([0.05, -0.05, 0.05, -0.05])  # the same in every sample: samples differ, their differences do not
    rows = table(attention_finding([PromptAttention(kinds, one + shift, one) for one in text]))
    assert rows["number", "text"]["high"] - rows["number", "text"]["low"] > 0.05
    difference = rows["number", "latent - text"]
    limits = [difference["low"], difference["relative_attention"], difference["high"]]
    assert limits == pytest.approx([0.2, 0.2, 0.2])


def test_the_finding_writes_a_table_and_a_plot(tmp_path):
    pytest.importorskip("matplotlib")
    finding = attention_finding(measures())
    csv_path, picture = finding.write(tmp_path)
    with csv_path.open(newline="") as file:
        assert [row["source"] for row in csv.DictReader(file)] == ["latent", "text", "latent - text"] * 3
    assert picture.stat().st_size > 1000


def test_bars_are_the_estimates():
    pytest.importorskip("matplotlib")
    finding = attention_finding(measures())
    (axes,) = finding.figure().axes
    rows = table(finding)
    order = [("number", "latent"), ("other", "latent"), ("number", "text"), ("other", "text")]
    heights = [patch.get_height() for patch in axes.patches]
    assert heights == pytest.approx([rows[key]["relative_attention"] for key in order])
    assert "average prompt token" in axes.get_ylabel()
    assert [label.get_text().split()[0] for label in axes.get_xticklabels()] == ["number", "other"]


def test_no_samples_are_refused():
    with pytest.raises(InputError, match="no sample"):
        attention_finding([])
