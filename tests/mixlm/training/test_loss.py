import math

import pytest
import torch
from transformers import AutoModelForCausalLM, CohereConfig, Gemma2Config, GPT2Config, LlamaConfig

from mixlm.model.forward import logits_at, scored_places
from mixlm.model.special_tokens import SpecialIds
from mixlm.training.loss import MixedLoss


SPECIAL = SpecialIds(eos=0, bo_latent=2, eo_latent=3, first_latent=4, codebook_size=2)


def logits_with(probabilities: list[dict[int, float]]) -> torch.Tensor:
    """Logits (length, 6) that give the named tokens their probability and spread the rest evenly."""
    rows = []
    for given in probabilities:
        rest = (1 - sum(given.values())) / (6 - len(given))
        rows.append([math.log(given.get(token, rest)) for token in range(6)])
    return torch.tensor(rows)


def test_parts_by_hand() -> None:
    """Labels: ignored, <boLatent>, latent 0, <eoLatent>, end. Delimiters count as text."""
    labels = torch.tensor([[-100, 2, 4, 3, 0]])
    logits = logits_with([{2: 0.5}, {4: 0.25, 5: 0.5}, {3: 0.5}, {0: 0.8}])
    loss = MixedLoss(SPECIAL)
    nlls = [-math.log(p) for p in (0.5, 0.25, 0.5, 0.8)]
    assert loss(logits, labels, training=True).item() == pytest.approx(sum(nlls) / 4, rel=1e-5)
    figures = loss.sums[True].figures()
    assert figures["latent_loss"] == pytest.approx(nlls[1], rel=1e-5)
    assert figures["latent_accuracy"] == 0.0
    assert figures["text_loss"] == pytest.approx((nlls[0] + nlls[2] + nlls[3]) / 3, rel=1e-5)
    assert loss.sums[True].figures() == {} and loss.sums[False].figures() == {}


def test_top_1_of_latents() -> None:
    labels = torch.tensor([[-100, 4, 5]])
    loss = MixedLoss(SPECIAL)
    loss(logits_with([{4: 0.9}, {4: 0.9}]), labels, training=False)
    assert loss.sums[False].figures()["latent_accuracy"] == 0.5


def test_the_end_of_a_span_does_not_compete_with_latents() -> None:
    """Where it comes is drawn at random: only which latent, given that one comes, can be right or wrong."""
    loss = MixedLoss(SPECIAL)
    loss(logits_with([{3: 0.5, 4: 0.3, 5: 0.1}]), torch.tensor([[-100, 4]]), training=True)
    assert loss.sums[True].figures()["latent_accuracy"] == 1.0


def test_the_count_of_the_whole_step_divides() -> None:
    labels = torch.tensor([[-100, 2, 4, 3, 0]])
    logits = torch.randn(4, 6)
    loss = MixedLoss(SPECIAL)
    assert loss(logits, labels, True, count=8).item() == pytest.approx(loss(logits, labels, True).item() / 2, rel=1e-5)


def test_a_batch_without_labels_has_loss_zero() -> None:
    loss = MixedLoss(SPECIAL)(torch.randn(0, 6), torch.full((2, 4), -100), training=True)
    assert loss.item() == 0.0


def test_places_scored_are_those_before_labels() -> None:
    labels = torch.tensor([[7, -100, 2, 4, -100], [-100, -100, -100, -100, 3]])
    assert scored_places(labels).int().tolist() == [[0, 1, 1, 0, 0], [0, 0, 0, 1, 0]]


SMALL = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "pad_token_id": 0}
CONFIGS = {
    "llama": LlamaConfig(**SMALL, intermediate_size=8),
    "gpt2": GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2, n_positions=16),
    "gemma2, which caps its logits": Gemma2Config(
        **SMALL, intermediate_size=8, num_key_value_heads=1, head_dim=4, final_logit_softcapping=0.1
    ),
    "cohere, which scales them": CohereConfig(**SMALL, intermediate_size=8, logit_scale=0.25),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_at_places_are_those_of_the_whole_batch_and_so_are_their_gradients(name: str) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[name]).eval()
    ids, places = torch.randint(1, 20, (3, 7)), torch.rand(3, 7) > 0.5
    weights = torch.randn(int(places.sum()), 20)

    def gradients(logits: torch.Tensor) -> list[torch.Tensor]:
        return torch.autograd.grad((logits * weights).sum(), list(model.parameters()), allow_unused=True)

    with logits_at(model, places):
        chosen = model(ids).logits
    whole = model(ids).logits
    assert whole.shape == (3, 7, 20)  # the model is as it was
    torch.testing.assert_close(chosen[0], whole[places])
    for ours, theirs in zip(gradients(chosen[0]), gradients(whole[places]), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_model_that_fails_is_as_it_was() -> None:
    model = AutoModelForCausalLM.from_config(CONFIGS["llama"])
    with pytest.raises(ZeroDivisionError), logits_at(model, torch.zeros(1, 2, dtype=torch.bool)):
        _ = 1 / 0
    assert model(torch.tensor([[1, 2]])).logits.shape == (1, 2, 20)
