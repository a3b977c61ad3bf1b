from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.vqvae_rows import random_reader, random_step_rows, tiny_config
from vqvae import InputError, PredictiveVQVAE, Reader, merge_codes
from vqvae.training.merge import _enough_rows


ROWS = random_step_rows(30)


def with_twins(model: PredictiveVQVAE) -> PredictiveVQVAE:
    """Make code 2k + 1 nearly the vector of code 2k: 4 kinds of behaviour in 8 codes."""
    embed = model.quantizer.vq._codebook.embed
    with torch.no_grad():
        embed[:, 1::2] = embed[:, ::2] + 1e-4
    return model


def codes_of_rows(model: PredictiveVQVAE) -> np.ndarray:
    lengths = np.array([len(row["trace_ids"]) for row in ROWS])
    steps = np.concatenate([row["step_lengths"] for row in ROWS])
    return model.encode_flat(np.concatenate([row["trace_ids"] for row in ROWS]), lengths, steps)


def test_codes_of_one_behaviour_become_one_and_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no rise allowed but rounding: twins are joined, codes that differ are not, and the loss is the same."""
    monkeypatch.setattr("vqvae.training.merge.RISE", 1e-3)
    model = with_twins(random_reader())
    before = codes_of_rows(model)
    assert len(set(before.tolist()) & {0, 1}) and len({code // 2 for code in before.tolist()}) > 2
    figures = merge_codes(model, ROWS)
    groups = model.quantizer.groups.tolist()
    assert groups[::2] == groups[1::2]
    used = {code // 2 for code in before.tolist()}
    assert len({groups[2 * kind] for kind in used}) == len(used)
    assert figures["codes_trained"] == 8 and figures["codes_merged"] == len(set(groups)) == model.config.codebook_size
    assert abs(figures["loss_merged"] - figures["loss_trained"]) <= 1e-3
    assert codes_of_rows(model).tolist() == [groups[code] for code in before]


def test_a_merged_codes_vector_is_the_mean_of_its_codes_weighted_by_use() -> None:
    quantizer = random_reader().quantizer
    book = quantizer.vq.codebook.clone()
    quantizer.merge(torch.tensor([0, 1, 0, 2, 2, 2, 2, 2]), torch.tensor([3, 5, 1, 0, 0, 0, 0, 2]))
    found = quantizer.look_up(torch.tensor([0, 1, 2]))
    wanted = torch.stack([(3 * book[0] + book[2]) / 4, book[1], book[7]])
    torch.testing.assert_close(found, wanted, atol=1e-2, rtol=0)
    assert quantizer.nearest(book).tolist() == [0, 1, 0, 2, 2, 2, 2, 2]


def test_a_merged_model_is_the_same_after_it_was_saved(tmp_path: Path) -> None:
    model = with_twins(random_reader())
    merge_codes(model, ROWS)
    model.save_pretrained(tmp_path)
    loaded = PredictiveVQVAE.from_pretrained(tmp_path)
    assert loaded.config.trained_codes == 8 and loaded.config.codebook_size == model.config.codebook_size < 8
    assert np.array_equal(codes_of_rows(loaded), codes_of_rows(model))
    assert codes_of_rows(loaded).max() < loaded.config.codebook_size
    every = torch.arange(loaded.config.codebook_size)
    assert torch.equal(loaded.quantizer.look_up(every), model.quantizer.look_up(every))


def test_where_all_codes_predict_the_same_as_many_stay_as_a_codebook_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("vqvae.training.merge.RISE", 1e9)
    monkeypatch.setattr("vqvae.training.merge._HeldOut.loss_without", lambda _: 1e3)
    model = random_reader()
    assert merge_codes(model, ROWS)["codes_merged"] == model.config.codebook_size == 2
    model.save_pretrained(tmp_path)
    assert PredictiveVQVAE.from_pretrained(tmp_path).config.codebook_size == 2


class Halves(Reader):
    """Tells codes apart by the sign of their vectors' first number alone, and is told in nats where it is wrong."""

    def __init__(self, model: PredictiveVQVAE) -> None:
        super().__init__()
        self.trained = [model]  # no part of this module

    def forward(self, batch, vectors, counts, chosen):
        (model,) = self.trained
        meant = model.quantizer.look_up(
            model.quantizer.nearest(model.chunks(batch["input_ids"], batch["places"]).vectors[:, 0])
        )
        given = vectors[torch.arange(vectors.shape[1]) < counts[:, None]]
        wrong = (meant[:, 0] > 0) != (given[:, 0] > 0)
        return wrong[chosen].float().mean(), torch.zeros(())

    def following(self, batch, vectors, most):
        high = (vectors[:, -1, 0] > 0).float()
        yield 9 * torch.stack([high, 1 - high], -1)[:, None]


def two_kinds_of_codes() -> PredictiveVQVAE:
    model = random_reader()
    with torch.no_grad():
        model.quantizer.vq._codebook.embed[0, :, 0] = torch.tensor([1.0, -1.0] * 4)
    return model


def test_the_reader_that_codes_were_trained_for_is_the_judge() -> None:
    model = two_kinds_of_codes()
    figures = merge_codes(model, ROWS, reader=Halves(model))
    assert figures["codes_merged"] == 2 and model.quantizer.groups.tolist() == [0, 1] * 4
    assert figures["loss_trained"] == figures["loss_merged"] == 0 < figures["loss_without"]


@pytest.mark.parametrize("at_a_time", [1, 3, 7])
def test_codes_that_are_compared_a_few_at_a_time_are_merged_alike(monkeypatch, at_a_time: int) -> None:
    wanted, model = random_reader(), random_reader()
    figures = merge_codes(wanted, ROWS)
    monkeypatch.setattr("vqvae.training.merge.AT_A_TIME", at_a_time)
    shown: list[tuple[int, int]] = []
    assert merge_codes(model, ROWS, advance=lambda done, total: shown.append((done, total))) == pytest.approx(figures)
    assert shown == [(done, 12) for done in range(1, 13)]
    assert np.array_equal(codes_of_rows(model), codes_of_rows(wanted))


def test_rows_are_so_many_as_are_wanted_or_have_each_code_often_enough() -> None:
    shape = {"align": "step", "objective": "predictive", "compression_rate": None}
    config = tiny_config(**shape, codebook_size=8)
    one, none = ({"trace_ids": [3] * size, "step_lengths": [size]} for size in (2, 0))
    rows = [none, *[one] * 600]
    assert len(_enough_rows(rows, config)) == 500
    assert len(_enough_rows(rows, tiny_config(**shape, codebook_size=280))) == 560
    assert len(_enough_rows(rows[:9], config)) == 8 and _enough_rows([none], config) == []


def test_without_a_measure_of_what_codes_save_none_are_merged() -> None:
    model = with_twins(random_reader(code_dropout=0.0))
    figures = merge_codes(model, ROWS)
    assert figures["codes_merged"] == figures["codes_trained"] == model.config.codebook_size == 8
    assert figures["loss_without"] is None and figures["loss_merged"] == figures["loss_trained"]


def test_a_reader_that_codes_tell_nothing_merges_none(tmp_path: Path) -> None:
    model = two_kinds_of_codes()
    with torch.no_grad():
        model.no_code.copy_(model.quantizer.vq.codebook[0])
        model.quantizer.vq._codebook.embed[0, :, 0] = 1.0
    figures = merge_codes(model, ROWS, reader=Halves(model))
    assert figures["codes_merged"] == figures["codes_trained"] == model.config.codebook_size == 8
    assert model.quantizer.groups is None and model.config.trained_codes == 0
    model.save_pretrained(tmp_path)
    assert np.array_equal(codes_of_rows(PredictiveVQVAE.from_pretrained(tmp_path)), codes_of_rows(model))


def test_codes_that_were_merged_are_not_merged_again() -> None:
    model = with_twins(random_reader())
    merge_codes(model, ROWS)
    with pytest.raises(InputError, match="merged already"):
        merge_codes(model, ROWS)


def test_alternatives_in_a_long_context_are_compared_as_few_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, model, asked = random_reader(), random_reader(), []
    figures, following = merge_codes(wanted, ROWS), PredictiveVQVAE.following
    monkeypatch.setattr("vqvae.model.chunks.NUMBERS", 300)

    def told(model: PredictiveVQVAE, batch: dict, vectors: torch.Tensor, most: int) -> Iterator[torch.Tensor]:
        asked.append(len(vectors) * (batch["prompt_ids"].shape[1] + vectors.shape[1]) ** 2)
        return following(model, batch, vectors, most)

    monkeypatch.setattr(PredictiveVQVAE, "following", told)
    assert merge_codes(model, ROWS) == pytest.approx(figures, rel=1e-5) and max(asked) <= 300
    assert np.array_equal(codes_of_rows(model), codes_of_rows(wanted))


def test_without_a_held_out_chunk_nothing_can_be_merged() -> None:
    empty = {"prompt_ids": [3], "trace_ids": [], "step_lengths": [], "solution_ids": [5]}
    with pytest.raises(InputError, match="hold out more samples"):
        merge_codes(random_reader(), [empty])
