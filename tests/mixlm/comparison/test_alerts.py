"""What is stored as an alert with the result of a cell."""

import math

import pytest

from mixlm.comparison.alerts import alerts_of, last_latents_right


CODES = {
    **{"codebook_size": 64, "codes_used": 60, "perplexity": 40.0, "prior_top1": 0.6},
    **{"next_with": 2.0, "next_without": 5.0, "solution_with": 1.0, "solution_without": 2.0},
}
FINE = {"modes": {"free": {"cut_off": 0.0}}, "loss": {"m=0": {"loss": 0.5}}, "stage1": CODES, "latents_right": 0.5}


def alerts(**changed):
    return alerts_of(**FINE | changed)


def test_a_run_in_which_nothing_went_wrong_has_none():
    assert alerts() == [] and alerts(stage1=None, latents_right=None) == []


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number(loss):
    assert alerts(loss={"m=0": {"loss": 1.0}, "m=all": {"loss": loss}}) == ["loss m=all is not a number"]


def test_a_codebook_of_one_code_collapsed_whatever_else_it_does():
    (alert,) = alerts(stage1=CODES | {"perplexity": 1.2, "codes_used": 3, "next_with": 5.0, "solution_with": 2.0})
    assert alert.startswith("codebook collapsed: 3 of 64 codes in use, perplexity 1.2; try")


def test_codes_of_which_nothing_follows():
    (alert,) = alerts(stage1=CODES | {"next_with": 4.95, "solution_with": 1.98})
    assert alert.startswith("codes carry 0.07 nats for what follows")
    before = {name: value for name, value in CODES.items() if "with" not in name}  # measured by an earlier version
    assert alerts(stage1=before) == []


@pytest.mark.parametrize(("right", "told"), [(0.29, True), (0.31, False), (None, False)])
def test_latents_are_learned_from_half_of_what_can_be_foretold(right, told):
    found = alerts(latents_right=right)
    assert [alert.split(":")[0] for alert in found] == ["latents not learned"] * told
    if told:
        assert "right for 29.0%, and 60.0% of codes can be foretold" in found[0]


def test_answers_that_are_cut_off_are_told_by_their_mode():
    modes = {"free": {"cut_off": 0.02}, "exact:50%": {"cut_off": 0.25}, "text": {}}
    (alert,) = alerts(modes=modes)
    assert alert.startswith("answers were cut off (25.0% exact:50%);")


def test_held_out_latents_go_before_those_of_training_and_the_last_before_the_first():
    curve = [{"step": 1, "latent_accuracy": 0.1}, {"step": 2, "latent_accuracy": 0.2}, {"step": 2, "loss": 1.0}]
    assert last_latents_right(curve) == 0.2
    held_out = [{"step": 1, "eval_latent_accuracy": 0.05}, {"step": 2, "eval_latent_accuracy": 0.07}]
    assert last_latents_right([*held_out, *curve]) == 0.07
    assert last_latents_right([]) is None
