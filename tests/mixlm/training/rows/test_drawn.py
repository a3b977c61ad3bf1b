from collections import Counter

import pytest

from mixlm.methods import build_method
from mixlm.training.rows.drawn import Mix, drawn_mix, tell_mix
from mixlm.training.rows.mixed_dataset import MixedDataset
from tests.coded_rows import fixed
from tests.mixlm.methods.hand import BO, ROW, SPECIAL
from tests.mixlm.training.rows.test_mixed_dataset import ROWS


def data(method: str, rows: list[dict], **options: object) -> MixedDataset:
    return MixedDataset(rows, build_method(method, options).bind(SPECIAL, fixed(2)), 1)


NOTHING = {**ROW, "trace_ids": [11], "codes": [], "code_ends": []}


@pytest.mark.parametrize(
    ("weights", "mix"),
    [("1,0,0", (1, 0, 0, 0)), ("0,1,0", (0, 1, 0, 3)), ("0,0,1", (0, 0, 1, 1.5))],
)
def test_shares_by_hand(weights: str, mix: tuple[float, ...]) -> None:
    """Of three codes nothing, all, or one or two are latent, one as often as two."""
    found = drawn_mix(data("assorted", [ROW] * 200, weights=weights))
    assert found[:4] == (2000, *mix[:3]) and abs(found.latents - mix[3]) < (0.05 if mix[3] == 1.5 else 1e-9)


def test_few_rows_are_drawn_often_and_the_first_epoch_comes_next() -> None:
    mixed = data("assorted", [ROW] * 3)
    found = drawn_mix(mixed)
    assert found.samples == 1998 and mixed.epoch == 0
    shares = (found.text, found.whole, found.between)
    assert all(abs(share - wanted) < 0.05 for share, wanted in zip(shares, (0.25, 0.5, 0.25), strict=True))


def test_a_trace_without_codes_is_text_whatever_is_drawn() -> None:
    assert drawn_mix(data("assorted-all", [ROW, NOTHING])) == Mix(2000, 0.5, 0.5, 0.0, 1.5)


def test_what_a_schedule_begins_with_is_told_though_its_stages_are_shorter_than_an_epoch() -> None:
    mixed = data("assorted-curriculum", [ROW] * 200, stages=4, epochs_per_stage=0.1)
    assert drawn_mix(mixed)[1:] == (1, 0, 0, 0)
    assert [mixed.progress(int(index)).step for index in mixed.order()[:3]] == [0, 1, 2]  # the first epoch comes next


def test_shares_are_those_of_the_sequences_that_are_trained(monkeypatch) -> None:
    monkeypatch.setattr("mixlm.training.rows.drawn.MOST_DRAWN", 46)
    mixed, latents, spans = data("assorted", ROWS, mix="uniform"), Counter(), 0
    found = drawn_mix(mixed)
    for epoch in range(2):
        mixed.set_epoch(epoch)
        ids = [mixed[index]["input_ids"] for index in range(23)]
        latents.update(sum(102 <= token < 110 for token in one) for one in ids)
        spans += sum(BO in one for one in ids)
    assert (found.text, found.whole) == (latents[0] / 46, latents[8] / 46) and 0 < latents[0] + latents[8] < 46
    assert found.latents == sum(number * times for number, times in latents.items()) / 46
    assert spans / 46 == pytest.approx(found.whole + found.between)


@pytest.mark.parametrize("method", ["cot", "drop-prefix"])
def test_a_method_without_latents_of_codes_has_no_mix(method: str) -> None:
    said: list[str] = []
    tell_mix(data(method, [ROW]), said.append)
    assert drawn_mix(data(method, [ROW])) is None and said == []


def test_what_is_said() -> None:
    said: list[str] = []
    tell_mix(data("assorted-all", [ROW, NOTHING]), said.append)
    tell_mix(data("assorted-curriculum", [ROW, NOTHING], epochs_per_stage=1.0), said.append)
    assert said == [
        "mix: 50% of the samples all text, 50% all latent, 0% in between; 1.5 latents a sample (2,000 draws)",
        "mix: at first 100% of the samples all text, 0% all latent, 0% in between; 0.0 latents a sample (2 draws)",
    ]
