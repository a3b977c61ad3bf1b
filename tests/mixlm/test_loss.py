import math

import pytest
import torch

from mixlm.loss import MixedLoss
from mixlm.tokens import SpecialIds


SPECIAL = SpecialIds(eos=0, bo_latent=2, eo_latent=3, first_latent=4, codebook_size=2)


def logits_with(probabilities: list[dict[int, float]]) -> torch.Tensor:
    """Logits (1, length, 6) that give the named tokens their probability and spread the rest evenly."""
    rows = []
    for given in probabilities:
        rest = (1 - sum(given.values())) / (6 - len(given))
        rows.append([math.log(given.get(token, rest)) for token in range(6)])
    return torch.tensor([rows])


def test_parts_by_hand() -> None:
    """Labels: ignored, <boLatent>, latent 0, <eoLatent>, end. Delimiters count as text."""
    labels = torch.tensor([[-100, 2, 4, 3, 0]])
    logits = logits_with([{2: 0.5}, {4: 0.25, 5: 0.5}, {3: 0.5}, {0: 0.8}, {1: 0.9}])
    loss = MixedLoss(SPECIAL)
    nlls = [-math.log(p) for p in (0.5, 0.25, 0.5, 0.8)]
    assert loss(logits, labels, training=True).item() == pytest.approx(sum(nlls) / 4, rel=1e-5)
    report = loss.sums[True].report()
    assert report["latent_loss"] == pytest.approx(nlls[1], rel=1e-5)
    assert report["latent_accuracy"] == 0.0
    assert report["text_loss"] == pytest.approx((nlls[0] + nlls[2] + nlls[3]) / 3, rel=1e-5)
    assert loss.sums[True].report() == {} and loss.sums[False].report() == {}


def test_top_1_of_latents() -> None:
    labels = torch.tensor([[-100, 4, 5]])
    loss = MixedLoss(SPECIAL)
    loss(logits_with([{4: 0.9}, {4: 0.9}, {0: 0.5}]), labels, training=False)
    assert loss.sums[False].report()["latent_accuracy"] == 0.5


def test_the_count_of_the_whole_step_divides() -> None:
    labels = torch.tensor([[-100, 2, 4, 3, 0]])
    logits = torch.randn(1, 5, 6)
    loss = MixedLoss(SPECIAL)
    assert loss(logits, labels, True, count=8).item() == pytest.approx(loss(logits, labels, True).item() / 2, rel=1e-5)


def test_a_batch_without_labels_has_loss_zero() -> None:
    loss = MixedLoss(SPECIAL)(torch.randn(2, 4, 6), torch.full((2, 4), -100), training=True)
    assert loss.item() == 0.0
