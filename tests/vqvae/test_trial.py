import pytest
import torch

from vqvae.trial import Trial, TrialOver, peak_memory


def run(trial: Trial, total: int, start: int = 0) -> int:
    """Do work of so many steps; return after which it ended."""
    for done in range(start + 1, total + 1):
        try:
            trial(done, total)
        except TrialOver:
            return done
    raise AssertionError("it went on to the end")


@pytest.mark.parametrize(("total", "ended"), [(100, 4), (4, 4), (3, 3), (1, 1)])
def test_it_ends_after_the_steps_that_are_measured_or_all(total: int, ended: int) -> None:
    trial = Trial(steps=3, clock=iter(range(0, 1000, 7)).__next__)
    assert run(trial, total) == ended and trial.total == total
    assert trial.each == (None if total == 1 else 7)


def test_the_first_step_which_sets_up_is_not_measured() -> None:
    trial = Trial(steps=2, clock=iter([100.0, 101.0, 105.0]).__next__)
    assert run(trial, 9) == 3 and trial.each == 2.5


def test_long_steps_are_measured_once() -> None:
    trial = Trial(steps=5, seconds=30, clock=iter([0.0, 60.0]).__next__)
    assert run(trial, 9) == 2 and trial.each == 60


def test_work_that_goes_on_from_somewhere_counts_its_own_steps() -> None:
    trial = Trial(steps=2, clock=iter([0.0, 1.0, 3.0]).__next__)
    assert run(trial, 100, start=50) == 53 and trial.each == 1.5


def test_work_that_did_not_begin_has_no_steps() -> None:
    assert (Trial().total, Trial().each) == (0, None)


def test_memory_is_what_was_held_at_most() -> None:
    before = peak_memory(torch)
    held = torch.ones(1 << 26)  # 256 MiB, all of it written
    grown = peak_memory(torch)
    del held
    assert grown >= 256 * 2**20 and peak_memory(torch) >= grown >= before


def test_it_tells_how_many_of_the_measured_steps_are_made() -> None:
    told = []
    trial = Trial(steps=3, advance=lambda done, total: told.append((done, total)))
    run(trial, 100)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_begun_anew_it_forgets_what_it_has_measured() -> None:
    trial = Trial(steps=1, clock=iter([0.0, 9.0, 100.0, 102.0]).__next__)
    run(trial, 9)
    trial.begin()
    assert run(trial, 9) == 2 and trial.each == 2
