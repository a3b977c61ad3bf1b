import signal
from pathlib import Path

import pytest
import torch

from tests.vqvae_rows import random_reader, random_step_rows
from vqvae import probe_codes
from vqvae.options import SaveEvery
from vqvae.stopping import Stop, Stopped
from vqvae.training.kept_loop import KeptLoop, digest_of
from vqvae.training.probe import ProbeTraining


class Cut(Exception):
    """A power cut."""


def cut_at(step: int):
    def advance(done: int, total: int, figures: dict) -> None:
        if done == step:
            raise Cut

    return advance


def test_a_probe_that_is_killed_goes_on_and_tells_the_same(tmp_path: Path) -> None:
    """Nearly no time may be lost here, so it is kept after its first step at the latest."""
    model, rows = random_reader(), random_step_rows(40)
    training = ProbeTraining(6, kept=tmp_path / "deep" / "probe.pt", pace=SaveEvery(seconds=1e-9))
    whole = probe_codes(model, rows[:30], rows[30:], ProbeTraining(6))
    with pytest.raises(Cut):
        probe_codes(model, rows[:30], rows[30:], training, cut_at(4))
    steps: list[int] = []
    again = probe_codes(model, rows[:30], rows[30:], training, lambda done, *rest: steps.append(done))
    assert steps == [*range(steps[0], 7)] and 2 <= steps[0] <= 4 and again == whole
    training.kept.write_bytes(training.kept.read_bytes()[:200])
    assert probe_codes(model, rows[:30], rows[30:], training) == whole  # a damaged state is none


def test_a_loop_that_is_asked_to_end_keeps_its_step_and_its_random_numbers(tmp_path: Path) -> None:
    stop, parts = Stop(), {"part": torch.nn.Linear(2, 2)}
    loop = KeptLoop(tmp_path / "loop.pt", parts, SaveEvery(), stop)
    assert loop.begin() == 0
    loop.after(1)
    assert not list(tmp_path.iterdir())
    stop.signum = signal.SIGTERM
    with pytest.raises(Stopped, match="kept after step 2; the same command goes on") as ended:
        loop.after(2)
    assert ended.value.status == 143
    drawn, weight = torch.rand(3), parts["part"].weight.clone()
    torch.nn.init.zeros_(parts["part"].weight)
    assert KeptLoop(tmp_path / "loop.pt", parts, SaveEvery(), Stop()).begin() == 2
    assert torch.equal(parts["part"].weight, weight) and torch.equal(torch.rand(3), drawn)


def test_a_probe_of_other_codes_is_not_gone_on_with(tmp_path: Path) -> None:
    rows, training = random_step_rows(40), ProbeTraining(6, kept=tmp_path / "probe.pt", pace=SaveEvery(seconds=1e-9))
    with pytest.raises(Cut):
        probe_codes(random_reader(), rows[:30], rows[30:], training, cut_at(4))
    other = random_reader(codebook_size=5)
    assert probe_codes(other, rows[:30], rows[30:], training) == probe_codes(
        other, rows[:30], rows[30:], ProbeTraining(6)
    )


def test_a_digest_tells_weights_and_their_forms_apart() -> None:
    one, other = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    other.load_state_dict(one.state_dict())
    assert digest_of(one) == digest_of(other) != digest_of(torch.nn.Linear(3, 2))
    with torch.no_grad():
        other.bias[2] += 1
    assert digest_of(one) != digest_of(other)
