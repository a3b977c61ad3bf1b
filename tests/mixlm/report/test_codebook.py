import json

import pytest
import torch

from mixlm.analysis.places import as_latents, guess_tokens, score_chunks
from mixlm.encoding.dataset import open_vqvae
from mixlm.evaluation.statistics import wilson_interval
from mixlm.generation.engine import Engine
from mixlm.generation.explain import LatentReader
from mixlm.report.codebook import Codebook, context, nearest
from tests.tiny_runs import CODES, WORDS, tiny_model, tiny_run, tiny_tokenizer, tiny_vqvae


TOKENIZER = tiny_tokenizer()
ROWS = [
    {"row": 0, "prompt_ids": [1, 2], "trace_ids": [3, 4, 5, 6, 7], "codes": [2, 4], "code_ends": [2, 4]},
    {"row": 1, "prompt_ids": [1, 2, 3], "trace_ids": [5, 6, 1, 1], "codes": [4, 2], "code_ends": [2, 4]},
    {"row": 2, "prompt_ids": [4], "trace_ids": [5, 6], "codes": [4], "code_ends": [2]},
]
ROWS = [{**row, "solution_ids": [9, 0]} for row in ROWS]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs")
    tiny_vqvae([1, 2, 3, 4, 5, 6, 7]).save_pretrained(path / "vqvae")
    usage = {"totals": {"2": 3, "4": 1}, "chunks": {"2": [["c d", 2], ["a a", 1]], "4": [["e f", 1]]}}
    (path / "vqvae" / "usage.json").write_text(json.dumps(usage))
    return Engine(tiny_run(path=path), tiny_model("llama"), TOKENIZER)


@pytest.fixture(scope="module")
def figures(engine):
    return Codebook(engine, ROWS, engine.run.vqvae_path).figures(LatentReader(engine))


def test_how_often_and_for_which_texts(figures):
    assert (figures["size"], figures["trained_on"], figures["rows"], figures["occurrences"]) == (CODES, 4, 3, 5)
    codes = figures["codes"]
    assert [one["code"] for one in codes] == [0, 1, 2, 3, 4]
    assert [one["count"] for one in codes] == [0, 0, 3, 0, 1]
    assert codes[2]["texts"] == [("c d", 0.6667), ("a a", 0.3333)] and codes[0]["texts"] == []


def test_where_in_the_trace(figures):
    codes = figures["codes"]
    assert [one["seen"] for one in codes] == [0, 0, 2, 0, 3]
    assert codes[4]["profile"] == [2, 1]  # first in rows 1 and 2, second in row 0
    assert codes[2]["profile"] == [1, 1] and codes[0]["profile"] == []
    assert codes[4]["contexts"] == [(0, "c d", "e f", "g"), (1, "", "e f", "a a"), (2, "", "e f", "")]


def test_how_well_each_is_predicted_is_what_the_analysis_of_places_says(figures, engine):
    method, special = engine.run.method, engine.run.ids
    scored = score_chunks(engine.model, [as_latents(row, method) for row in ROWS], special.latent_ids)
    codes = [code for row in ROWS for code in row["codes"]]
    for code in (2, 4):
        own = [place for place, one in enumerate(codes) if one == code]
        right = sum(scored.right[place] for place in own)
        guess = figures["codes"][code]["guess"]
        assert (guess["right"], guess["low"], guess["high"]) == pytest.approx(wilson_interval(right, len(own)))
        shares = torch.tensor([-scored.nats[place] for place in own]).exp()
        assert guess["share"] == pytest.approx(shares.mean().item(), rel=1e-5)
        assert sum(times for _, times in guess["taken"]) == len(own) - right
        assert code not in dict(guess["taken"])
    assert "guess" not in figures["codes"][0]


def test_guesses_are_ranked_and_hold_the_token_itself(engine):
    special, chunks = engine.run.ids, [as_latents(row, engine.run.method) for row in ROWS]
    guesses = guess_tokens(engine.model, chunks, special.latent_ids, CODES, batch_size=2)
    assert [[special.code(guess.token) for guess in own] for own in guesses] == [row["codes"] for row in ROWS]
    for guess in (guess for own in guesses for guess in own):
        shares = [share for _, share in guess.likeliest]
        assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(1)
        assert dict(guess.likeliest)[guess.token] == pytest.approx(guess.share)


def test_what_codes_are_read_back_as(figures, engine):
    reader = LatentReader(engine)
    found = [reading for row in ROWS for reading in reader.read(row["codes"], row["prompt_ids"]) if reading.code == 4]
    read, texts = figures["codes"][4]["read"], [reading.text for reading in found]
    assert read["times"] == 3 and read["text"] in texts
    assert read["share"] == texts.count(read["text"]) / 3 == max(texts.count(text) for text in texts) / 3
    assert read["sure"] == pytest.approx(sum(reading.probability for reading in found) / 3)
    assert "read" not in figures["codes"][0]


def test_neighbours_are_those_of_the_codebooks_vectors(figures, engine):
    vectors = open_vqvae(engine.run.vqvae_path).quantizer.look_up(torch.arange(CODES))
    for one in figures["codes"]:
        cosines = torch.nn.functional.cosine_similarity(vectors, vectors[one["code"]][None])
        order = [code for code in cosines.argsort(descending=True).tolist() if code != one["code"]]
        assert [code for code, _ in one["neighbours"]] == order
        assert [cosine for _, cosine in one["neighbours"]] == pytest.approx(cosines[order].tolist(), abs=1e-4)


def test_nearest_by_hand():
    vectors = torch.tensor([[1.0, 0.0], [2.0, 2.0], [0.0, 3.0], [-1.0, 0.0]])
    assert nearest(vectors, 2) == {
        0: [(1, 0.7071), (2, 0.0)],
        1: [(0, 0.7071), (2, 0.7071)],
        2: [(1, 0.7071), (0, 0.0)],
        3: [(2, 0.0), (1, -0.7071)],
    }


def test_without_rows_texts_and_neighbours_are_known_and_no_more(engine):
    figures = Codebook(engine, [], engine.run.vqvae_path).figures(LatentReader(engine))
    assert figures["trained_on"] == 4 and figures["occurrences"] == 0
    assert figures["codes"][2].keys() == {"code", "count", "texts", "neighbours"}


def test_long_contexts_are_cut():
    ids = [1] * 200 + [2, 3] + [4] * 200
    before, text, after = context(ids, 200, 202, lambda part: "".join(WORDS[token] for token in part))
    assert (before, text, after) == ("…" + "a" * 140, "bc", "d" * 140 + "…")
