import pytest
import torch
from torch.nn import functional as F

from tests.vqvae_rows import counting_rows, random_rows, random_vqvae, tiny_config
from vqvae import VQVAETrainingOptions, evaluate_vqvae, train_vqvae
from vqvae.model.chunks import collate
from vqvae.model.sampled_softmax import sampled_cross_entropy


ROWS = 40


@pytest.fixture
def head():
    torch.manual_seed(0)
    hidden, weight, bias = torch.randn(6, 5), torch.randn(ROWS, 5), torch.randn(ROWS)
    return hidden.requires_grad_(), weight.requires_grad_(), bias.requires_grad_()


TARGETS = torch.tensor([3, 39, 3, 0, 17, 17])


def test_with_room_for_every_row_it_is_the_cross_entropy_itself(head):
    """Four of 40 rows are targets, so 36 samples are all others."""
    hidden, weight, bias = head
    full = F.cross_entropy(F.linear(hidden, weight, bias), TARGETS)
    sampled = sampled_cross_entropy(hidden, weight, bias, TARGETS, 36)
    torch.testing.assert_close(sampled, full)
    for one, other in zip(torch.autograd.grad(sampled, head), torch.autograd.grad(full, head), strict=True):
        torch.testing.assert_close(one, other)


def test_the_sum_in_the_softmax_is_right_on_average(head):
    hidden, weight, bias = (tensor.detach()[:1] if tensor is head[0] else tensor.detach() for tensor in head)
    logits = F.linear(hidden, weight, bias)[0]
    target = TARGETS[:1]
    sums = [(sampled_cross_entropy(hidden, weight, bias, target, 6) + logits[3]).exp() for _ in range(4000)]
    torch.testing.assert_close(torch.stack(sums).mean(), logits.exp().sum(), rtol=0.05, atol=0)


def test_only_rows_of_the_batch_and_those_drawn_learn(head):
    (gradient,) = torch.autograd.grad(sampled_cross_entropy(*head, TARGETS, 6), head[1])
    touched = set(gradient.abs().sum(1).nonzero()[:, 0].tolist())
    assert set(TARGETS.tolist()) <= touched and len(touched) <= 4 + 6


@pytest.mark.parametrize(("samples", "sampled"), [(1, True), (3, False), (0, False)])
def test_training_samples_a_vocabulary_four_times_as_large(samples, sampled):
    """The tiny model has 9 rows: more than 4 x 1, not more than 4 x 3."""
    model, batch = random_vqvae(softmax_samples=samples), collate(random_rows(4), tiny_config())
    assert model.config.samples_softmax is sampled
    torch.testing.assert_close(model(**batch).loss, random_vqvae(softmax_samples=0)(**batch).loss)
    assert (model.train()(**batch).logits is None) is sampled


def test_a_model_learns_from_samples(tmp_path):
    """Rows of 11 tokens, of which 2 stand for all that are in no batch; figures count all of them."""
    rows = counting_rows(400)
    config = tiny_config(
        codebook_size=100,
        code_dim=16,
        hidden_size=32,
        compression_rate=4,
        vocab_size=11,
        compact_size=0,
        kmeans=True,
        warmup_steps=60,
        softmax_samples=2,
    )
    model = train_vqvae(rows, config, tmp_path, VQVAETrainingOptions(steps=300, batch_size=32, learning_rate=5e-3))
    figures = evaluate_vqvae(model, rows[:100])
    assert figures["token_accuracy"] > 0.8 and figures["token_accuracy"] > figures["unigram_accuracy"] + 0.5
