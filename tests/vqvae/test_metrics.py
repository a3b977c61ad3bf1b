import math
from collections.abc import Callable, Iterator
from unittest.mock import Mock

import pytest
import torch

from tests.vqvae_rows import IDS, codes_of, random_reader, random_rows, random_vqvae
from vqvae import evaluate_vqvae
from vqvae.errors import InputError
from vqvae.metrics import perplexity
from vqvae.model.coder import ChunkCoder


def test_perplexity_counts_codes_in_even_use() -> None:
    assert perplexity(torch.tensor([4, 4, 4, 4])) == pytest.approx(4)
    assert perplexity(torch.tensor([9, 0, 0])) == pytest.approx(1)
    assert perplexity(torch.tensor([3, 1])) == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)))


def test_figures_by_hand() -> None:
    """Row by row, with the model's own public functions; only traces count."""
    model, rows = random_vqvae(), random_rows(9)
    report = evaluate_vqvae(model, rows, batch_size=4)
    tokens, right, nats, exact, chunks, used = [], 0, 0.0, 0, 0, []
    for row in rows:
        trace = row["trace_ids"][: len(row["trace_ids"]) // 4 * 4]
        codes = codes_of(model, [trace])[0]
        prompt = torch.tensor([row["prompt_ids"][-8:]])
        logits = model.decode_logits(torch.tensor([codes]), prompt)[0]
        guesses = model.decode(torch.tensor([codes]), prompt)[0].tolist()
        places = model.vocabulary.compact(torch.tensor(trace))
        nats -= float(logits.log_softmax(-1)[torch.arange(len(trace)), places].sum())
        hits = [guess == token for guess, token in zip(guesses, trace, strict=True)]
        right += sum(hits)
        exact += sum(all(hits[i : i + 4]) for i in range(0, len(trace), 4))
        chunks += len(trace) // 4
        tokens += trace
        used += codes
    counts = torch.bincount(torch.tensor(used), minlength=8)
    assert (report["chunks"], report["tokens"]) == (chunks, len(tokens))
    assert report["codes_used"] == int((counts > 0).sum()) and report["used"] == report["codes_used"] / 8
    assert report["perplexity"] == pytest.approx(perplexity(counts))
    assert report["ce_right"] == pytest.approx(nats / len(tokens), rel=1e-4)
    assert report["token_accuracy"] == pytest.approx(right / len(tokens))
    assert report["exact_chunks"] == pytest.approx(exact / chunks)
    assert report["unigram_accuracy"] == pytest.approx(max(tokens.count(token) for token in IDS) / len(tokens))
    shares = [tokens.count(token) / len(tokens) for token in set(tokens)]
    assert report["ce_unigram"] == pytest.approx(-sum(share * math.log(share) for share in shares))
    assert report["code_gap"] == pytest.approx(min(report["ce_none"], report["ce_unigram"]) - report["ce_right"])
    assert report["unknown_share"] == 0


def test_the_random_code_is_drawn_by_the_seed() -> None:
    """Two traces in one batch, by hand: their codes are the first draws, uniform over the codebook."""
    model, rows = random_vqvae(), random_rows(2)
    nats, tokens, generator = 0.0, 0, torch.Generator().manual_seed(5)
    counts = [len(row["trace_ids"]) // 4 for row in rows]
    codes = torch.randint(8, (sum(counts), 2), generator=generator).split(counts)
    for row, drawn in zip(rows, codes, strict=True):
        logits = model.decode_logits(drawn.reshape(1, -1), torch.tensor([row["prompt_ids"][-8:]]))[0]
        places = model.vocabulary.compact(torch.tensor(row["trace_ids"][: len(logits)]))
        nats -= float(logits.log_softmax(-1)[torch.arange(len(places)), places].sum())
        tokens += len(places)
    report = evaluate_vqvae(model, rows, seed=5)
    assert report["ce_random"] == pytest.approx(nats / tokens, rel=1e-4)
    assert report["ce_random"] != evaluate_vqvae(model, rows, seed=6)["ce_random"]


def test_unknown_tokens_are_counted() -> None:
    row = {"prompt_ids": [3], "trace_ids": [3, 4, 5, 6], "solution_ids": [3]}
    assert evaluate_vqvae(random_vqvae(), [row])["unknown_share"] == 0.5


def test_the_end_of_a_short_step_is_no_token_that_could_be_unknown() -> None:
    """Five steps of three tokens, of which two are unknown each, then one with none."""
    row = {"prompt_ids": [3], "trace_ids": [3, 4, 6] * 5 + [3], "step_lengths": [3] * 5 + [1], "solution_ids": [3]}
    assert evaluate_vqvae(random_reader(), [row])["unknown_share"] == 10 / 16


@pytest.mark.parametrize("make", [random_vqvae, random_reader])
def test_one_long_trace_is_measured_some_chunks_at_a_time(
    make: Callable[[], ChunkCoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, row = make(), {"prompt_ids": IDS[:3], "trace_ids": IDS * 5, "step_lengths": [4] * 10, "solution_ids": [3]}
    whole, written = evaluate_vqvae(model, [row]), []
    own_logits = model.own_logits

    def told(*given: object) -> Iterator[torch.Tensor]:
        for logits in own_logits(*given):
            written.append(len(logits))
            yield logits

    monkeypatch.setattr(model, "own_logits", told)
    monkeypatch.setattr("vqvae.model.chunks.CHUNKS", 3)
    assert evaluate_vqvae(model, [row]) == pytest.approx(whole, rel=1e-5)
    assert written == [3, 3, 3, 1] * 3


def test_without_code_dropout_nothing_is_said_of_no_code() -> None:
    report = evaluate_vqvae(random_vqvae(code_dropout=0.0), random_rows(3))
    assert report["ce_none"] is report["code_gap"] is report["no_code_accuracy"] is None


def test_evaluation_changes_nothing() -> None:
    model = random_vqvae().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = evaluate_vqvae(model, random_rows(5))
    assert model.training and evaluate_vqvae(model, random_rows(5)) == first
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_failure_in_the_middle_leaves_the_mode_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row without a prompt fails in evaluation; encoding fails on a device that is out of memory."""
    rows = [{"trace_ids": IDS, "solution_ids": [3]}]
    for training in (True, False):
        model = random_vqvae().train(training)
        with pytest.raises(KeyError):
            evaluate_vqvae(model, rows)
        with monkeypatch.context() as patch, pytest.raises(RuntimeError):
            patch.setattr(model.quantizer, "nearest", Mock(side_effect=RuntimeError))
            codes_of(model, [IDS])
        assert all(module.training is training for module in model.modules()) and torch.is_grad_enabled()


def test_traces_without_a_whole_chunk_are_said() -> None:
    with pytest.raises(InputError, match="no held-out trace has a whole chunk of 4 tokens"):
        evaluate_vqvae(random_vqvae(), [{"prompt_ids": [3], "trace_ids": [3], "solution_ids": [3]}])
