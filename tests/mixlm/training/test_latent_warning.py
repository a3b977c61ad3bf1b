import pytest
from transformers import TrainerState

from mixlm.training.latent_warning import LatentWarning


def said(ceiling: float | None, *evaluations: tuple[int, float | None]) -> list[str]:
    """What is said in a training of 100 steps, given the latent accuracy of evaluations at some of them."""
    lines: list[str] = []
    warning = LatentWarning(ceiling, lines.append)
    for step, right in evaluations:
        logs = {"eval_loss": 1.0} if right is None else {"eval_loss": 1.0, "eval_latent_accuracy": right}
        warning.on_log(None, TrainerState(global_step=step, max_steps=100), None, logs=logs)
    return lines


@pytest.mark.parametrize(
    ("ceiling", "evaluations"),
    [
        (0.6, [(5, 0.0), (10, 0.3)]),  # too early to tell; half of what can be had
        (0.6, [(10, 0.4), (20, 0.1)]),  # looked at once
        (0.6, [(10, None)]),
        (0.6, []),
        (None, [(10, 0.0)]),  # data of before does not tell the ceiling
    ],
)
def test_nothing_is_said(ceiling: float | None, evaluations: list) -> None:
    assert said(ceiling, *evaluations) == []


def test_latents_that_are_not_learned_are_told_once_with_what_to_try() -> None:
    (line,) = said(0.6, (5, 0.0), (9, None), (12, 0.29), (24, 0.1))
    assert "at step 12 of 100" in line and "29.0%" in line and "60.0%" in line and "\n" not in line
    for remedy in ("--objective and --align", "more --steps", "--new-token-lr", "fewer codes"):
        assert remedy in line


def test_a_warning_is_taken_back_once_the_latents_are_learned() -> None:
    lines = said(0.6, (10, 0.1), (20, 0.1), (30, 0.4), (40, 0.1), (50, 0.5))
    assert len(lines) == 2 and lines[1] == "at step 30 the latents are being learned: 40.0% are right"


def test_a_training_that_goes_on_knows_what_was_said() -> None:
    lines: list[str] = []
    before = [{"step": 5, "loss": 1.0}, {"step": 10, "eval_latent_accuracy": 0.1}]
    for later, said_then in (([], 1), ([{"step": 20, "eval_latent_accuracy": 0.5}], 0)):
        lines.clear()
        warning = LatentWarning(0.6, lines.append)
        warning.on_train_begin(None, TrainerState(max_steps=100, log_history=[*before, *later]), None)
        assert lines == []
        now = TrainerState(global_step=30, max_steps=100)
        for right in (0.2, 0.4):
            warning.on_log(None, now, None, logs={"eval_latent_accuracy": right})
        assert lines == ["at step 30 the latents are being learned: 40.0% are right"] * said_then
