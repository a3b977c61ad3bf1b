import pytest
import torch

from tests.vqvae_rows import IDS, random_reader, random_step_rows
from vqvae import InputError, PredictiveVQVAE, ProbeTraining, probe_codes
from vqvae.model.context import Context
from vqvae.training.probe import BATCH, RATE, Coded, Probe, one_cycle


def told_rows(count: int, seed: int, told: bool) -> list[dict]:
    """Rows of two steps of two tokens, the second the first again; the prompt names them, or is always the same."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(IDS), (count,), generator=generator).tolist()
    rows = []
    for kind in drawn:
        step = [IDS[kind], IDS[(kind + 3) % len(IDS)]]
        prompt = [IDS[kind] if told else IDS[0]]
        rows.append({"prompt_ids": prompt, "trace_ids": step * 2, "step_lengths": [2, 2], "solution_ids": [IDS[0]]})
    return rows


@pytest.fixture(scope="module")
def telling() -> PredictiveVQVAE:
    """A model whose eight codes tell the eight kinds of step apart: the codebook is what it encodes them as."""
    model = random_reader(hidden_size=32)
    rows = [{**row, "step_lengths": [2]} for row in told_rows(200, 0, told=True)]
    batch = model.collate([{**row, "trace_ids": row["trace_ids"][:2]} for row in rows], model.config)
    with torch.no_grad():
        vectors = model.chunks(batch["input_ids"], batch["places"]).vectors[:, 0]
        model.quantizer.vq._codebook.embed[0] = torch.unique(vectors, dim=0)
    return model


def test_codes_that_the_prompt_decides_are_foretold(telling: PredictiveVQVAE) -> None:
    figures = probe_codes(telling, told_rows(300, 0, told=True), told_rows(60, 1, told=True), ProbeTraining(120))
    assert figures["prior_top1"] > 0.9 and figures["prior_nats"] < 0.5 < figures["prior_blind"]


def test_what_only_codes_tell_is_predicted_with_them_alone(telling: PredictiveVQVAE) -> None:
    """The prompt tells nothing: the next step follows from the right code, not from none and not from a random one."""
    figures = probe_codes(telling, told_rows(300, 0, told=False), told_rows(60, 1, told=False), ProbeTraining(250))
    assert figures["next_with"] < figures["next_without"] - 0.5
    assert figures["next_with"] < figures["next_random"] - 0.5


def test_codes_of_random_texts_carry_nothing() -> None:
    """Each step is drawn by itself, so no code tells anything of the next."""
    rows = random_step_rows(400)
    figures = probe_codes(random_reader(), rows[:300], rows[300:], ProbeTraining(60))
    assert abs(figures["next_with"] - figures["next_without"]) < 0.3


def test_probing_is_repeatable_and_touches_neither_the_model_nor_the_random_numbers(telling: PredictiveVQVAE) -> None:
    rows = random_step_rows(20)
    before = {name: value.clone() for name, value in telling.state_dict().items()}
    state = torch.random.get_rng_state()
    one, other = (probe_codes(telling, rows, rows[:5], ProbeTraining(4, 3)) for _ in range(2))
    assert one == other
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in telling.state_dict().items())
    assert all(parameter.grad is None for parameter in telling.parameters())


def test_figures_do_not_depend_on_how_rows_are_batched(
    telling: PredictiveVQVAE, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, rows = told_rows(60, 0, told=True), told_rows(20, 1, told=True)
    whole = probe_codes(telling, train, rows, ProbeTraining(4))
    monkeypatch.setattr("vqvae.model.chunks.CHUNKS", 3)
    parts = probe_codes(telling, train, rows, ProbeTraining(4))
    assert {**parts, "next_random": 0} == pytest.approx({**whole, "next_random": 0}, rel=1e-4)


def test_what_one_long_trace_carries_is_measured_some_codes_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model, train = random_reader(), random_step_rows(20)
    long = {"prompt_ids": IDS[:3], "trace_ids": IDS * 5, "step_lengths": [4] * 10, "solution_ids": [5, 8]}
    whole = probe_codes(model, train, [long], ProbeTraining(4))
    monkeypatch.setattr("vqvae.model.chunks.CHUNKS", 3)
    assert probe_codes(model, train, [long], ProbeTraining(4)) == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize(("rows", "steps", "told"), [(0, 4, "no rows"), (3, 0, "give a number from 1 up")])
def test_a_probe_without_a_row_or_a_step_is_refused(rows: int, steps: int, told: str) -> None:
    with pytest.raises(InputError, match=told):
        probe_codes(random_reader(), random_step_rows(rows), random_step_rows(3), ProbeTraining(steps))


def test_training_predicts_from_some_of_many_codes_and_measuring_from_all(
    telling: PredictiveVQVAE, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two codes a row, one of which training draws: half as many texts go on from it."""
    asked, losses = [], Probe.losses

    def told(probe: Probe, context: Context, coded: Coded, chosen: torch.Tensor | None = None) -> list:
        asked.append(len(coded.codes) if chosen is None else int(chosen.sum()))
        return losses(probe, context, coded, chosen)

    monkeypatch.setattr("vqvae.training.probe.MOST_PREDICTED", 1)
    monkeypatch.setattr(Probe, "losses", told)
    probe_codes(telling, told_rows(60, 0, told=True), told_rows(5, 1, told=True), ProbeTraining(2))
    assert asked == [BATCH, BATCH, 10, 10, 10]


@pytest.mark.parametrize("steps", range(1, 60))
def test_a_probe_of_any_length_has_a_schedule(steps: int) -> None:
    """It is nowhere above the peak."""
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=RATE)
    schedule, rates = one_cycle(optimizer, steps), []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert max(rates) <= RATE * 1.0001 and len(rates) == steps
